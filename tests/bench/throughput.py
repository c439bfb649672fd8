"""Tokens a second once the prompt is read, and how near that is to what the memory allows.

    python tests/bench/throughput.py [--device cpu] [--repeats 3]

Each contender draws 1, 10 and 64 samples of a prompt of some 500 tokens with SmolLM2-135M, of one token and of 33: what
the latter take longer than the median of the former is 32 steps. The floor of a step is the time in which memory gives
up what the step cannot do without: all weights that multiply, once; the keys and values of the prompt, once; those of
each sample's own tokens. How fast memory is, is measured on the same device in the same run, by copying half a
gigabyte. A share of 1 would be a model that does nothing but read. transformers' `generate` copies the prompt's keys
and values for each sample, which is its own doing and not in the floor. Each has the floor of its own weights, which
confroute's torch engine keeps in half as many bytes on a CPU. llama.cpp is measured on the CPU. Contenders take turns,
in processes of their own, as OpenMP's threads wait otherwise beside those of others.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from confroute import SamplingOptions
from confroute.edge.llamacpp import LlamaCppEngine
from confroute.edge.naming import resolve_edge
from tests.bench.devices import about, after, held_bytes, libraries, on, plain_model, torch_edge, uncounted
from tests.bench.report import machine, write
from tests.bench.scaling import Prompts

SAMPLES = (1, 10, 64)
STEPS = 32
PROMPT_TOKENS = 500
NUMBERS_KEPT = 2 * 30 * 3 * 64  # of a token, in keys and values: SmolLM2's layers, heads of them, and dimensions
TORCH, PLAIN, LLAMA = "torch", "transformers generate", "llama.cpp"

# In a contender's process: draws so many samples of so many tokens; how many tokens these were.
_draw: Callable[[int, int], int]


@dataclass(frozen=True)
class Contender:
    """In a process of its own."""

    process: ProcessPoolExecutor
    told: str
    weights: float
    """Bytes of those that multiply."""
    size: int
    """Bytes of a number among the keys and values."""

    def floor_bytes(self, samples: int) -> float:
        """What a step in the middle of the answers reads at least."""
        return self.weights + NUMBERS_KEPT * self.size * (PROMPT_TOKENS + samples * STEPS / 2)


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


def begin(name: str, device: str, messages: Any) -> tuple[Any, str, float, int]:
    """In a contender's process: loads it. What it is asked if that was not given, and what is told of it."""
    global _draw
    if name == LLAMA:
        packaged: Any = resolve_edge("smollm2-135m")
        engine: Any = LlamaCppEngine(packaged.path, context_tokens=8192, parallel=max(SAMPLES))
        told, weights, size = "", float(Path(packaged.path).stat().st_size), 2
    else:
        engine = torch_edge(device)
        messages = messages or Prompts(engine).make(PROMPT_TOKENS)[0]
        engine._loaded = replace(engine._loaded, eos=frozenset())
        told, model = about(engine), engine._loaded.model
        size = model.dtype.itemsize
        # The embedding is looked up, and multiplied by where the last layer shares it.
        numbers = sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, torch.nn.Linear))
        weights = float(numbers * (held_bytes(model) if name == TORCH else size))
    if name == PLAIN:
        plain, _ = plain_model(engine)
        ids = torch.tensor([engine._loaded.format.encode(messages, SamplingOptions())], device=plain.device)
        _draw = partial(theirs, plain, ids)
    else:
        _draw = partial(ours, engine, messages)
    _draw(2, 2)
    return messages, told, weights, size


def ours(engine: Any, messages: Any, n: int, tokens: int) -> int:
    return engine.generate(messages, n=n, options=_drawn(tokens)).output_tokens


def theirs(plain: Any, ids: Any, n: int, tokens: int) -> int:
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


def _drawn(tokens: int) -> SamplingOptions:
    return SamplingOptions(temperature=0.7, max_tokens=tokens, seed=0)


def seconds(samples: int, tokens: int) -> float:
    """In a contender's process."""
    started = time.perf_counter()
    made = _draw(samples, tokens)
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
    contenders: dict[str, Contender] = {}
    messages: Any = None
    for name in (TORCH, PLAIN, *([LLAMA] if device == "cpu" else [])):
        process = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        messages, told, weights, size = process.submit(begin, name, device, messages).result()
        contenders[name] = Contender(process, told, weights, size)
    taken: dict[tuple[int, str], list[tuple[float, float]]] = {}
    before = uncounted(device)
    for again in range(before + arguments.repeats):
        for n, name in ((n, name) for n in SAMPLES for name in contenders):
            process = contenders[name].process
            first, whole = (process.submit(seconds, n, tokens).result() for tokens in (1, 1 + STEPS))
            if again >= before:
                taken.setdefault((n, name), []).append((first, whole))
            print(f"{n} samples, {name}: {first:.2f} s for one token, {whole:.2f} s for {1 + STEPS}", flush=True)
    speed = bandwidth(device)
    head = (
        f"{contenders[TORCH].told}, a prompt of about {PROMPT_TOKENS} tokens, {arguments.repeats} runs of each in turn"
        f"{after(before)}, in processes of their own. "
        f"Memory gives {speed / 1e9:.1f} GB a second. "
        f"{machine(*libraries(device))}"
    )
    table = ["| samples | what | tokens a second | ms a step | range | share of the floor |"]
    table.append("| ---: | --- | ---: | ---: | ---: | ---: |")
    for (n, name), pairs in taken.items():
        first = statistics.median(first for first, _ in pairs)
        steps = [(whole - first) / STEPS for _, whole in pairs]
        step = statistics.median(steps)
        share = contenders[name].floor_bytes(n) / speed / step
        span = f"{min(steps) * 1000:.1f}–{max(steps) * 1000:.1f}"
        table.append(f"| {n} | {name} | {n / step:,.0f} | {step * 1000:.1f} | {span} | {share:.2f} |")
    write(f"throughput{on(device)}", f"Tokens a second{on(device)}", [head, "", *table])


if __name__ == "__main__":
    main()
