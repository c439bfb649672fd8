"""Tokens a second once the prompt is read, and how near that is to what the memory allows.

    python tests/bench/throughput.py [--device cpu] [--repeats 3]

Each contender draws 1, 10 and 64 samples of a prompt of some 500 tokens with SmolLM2-135M, of one token and of 33: what
the latter take longer than the median of the former is 32 steps. The floor of a step is the time in which memory gives
up what the step cannot do without: all weights that multiply, once; the keys and values of the prompt, once; those of
each sample's own tokens. How fast memory is, is measured on the same device in the same run, by copying half a
gigabyte. A share of 1 would be a model that does nothing but read. transformers' `generate` copies the prompt's keys
and values for each sample, which is its own doing and not in the floor. llama.cpp is measured on the CPU.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from confroute import SamplingOptions
from confroute.edge.llamacpp import LlamaCppEngine
from confroute.edge.naming import resolve_edge
from tests.bench.devices import about, after, libraries, on, plain_model, torch_edge, uncounted
from tests.bench.report import machine, write
from tests.bench.scaling import Prompts

SAMPLES = (1, 10, 64)
STEPS = 32
PROMPT_TOKENS = 500

Draw = Callable[[int, int], int]
"""Draws so many samples of so many tokens; how many tokens these were."""


def bandwidth(device: str) -> float:
    """Bytes a second that a copy of half a gigabyte reads and writes, the best of ten."""
    source = torch.ones(1 << 27, device=device)
    target = torch.empty_like(source)
    taken: list[float] = []
    for _ in range(10):
        started = time.perf_counter()
        target.copy_(source)
        _ = float(target[-1])  # waits for the device
        taken.append(time.perf_counter() - started)
    return 2 * source.numel() * source.element_size() / min(taken)


def floor_bytes(config: Any, weights: float, samples: int, *, bytes_a_number: int) -> float:
    """What a step in the middle of the answers reads at least."""
    heads = config.num_key_value_heads * config.head_dim * config.num_hidden_layers
    return weights + 2 * heads * bytes_a_number * (PROMPT_TOKENS + samples * STEPS / 2)


def on_torch(engine: Any, messages: Any) -> dict[str, Draw]:
    plain, _ = plain_model(engine)
    ids = torch.tensor([engine._loaded.format.encode(messages, SamplingOptions())], device=plain.device)

    def ours(n: int, tokens: int) -> int:
        return engine.generate(messages, n=n, options=_drawn(tokens)).output_tokens

    def theirs(n: int, tokens: int) -> int:
        out = plain.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=0.7,
            top_k=0,
            num_return_sequences=n,
            min_new_tokens=tokens,
            max_new_tokens=tokens,
        )
        return (len(out[0].tolist()) - ids.shape[1]) * n

    return {"torch": ours, "transformers generate": theirs}


def _drawn(tokens: int) -> SamplingOptions:
    return SamplingOptions(temperature=0.7, max_tokens=tokens, seed=0)


def seconds(draw: Draw, samples: int, tokens: int) -> float:
    started = time.perf_counter()
    made = draw(samples, tokens)
    taken = time.perf_counter() - started
    if made < 0.9 * samples * tokens:  # llama.cpp may end a sample of its own accord
        raise SystemExit(f"{made} tokens were made, not {samples * tokens}: the steps would be too few.")
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    device = arguments.device
    engine = torch_edge(device)
    messages, _ = Prompts(engine).make(PROMPT_TOKENS)
    engine._loaded = replace(engine._loaded, eos=frozenset())
    model = engine._loaded.model
    # The embedding is looked up, and multiplied by where the last layer shares it.
    numbers = sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, torch.nn.Linear))
    draws = on_torch(engine, messages)
    weights = {name: float(numbers * model.dtype.itemsize) for name in draws}
    if device == "cpu":
        packaged: Any = resolve_edge("smollm2-135m")
        llamacpp = LlamaCppEngine(packaged.path, context_tokens=8192, parallel=max(SAMPLES))
        draws["llama.cpp"] = lambda n, tokens: llamacpp.generate(messages, n=n, options=_drawn(tokens)).output_tokens
        weights["llama.cpp"] = Path(packaged.path).stat().st_size
    for draw in draws.values():
        draw(2, 2)
    taken: dict[tuple[int, str], list[tuple[float, float]]] = {}
    before = uncounted(device)
    for again in range(before + arguments.repeats):
        for n, name in ((n, name) for n in SAMPLES for name in draws):
            first, whole = (seconds(draws[name], n, tokens) for tokens in (1, 1 + STEPS))
            if again >= before:
                taken.setdefault((n, name), []).append((first, whole))
            print(f"{n} samples, {name}: {first:.2f} s for one token, {whole:.2f} s for {1 + STEPS}", flush=True)
    speed = bandwidth(device)
    head = (
        f"{about(engine)}, a prompt of about {PROMPT_TOKENS} tokens, {arguments.repeats} runs of each in turn"
        f"{after(before)}. "
        f"Memory gives {speed / 1e9:.1f} GB a second. "
        f"{machine(*libraries(device))}"
    )
    table = ["| samples | what | tokens a second | ms a step | range | share of the floor |"]
    table.append("| ---: | --- | ---: | ---: | ---: | ---: |")
    for (n, name), pairs in taken.items():
        first = statistics.median(first for first, _ in pairs)
        steps = [(whole - first) / STEPS for _, whole in pairs]
        size = 2 if name == "llama.cpp" else model.dtype.itemsize
        floor = floor_bytes(model.config, weights[name], n, bytes_a_number=size) / speed
        step = statistics.median(steps)
        span = f"{min(steps) * 1000:.1f}–{max(steps) * 1000:.1f}"
        table.append(f"| {n} | {name} | {n / step:,.0f} | {step * 1000:.1f} | {span} | {floor / step:.2f} |")
    write(f"throughput{on(device)}", f"Tokens a second{on(device)}", [head, "", *table])


if __name__ == "__main__":
    main()
