"""Where a benchmark writes what it measured: its own block of docs/benchmarks.md, shown on the terminal, too."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
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


def write(name: str, title: str, lines: Sequence[str]) -> None:
    """Replace the block *name*, or append it under *title*."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = REPORT.read_text(encoding="utf-8") if REPORT.exists() else ""
    if begin not in text:
        text = f"{text}\n## {title}\n\n{begin}\n{end}\n".lstrip("\n")
    before, rest = text.split(begin)
    block = "\n".join(lines)
    REPORT.write_text(f"{before}{begin}\n{block}\n{end}{rest.split(end)[1]}", encoding="utf-8")
    print(f"{title}\n\n{block}\n")
