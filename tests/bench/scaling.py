"""What a prompt's length and the number of samples cost: a plot, and the slope, which must not pass linear.

    python tests/bench/scaling.py [--device cpu] [--repeats 2]

Both engines on SmolLM2-135M, 20 tokens a sample. By length: prompts of 100 to 8,000 tokens, never asked before, one
greedy answer and ten samples after it, as the router asks. By K: 1 to 20 samples of a prompt of 500 tokens that was
just answered. The slope is that of log seconds on log size over the larger half, where fixed costs no longer flatten
it: 1 is linear. llama.cpp is asked on the CPU. Writes docs/scaling.svg, or scaling_DEVICE.svg.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pydoc_data.topics import topics
from typing import Any

import matplotlib.pyplot as plt
import torch

from confroute import SamplingOptions, resolve_edge
from confroute.edge.llamacpp import LlamaCppEngine
from tests.bench.devices import about, libraries, on, torch_edge
from tests.bench.report import ROOT, Goal, machine, write

LENGTHS = (100, 250, 500, 1000, 2000, 4000, 7900)
SAMPLES = (1, 2, 5, 10, 20)
GREEDY = SamplingOptions(max_tokens=20)
DRAWN = SamplingOptions(max_tokens=20, temperature=0.7, seed=0)
TEXT = " ".join(" ".join(topics[name].split()) for name in sorted(topics))

Curve = dict[int, list[float]]


class Prompts:
    """Prompts of about so many tokens, each with a beginning of its own so that none is in a cache."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._made = 0

    def make(self, tokens: int) -> tuple[list[dict[str, str]], int]:
        """The messages, and how many tokens they have."""
        self._made += 1
        begin = 7919 * self._made % (len(TEXT) // 2)
        text = TEXT[begin : begin + int((tokens - 40) * 4.2)]
        while True:
            messages = [{"role": "user", "content": f"{self._made} {text}"}]
            found = self._count(messages)
            if found <= tokens:
                return messages, found
            text = text[: int(len(text) * tokens / found * 0.995)]

    def _count(self, messages: list[dict[str, str]]) -> int:
        return len(self._engine._loaded.format.encode(messages, GREEDY))


def by_length(engine: Any, prompts: Prompts) -> dict[int, float]:
    seconds: dict[int, float] = {}
    for length in LENGTHS:
        messages, tokens = prompts.make(length)
        seconds[tokens] = _timed(lambda messages=messages: _as_the_router(engine, messages))
    return seconds


def _as_the_router(engine: Any, messages: list[dict[str, str]]) -> None:
    engine.generate(messages, n=1, options=GREEDY)
    engine.generate(messages, n=10, options=DRAWN)


def by_samples(engine: Any, prompts: Prompts) -> dict[int, float]:
    messages, _ = prompts.make(500)
    engine.generate(messages, n=1, options=GREEDY)
    return {n: _timed(lambda n=n: engine.generate(messages, n=n, options=DRAWN)) for n in SAMPLES}


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def slope(curve: Mapping[int, float]) -> float:
    """Of log seconds on log size, over the larger half of the sizes."""
    points = [(math.log(size), math.log(seconds)) for size, seconds in sorted(curve.items())][len(curve) // 2 :]
    x = statistics.fmean(size for size, _ in points)
    y = statistics.fmean(seconds for _, seconds in points)
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def arithmetic(model: Any, tokens: int) -> float:
    """Multiplications for a prompt, of each token with the weights and with the tokens before it."""
    layers = (module for module in model.model.modules() if isinstance(module, torch.nn.Linear))
    weights = sum(layer.in_features * layer.out_features for layer in layers)
    config = model.config
    attention = 2 * config.num_hidden_layers * config.num_attention_heads * config.head_dim
    return tokens * (weights + attention * tokens / 2)


def draw(curves: Mapping[str, Mapping[str, Mapping[int, float]]], picture: str) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, (title, of_engines) in zip(axes, curves.items(), strict=True):
        for name, curve in of_engines.items():
            axis.loglog(list(curve), list(curve.values()), marker="o", label=f"{name}, slope {slope(curve):.2f}")
        sizes = list(next(iter(of_engines.values())))
        last = max(curve[max(curve)] for curve in of_engines.values())
        axis.loglog(sizes, [last * size / max(sizes) for size in sizes], "k:", linewidth=1, label="linear")
        axis.set_xlabel(title)
        axis.set_ylabel("seconds")
        axis.legend(frameon=False)
    figure.savefig(ROOT / "docs" / picture, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    repeats, where = arguments.repeats, on(arguments.device)
    torch_engine = torch_edge(arguments.device)
    # The end-of-turn token is ignored, so that each sample has its 20 tokens. llama.cpp's may end earlier.
    torch_engine._loaded = replace(torch_engine._loaded, eos=frozenset())
    engines = {"torch": torch_engine}
    if arguments.device == "cpu":
        packaged: Any = resolve_edge("smollm2-135m")
        # Room for the longest prompt and the samples behind it.
        engines["llama.cpp"] = LlamaCppEngine(packaged.path, context_tokens=9000, parallel=20)
    prompts = Prompts(torch_engine)
    curves: dict[str, dict[str, dict[int, float]]] = {"tokens of prompt (answer and ten samples)": {}, "samples": {}}
    for name, engine in engines.items():
        engine.generate(prompts.make(100)[0], n=2, options=DRAWN)
        for (title, curve), measure in zip(curves.items(), (by_length, by_samples), strict=True):
            runs = [measure(engine, prompts) for _ in range(repeats)]
            # Prompts of one run have some tokens more than those of another: the sizes are those of the first.
            curve[name] = {size: min(run[i] for run in map(_values, runs)) for i, size in enumerate(runs[0])}
            print(title, name, {size: round(seconds, 2) for size, seconds in curve[name].items()}, flush=True)
    picture = f"scaling{where}.svg".replace(" on ", "_")
    draw(curves, picture)
    goals = [
        Goal(f"{name}, {title}: slope", slope(curve), 1)
        for title, of_engines in curves.items()
        for name, curve in of_engines.items()
    ]
    by_size = next(iter(curves.values()))["torch"]
    floor = slope({size: arithmetic(torch_engine._loaded.model, size) for size in by_size})
    note = f"\nThe model's own multiplications grow with the prompt by a slope of {floor:.2f}: attention sees it all."
    head = f"{about(torch_engine)}, 20 tokens a sample, the better of {repeats} runs. "
    head += machine(*libraries(arguments.device))
    lines = [head, "", f"![Seconds by prompt length and by number of samples]({picture})", *_tables(curves), note]
    write(f"scaling{where}", f"What length and samples cost{where}", lines, goals)


def _values(curve: Mapping[int, float]) -> Sequence[float]:
    return list(curve.values())


def _tables(curves: Mapping[str, Mapping[str, Mapping[int, float]]]) -> list[str]:
    lines: list[str] = []
    for title, of_engines in curves.items():
        sizes = list(next(iter(of_engines.values())))
        lines += ["", f"| {title} | " + " | ".join(f"{size:,}" for size in sizes) + " | slope |"]
        lines.append("| --- |" + " ---: |" * (len(sizes) + 1))
        for name, curve in of_engines.items():
            cells = " | ".join(f"{seconds:.2f} s" for seconds in curve.values())
            lines.append(f"| {name} | {cells} | {slope(curve):.2f} |")
    return lines


if __name__ == "__main__":
    main()
