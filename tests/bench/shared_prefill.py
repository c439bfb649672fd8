"""What ten samples of one long prompt cost: confroute's engines against `model.generate` and their own single answer.

    python tests/bench/shared_prefill.py [--device cpu] [--repeats 3] [--threads N]

Every contender makes 20 tokens a sample of a 1,200-token prompt with SmolLM2-135M, llama.cpp on the CPU. On torch the
end-of-turn token is ignored for that: confroute's engine is told of none, `generate` is given min_new_tokens. Each
prompt begins with another number, so that no cache has it, except where a row says so. The contenders take turns, so
that a busy minute of the machine does not fall on one of them, in processes of their own, as OpenMP's threads wait
otherwise beside those of others. Writes docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
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
    """Questions about a page of Python's own manual, each new to every cache."""

    def __init__(self, page: str) -> None:
        self._numbers = itertools.count(100)
        self._page = page

    def new(self) -> Messages:
        return [{"role": "user", "content": f"{next(self._numbers)}. Explain this text.\n\n{self._page}"}]


def page_of(encode: Callable[[Messages], Sequence[int]]) -> tuple[str, int]:
    """So much of a page that a question about it has at most PROMPT_TOKENS tokens, and how many."""
    page, tokens = topics["assignment"], PROMPT_TOKENS + 1
    while tokens > PROMPT_TOKENS:
        tokens = len(encode(Questions(page).new()))
        if tokens > PROMPT_TOKENS:
            page = page[: int(len(page) * min(0.99, PROMPT_TOKENS / tokens))]
    return page, tokens


# In each contender's process, what is timed in the order it is run; each returns how many tokens it made.
_rows: dict[str, Callable[[], int]] = {}


def begin(contender: str, device: str, threads: int | None, page: str) -> tuple[str, int, str]:
    """In a contender's process: loads it. The page to ask about, its tokens if it was not given, and the engine."""
    if threads:
        torch.set_num_threads(threads)
    if contender == "llama.cpp":
        engine: Any = resolve_edge("smollm2-135m")
        engine.load()
        _rows.update(of_engine(contender, engine, Questions(page)))
        return page, 0, ""
    engine = torch_edge(device)

    def encode(messages: Messages) -> Sequence[int]:
        return engine._loaded.format.encode(messages, GREEDY)

    tokens = 0
    if not page:
        page, tokens = page_of(encode)
    if contender == BASELINE:
        plain, _ = plain_model(engine)
        _rows[BASELINE] = partial(theirs, plain, encode, Questions(page))
    else:
        engine._loaded = replace(engine._loaded, eos=frozenset())
        _rows.update(of_engine(contender, engine, Questions(page)))
    return page, tokens, about(engine)


def of_engine(name: str, engine: Any, questions: Questions) -> dict[str, Callable[[], int]]:
    answered: list[Messages] = []

    def one() -> int:
        answered[:] = [questions.new()]
        return engine.generate(answered[0], n=1, options=GREEDY).output_tokens

    def drawn(messages: Callable[[], Messages]) -> int:
        return engine.generate(messages(), n=SAMPLES, options=DRAWN).output_tokens

    return {
        f"{name}, {ONE}": one,
        f"{name}, {WARM}": partial(drawn, lambda: answered[0]),
        f"{name}, {MORE}": partial(drawn, questions.new),
    }


def theirs(plain: Any, encode: Callable[[Messages], Sequence[int]], questions: Questions) -> int:
    prompt = torch.tensor([encode(questions.new())], device=plain.device)
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


def run(row: str) -> tuple[int, float]:
    """In a contender's process: tokens and seconds."""
    started = time.perf_counter()
    tokens = _rows[row]()
    return tokens, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, help="torch threads; fewer than the cores where others work on them")
    arguments = parser.parse_args()

    page, tokens, told = "", 0, ""
    runs: dict[str, ProcessPoolExecutor] = {}
    for contender in ("torch", *(["llama.cpp"] if arguments.device == "cpu" else []), BASELINE):
        process = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        begun = process.submit(begin, contender, arguments.device, arguments.threads, page).result()
        if not page:
            page, tokens, told = begun
        rows = (BASELINE,) if contender == BASELINE else (f"{contender}, {row}" for row in (ONE, WARM, MORE))
        runs.update(dict.fromkeys(rows, process))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    before = uncounted(arguments.device)
    for again in range(before + arguments.repeats):
        for name, process in runs.items():
            made, taken = process.submit(run, name).result()
            expected = NEW_TOKENS * (1 if ONE in name else SAMPLES)
            if not 0.9 * expected <= made <= expected:  # llama.cpp may end a sample of its own accord
                raise SystemExit(f"{name} made {made} tokens, not {expected}: the comparison would not be fair.")
            if again >= before:
                seconds[name].append(taken)
            print(f"{name}: {taken:.2f} s", flush=True)
    head = (
        f"{told}, a prompt of {tokens:,} tokens, {NEW_TOKENS} new tokens a sample, {arguments.repeats} runs of each in "
        f"turn{after(before)}, in processes of their own. {machine(*libraries(arguments.device))}"
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
