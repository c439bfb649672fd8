"""The demo's outcome as tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from confroute.demo.experiment import Row, Summary

_COLUMNS = {
    "#": 0,
    "question": 0,
    "edge answer": 100,
    "confidence": 80,
    "route": 0,
    "final answer": 60,
    "right?": 0,
}
"""Of the table of answers, each with the least width of a terminal that has room for it."""

_LAYOUT: dict[str, Any] = {
    "#": {"justify": "right", "style": "dim", "no_wrap": True},
    "question": {"ratio": 5, "overflow": "fold"},
    "edge answer": {"ratio": 4, "overflow": "ellipsis", "no_wrap": True},
    "confidence": {"justify": "right", "no_wrap": True},
    "route": {"no_wrap": True},
    "final answer": {"ratio": 4, "overflow": "ellipsis", "no_wrap": True},
    "right?": {"justify": "center", "no_wrap": True},
}


def show(console: Console, rows: Sequence[Row], summary: Summary, *, cloud_note: str, most: int | None = None) -> None:
    """Print a line for each question, or for the first *most* of them, then the summary of all."""
    console.print(_answers(rows[:most], console.width))
    if most is not None and most < len(rows):
        console.print(f"… and {len(rows) - most} more", style="dim", highlight=False)
    console.print(_tiers(summary))
    console.print(cloud_note, style="yellow", markup=False)


def _answers(rows: Sequence[Row], width: int) -> Table:
    table = Table(
        title="What was asked, and who answered", title_justify="left", expand=True, row_styles=["", "on grey11"]
    )
    shown = [name for name, least in _COLUMNS.items() if width >= least]
    for name in shown:
        table.add_column(name, **_LAYOUT[name])
    for i, row in enumerate(rows, start=1):
        confidence = row.record["confidence"]
        cells = {
            "#": str(i),
            "question": Text(row.question),
            "edge answer": Text(" ".join(row.edge_answer.split()), style="" if row.edge_right else "red"),
            "confidence": "none" if confidence is None else f"{confidence:.2f}",
            "route": Text("cloud", style="cyan") if row.escalated else Text("edge", style="green"),
            "final answer": Text(" ".join(row.final_answer.split())),
            "right?": Text("✓ right", style="green") if row.final_right else Text("✗ wrong", style="bold red"),
        }
        table.add_row(*(cells[name] for name in shown))
    return table


def _tiers(summary: Summary) -> Table:
    threshold = f"{summary.escalated} of {summary.n} escalated"
    table = Table(
        title=f"Summary: {threshold}", title_justify="left", caption=_caption(summary), caption_justify="left"
    )
    for heading in ("", "right", "escalated", "edge tokens", "cloud tokens", "seconds"):
        table.add_column(heading, justify="left" if not heading else "right")
    shares = {"edge alone": 0.0, "routed": summary.escalated / summary.n, "cloud alone": 1.0}
    for tier in summary.tiers:
        table.add_row(
            tier.name,
            f"{tier.accuracy:.0%} ({tier.right}/{tier.n})",
            f"{shares[tier.name]:.0%}",
            f"{tier.edge_tokens:,}",
            f"{tier.cloud_tokens:,}",
            f"{tier.seconds:.1f}",
            style="bold" if tier.name == "routed" else "",
        )
    return table


def _caption(summary: Summary) -> str:
    edge = summary.tiers[0].accuracy
    if not summary.kept:
        return "The edge kept no answer at this threshold."
    kept = summary.kept_right / summary.kept
    caption = (
        f"The answers that the edge kept are right {kept:.0%} of the time ({summary.kept_right}/{summary.kept}), "
        f"{100 * (kept - edge):+.0f} points against all of the edge's answers."
    )
    told = "too few right or wrong answers to tell"
    if not math.isnan(summary.auroc_low):
        told = f"{summary.auroc:.2f} (95 % interval {summary.auroc_low:.2f} to {summary.auroc_high:.2f}, "
        told += f"n = {summary.n})"
    return f'{caption}\nAUROC of the uncertainty for "the edge is wrong": {told}.'
