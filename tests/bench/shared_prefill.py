"""What ten samples of one long prompt cost on torch: confroute's engine against `model.generate`.

    python tests/bench/shared_prefill.py [--repeats 3] [--threads N]

Every contender makes exactly 20 tokens a sample of the same 1,200-token prompt with SmolLM2-135M. The end-of-turn
token is ignored for that: confroute's engine is told of none, `generate` is given min_new_tokens. The contenders
take turns, so that a busy minute of the machine does not fall on one of them; medians are written to
docs/benchmarks.md between its markers.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch
import transformers
from rich.console import Console
from rich.table import Table

from confroute.edge import resolve_edge
from confroute.edge.checkpoints import from_gguf
from confroute.edge.transformers import TransformersEngine
from confroute.records import SamplingOptions

PROMPT_TOKENS = 1200
NEW_TOKENS = 20
SAMPLES = 10
REPORT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- shared_prefill: begin -->", "<!-- shared_prefill: end -->"
GREEDY = SamplingOptions(max_tokens=NEW_TOKENS)
SAMPLING = SamplingOptions(temperature=0.7, max_tokens=NEW_TOKENS, seed=0)
BASELINE = f"transformers generate(num_return_sequences={SAMPLES})"
GOAL = 0.25


def long_question(engine: TransformersEngine) -> tuple[list[dict[str, str]], int]:
    """A question about a page of Python's own manual, of at most PROMPT_TOKENS tokens, and how many it has."""
    loaded: Any = engine._loaded
    text = topics["assignment"]
    while True:
        messages = [{"role": "user", "content": f"Explain this text.\n\n{text}"}]
        tokens = len(engine._encode(loaded, messages))
        if tokens <= PROMPT_TOKENS:
            return messages, tokens
        text = text[: int(len(text) * min(0.99, PROMPT_TOKENS / tokens))]


def contenders(engine: TransformersEngine, messages: list[dict[str, str]]) -> dict[str, Callable[[], int]]:
    """What is timed, in the order it is run; each returns how many tokens it made."""
    loaded: Any = engine._loaded
    prompt = torch.tensor([engine._encode(loaded, messages)])
    # A second copy of the weights, with transformers' own attention.
    plain: Any = from_gguf(Path(engine._checkpoint) / str(engine._gguf_file), "float32")[0].eval()

    def ours(n: int, options: SamplingOptions, *, cold: bool) -> int:
        if cold:
            loaded.batcher._prompts.clear()
        return engine.generate(messages, n=n, options=options).output_tokens

    def theirs() -> int:
        out = plain.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=True,
            temperature=SAMPLING.temperature,
            top_k=0,
            num_return_sequences=SAMPLES,
            min_new_tokens=NEW_TOKENS,
            max_new_tokens=NEW_TOKENS,
        )
        return (out.shape[1] - prompt.shape[1]) * out.shape[0]

    return {
        "confroute, one greedy answer": lambda: ours(1, GREEDY, cold=True),
        f"confroute, {SAMPLES} samples of the prompt just answered": lambda: ours(SAMPLES, SAMPLING, cold=False),
        f"confroute, {SAMPLES} samples": lambda: ours(SAMPLES, SAMPLING, cold=True),
        BASELINE: theirs,
    }


def write_report(seconds: dict[str, list[float]], prompt_tokens: int) -> None:
    base = statistics.median(seconds[BASELINE])
    rows = [
        f"| {name} | {statistics.median(runs):.1f} | {min(runs):.1f}–{max(runs):.1f} "
        f"| {statistics.median(runs) / base:.3f} |"
        for name, runs in seconds.items()
    ]
    load = f"; load average at the end {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    lines = [
        BEGIN,
        (
            f"SmolLM2-135M-Instruct, float32, a prompt of {prompt_tokens:,} tokens, {NEW_TOKENS} new tokens a sample, "
            f"{len(seconds[BASELINE])} runs of each in turn. torch {torch.__version__}, transformers "
            f"{transformers.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores, "
            f"{torch.get_num_threads()} torch thread(s){load}; {date.today().isoformat()}."
        ),
        "",
        "| what | median seconds | range | share of generate |",
        "| --- | ---: | ---: | ---: |",
        *rows,
        END,
    ]
    section = "\n".join(lines)
    text = REPORT.read_text(encoding="utf-8") if REPORT.exists() else ""
    if BEGIN in text and END in text:
        text = text[: text.index(BEGIN)] + section + text[text.index(END) + len(END) :]
    else:
        text = f"{text}\n## Ten samples of a long prompt (torch)\n\n{section}\n".lstrip("\n")
    REPORT.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, help="torch threads; fewer than the cores where others work on them")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)

    engine: Any = resolve_edge("smollm2-135m", engine="transformers")
    engine.load()
    messages, prompt_tokens = long_question(engine)
    engine._loaded = replace(engine._loaded, eos=frozenset())
    runs = contenders(engine, messages)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    console = Console()
    for _ in range(arguments.repeats):
        for name, run in runs.items():
            started = time.perf_counter()
            tokens = run()
            seconds[name].append(time.perf_counter() - started)
            expected = NEW_TOKENS * (1 if "greedy" in name else SAMPLES)
            if tokens != expected:
                raise SystemExit(f"{name} made {tokens} tokens, not {expected}: the comparison would not be fair.")
            console.print(f"{name}: {seconds[name][-1]:.1f} s")

    base = statistics.median(seconds[BASELINE])
    table = Table("what", "median seconds", "share of generate", title=f"{prompt_tokens:,} tokens of prompt")
    for name, times in seconds.items():
        table.add_row(name, f"{statistics.median(times):.1f}", f"{statistics.median(times) / base:.3f}")
    console.print(table)
    write_report(seconds, prompt_tokens)
    share = statistics.median(seconds[f"confroute, {SAMPLES} samples"]) / base
    if share > GOAL:
        raise SystemExit(f"Missed the goal: ten samples cost {share:.3f} of generate, more than {GOAL}.")


if __name__ == "__main__":
    main()
