"""What ten samples of one long prompt cost: confroute's engines against `model.generate` and their own single answer.

    python tests/bench/shared_prefill.py [--device cpu] [--repeats 3] [--threads N]

Every contender makes 20 tokens a sample of a 1,200-token prompt with SmolLM2-135M, llama.cpp on the CPU. On torch the
end-of-turn token is ignored for that: confroute's engine is told of none, `generate` is given min_new_tokens. Each
prompt begins with another number, so that no cache has it, except where a row says so. The contenders take turns, so
that a busy minute of the machine does not fall on one of them. Writes docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pydoc_data.topics import topics
from typing import Any

import torch

from confroute import SamplingOptions, resolve_edge
from tests.bench.devices import about, after, libraries, on, plain_model, torch_edge, uncounted
from tests.bench.report import Goal, machine, ratios, write

PROMPT_TOKENS = 1200
NEW_TOKENS = 20
SAMPLES = 10
GREEDY = SamplingOptions(max_tokens=NEW_TOKENS)
DRAWN = SamplingOptions(temperature=0.7, max_tokens=NEW_TOKENS, seed=0)
BASELINE = f"transformers generate(num_return_sequences={SAMPLES})"
ONE, MORE, WARM = "one greedy answer", f"{SAMPLES} samples", f"{SAMPLES} samples of the prompt just answered"
GOALS = {  # at most so many times as long
    ("torch", MORE): (1 / 6, BASELINE),
    ("torch, own", MORE): (1.8, f"torch, {ONE}"),
    ("llama.cpp", MORE): (1.4, f"llama.cpp, {ONE}"),
}

Messages = list[dict[str, str]]


class Questions:
    """Questions about a page of Python's own manual, of at most PROMPT_TOKENS tokens, each new to every cache."""

    def __init__(self, engine: Any) -> None:
        self._numbers = itertools.count(100)
        self._text = topics["assignment"]
        self.tokens = PROMPT_TOKENS + 1
        while self.tokens > PROMPT_TOKENS:
            self.tokens = len(engine._loaded.format.encode(self.new(), GREEDY))
            if self.tokens > PROMPT_TOKENS:
                self._text = self._text[: int(len(self._text) * min(0.99, PROMPT_TOKENS / self.tokens))]

    def new(self) -> Messages:
        return [{"role": "user", "content": f"{next(self._numbers)}. Explain this text.\n\n{self._text}"}]


def contenders(engines: dict[str, Any], questions: Questions) -> dict[str, Callable[[], int]]:
    """What is timed, in the order it is run; each returns how many tokens it made."""
    plain, _ = plain_model(engines["torch"])
    answered: dict[str, Messages] = {}

    def one(name: str, engine: Any) -> int:
        answered[name] = questions.new()
        return engine.generate(answered[name], n=1, options=GREEDY).output_tokens

    def drawn(engine: Any, messages: Messages) -> int:
        return engine.generate(messages, n=SAMPLES, options=DRAWN).output_tokens

    def theirs() -> int:
        prompt = torch.tensor([engines["torch"]._loaded.format.encode(questions.new(), GREEDY)], device=plain.device)
        out = plain.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=True,
            temperature=DRAWN.temperature,
            top_k=0,
            num_return_sequences=SAMPLES,
            min_new_tokens=NEW_TOKENS,
            max_new_tokens=NEW_TOKENS,
        )
        return (out.shape[1] - prompt.shape[1]) * out.shape[0]

    rows: dict[str, Callable[[], int]] = {}
    for name, engine in engines.items():
        rows[f"{name}, {ONE}"] = lambda name=name, engine=engine: one(name, engine)
        rows[f"{name}, {WARM}"] = lambda name=name, engine=engine: drawn(engine, answered[name])
        rows[f"{name}, {MORE}"] = lambda engine=engine: drawn(engine, questions.new())
    return {**rows, BASELINE: theirs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, help="torch threads; fewer than the cores where others work on them")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)

    engine = torch_edge(arguments.device)
    questions = Questions(engine)
    engine._loaded = replace(engine._loaded, eos=frozenset())
    engines: dict[str, Any] = {"torch": engine}
    if arguments.device == "cpu":
        engines["llama.cpp"] = resolve_edge("smollm2-135m")
        engines["llama.cpp"].load()
    runs = contenders(engines, questions)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    before = uncounted(arguments.device)
    for again in range(before + arguments.repeats):
        for name, run in runs.items():
            started = time.perf_counter()
            tokens = run()
            taken = time.perf_counter() - started
            expected = NEW_TOKENS * (1 if ONE in name else SAMPLES)
            if not 0.9 * expected <= tokens <= expected:  # llama.cpp may end a sample of its own accord
                raise SystemExit(f"{name} made {tokens} tokens, not {expected}: the comparison would not be fair.")
            if again >= before:
                seconds[name].append(taken)
            print(f"{name}: {taken:.2f} s", flush=True)
    head = (
        f"{about(engine)}, a prompt of {questions.tokens:,} tokens, {NEW_TOKENS} new tokens a sample, "
        f"{arguments.repeats} runs of each in turn{after(before)}. {machine(*libraries(arguments.device))}"
    )
    where = on(arguments.device)
    write(
        f"shared_prefill{where}",
        f"Ten samples of a long prompt{where}",
        [head, "", *ratios(seconds, BASELINE, against="share of generate")],
        _goals(seconds),
    )


def _goals(seconds: dict[str, list[float]]) -> list[Goal]:
    goals: list[Goal] = []
    for (engine, row), (most, other) in GOALS.items():
        name = f"{engine.removesuffix(', own')}, {row}"
        if name not in seconds:
            continue
        ratio = statistics.median(seconds[name]) / statistics.median(seconds[other])
        goals.append(Goal(f"{name}, against {other}", ratio, most))
    return goals


if __name__ == "__main__":
    main()
