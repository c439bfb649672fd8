"""Tokens a second of a model of eight billion weights on an accelerator, and how near that is to what memory allows.

    python -m tests.bench.large --device cuda [--steps 40]

The weights are random, of the shape of Llama 3.1 8B, in bfloat16: what a step costs does not depend on them. Each
contender takes 40 steps after prompts of so many tokens, and the median step of the last half is told, since a first
answer has operations to compile. confroute's is what its torch engine does in a pass, less the drawing of tokens; the
other is transformers' `generate`, greedy, which takes one prompt and draws its samples from copies of it. See
tests/bench/throughput.py for the floor. It takes 30 GB of the device, and does nothing on a CPU.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, LogitsProcessor

from confroute.edge.passes import Piece
from confroute.edge.ragged import RaggedPasses
from tests.bench.devices import libraries, on
from tests.bench.report import machine, write
from tests.bench.throughput import bandwidth

SHAPE: dict[str, Any] = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
}
CASES = ((1, 1, 500), (1, 10, 500), (32, 1, 60), (32, 1, 500), (8, 10, 500), (16, 1, 2000))  # requests, samples, tokens


def random_model(device: str) -> Any:
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            return LlamaForCausalLM(LlamaConfig(**SHAPE, eos_token_id=None)).eval()
    finally:
        torch.set_default_dtype(usual)


def wait(device: str) -> float:
    torch.get_device_module(device).synchronize()
    return time.perf_counter()


def ours(model: Any, device: str, requests: int, samples: int, tokens: int, steps: int) -> list[float]:
    """Seconds of each step."""
    passes = RaggedPasses(model)
    prompts = [passes.prompt(tuple((7 * i + at) % 1000 + 5 for at in range(tokens))) for i in range(requests)]
    for prompt in prompts:
        passes.run([Piece(prompt, prompt.ids)])
    branches = [passes.branches(prompt, samples) for prompt in prompts]
    taken: list[float] = []
    for step in range(steps):
        begun = wait(device)
        passes.run([Piece(each, [step + 5] * samples) for each in branches])
        taken.append(wait(device) - begun)
    return taken


class Clock(LogitsProcessor):
    """Called at each step of `generate`."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.at: list[float] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self.at.append(wait(self._device))
        return scores


def theirs(model: Any, device: str, _requests: int, samples: int, tokens: int, steps: int) -> list[float]:
    model.set_attn_implementation("sdpa")
    clock = Clock(device)
    ids = torch.arange(5, 5 + tokens, device=device)[None].expand(samples, -1)
    model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=steps + 1,
        logits_processor=[clock],
        pad_token_id=0,
    )
    return [after - before for before, after in zip(clock.at, clock.at[1:], strict=False)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=40)
    arguments = parser.parse_args()
    device: str = arguments.device
    if device == "cpu":
        print("A model of eight billion weights is measured on accelerators only.")
        return
    speed = bandwidth(device)
    try:
        model = random_model(device)
    except torch.OutOfMemoryError:
        print(f"A model of eight billion weights does not fit on {device}.")
        return
    numbers = sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, torch.nn.Linear))
    name: Any = getattr(torch.get_device_module(device), "get_device_name", lambda: device)
    head = (
        f"8 billion random weights, bfloat16 on torch, {name()}, the last half of {arguments.steps} steps. "
        f"Memory gives {speed / 1e9:,.0f} GB a second. {machine(*libraries(device))}"
    )
    table = [
        "| requests | samples of each | tokens of a prompt | what | tokens a second | ms a step | share of the floor |",
        "| ---: | ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    contenders: dict[str, Callable[..., list[float]]] = {"confroute": ours, "transformers generate": theirs}
    with torch.inference_mode():
        for requests, samples, tokens in CASES:
            for what, run in contenders.items():
                if requests > 1 and run is theirs:
                    continue
                taken = run(model, device, requests, samples, tokens, arguments.steps)
                step = statistics.median(taken[len(taken) // 2 :])
                held = 2 * SHAPE["num_key_value_heads"] * 128 * SHAPE["num_hidden_layers"] * requests
                held *= tokens + samples * arguments.steps * 3 / 4
                floor = 2 * (numbers + held) / speed
                row = f"| {requests} | {samples} | {tokens} | {what} | {requests * samples / step:,.0f} "
                table.append(f"{row}| {step * 1000:.1f} | {floor / step:.2f} |")
                print(table[-1], flush=True)
    write(f"large{on(device)}", f"A model of eight billion weights{on(device)}", [head, "", *table])


if __name__ == "__main__":
    main()
