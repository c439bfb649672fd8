"""Where a benchmark writes what it measured: its own block of docs/benchmarks.md and its rows of the table of goals.

    python -m tests.bench.report

shows that table, all that was last measured.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "docs" / "benchmarks.md"


def machine(*packages: str) -> str:
    """What a reader has to know to compare the numbers with others."""
    versions = "".join(f"{name} {version(name)}, " for name in packages)
    load = f", load average at the end {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{versions}Python {platform.python_version()}, {os.cpu_count()} cores{load}; {date.today().isoformat()}."


def ratios(seconds: Mapping[str, Sequence[float]], base: str, *, against: str) -> list[str]:
    """A table of medians and ranges in seconds, and their share of the median of *base*, a column named *against*."""
    whole = statistics.median(seconds[base])
    rows = [
        f"| {name} | {statistics.median(runs):.2f} | {min(runs):.2f}–{max(runs):.2f} "
        f"| {statistics.median(runs) / whole:.3f} |"
        for name, runs in seconds.items()
    ]
    return [f"| what | median seconds | range | {against} |", "| --- | ---: | ---: | ---: |", *rows]


@dataclass(frozen=True)
class Goal:
    """*measured*, a ratio unless *what* names a unit, is to be at most *bound*, or at least."""

    what: str
    measured: float
    bound: float
    at_least: bool = False

    @property
    def kept(self) -> bool:
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def row(self, title: str) -> str:
        anchor = title.lower().replace(",", "").replace(" ", "-")
        sign = "≥" if self.at_least else "≤"
        kept = "kept" if self.kept else "**missed**"
        return f"| [{title}](#{anchor}) | {self.what} | {self.measured:.3g} | {sign} {self.bound:.3g} | {kept} |"


def write(name: str, title: str, lines: Sequence[str], goals: Sequence[Goal] = ()) -> None:
    """Replace the block *name*, or append it under *title*, and the rows of its *goals* in the table of all."""
    text = REPORT.read_text(encoding="utf-8") if REPORT.exists() else ""
    block = "\n".join(lines)
    known = _block(text, _GOALS).splitlines()[2:]
    ours = [i for i, row in enumerate(known) if row.startswith(f"| [{title}]")] or [len(known)]
    table = [*_HEAD, *known[: ours[0]], *(goal.row(title) for goal in goals), *known[ours[-1] + 1 :]]
    text = _with_block(text, _GOALS, "The goals", "\n".join(table))
    REPORT.write_text(_with_block(text, name, title, block), encoding="utf-8")
    print(f"{title}\n\n{block}\n")


_GOALS = "goals"
_HEAD = ("| benchmark | what | measured | goal | |", "| --- | --- | ---: | ---: | --- |")


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def _block(text: str, name: str) -> str:
    begin, end = _marks(name)
    return text.partition(begin)[2].partition(end)[0].strip("\n")


def _with_block(text: str, name: str, title: str, block: str) -> str:
    begin, end = _marks(name)
    if begin not in text:
        text = f"{text}\n## {title}\n\n{begin}\n{end}\n".lstrip("\n")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{block}\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    print(_block(REPORT.read_text(encoding="utf-8"), _GOALS))
