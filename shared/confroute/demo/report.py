"""The demo's outcome as tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from confroute.demo.experiment import Row, Summary


def show(console: Console, rows: Sequence[Row], summary: Summary, *, cloud_note: str, most: int | None = None) -> None:
    """Print a line for each question, or for the first *most* of them, then the summary of all."""
    console.print(_answers(rows[:most]))
    if most is not None and most < len(rows):
        console.print(f"… and {len(rows) - most} more", style="dim", highlight=False)
    console.print(_tiers(summary))
    console.print(cloud_note, style="yellow", markup=False)


def _answers(rows: Sequence[Row]) -> Table:
    table = Table(
        title="What was asked, and who answered", title_justify="left", expand=True, row_styles=["", "on grey11"]
    )
    table.add_column("#", justify="right", style="dim", no_wrap=True)
    table.add_column("question", ratio=5, overflow="fold")
    table.add_column("edge answer", ratio=4, overflow="ellipsis", no_wrap=True)
    table.add_column("confidence", justify="right", no_wrap=True)
    table.add_column("route", no_wrap=True)
    table.add_column("final answer", ratio=4, overflow="ellipsis", no_wrap=True)
    table.add_column("right?", justify="center", no_wrap=True)
    for i, row in enumerate(rows, start=1):
        confidence = row.record["confidence"]
        table.add_row(
            str(i),
            Text(row.question),
            Text(" ".join(row.edge_answer.split()), style="" if row.edge_right else "red"),
            "none" if confidence is None else f"{confidence:.2f}",
            Text("cloud", style="cyan") if row.escalated else Text("edge", style="green"),
            Text(" ".join(row.final_answer.split())),
            Text("✓ right", style="green") if row.final_right else Text("✗ wrong", style="bold red"),
        )
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
    if math.isnan(summary.auroc):
        return caption
    return (
        f'{caption}\nAUROC of the uncertainty for "the edge is wrong": {summary.auroc:.2f} '
        f"(95 % interval {summary.auroc_low:.2f} to {summary.auroc_high:.2f}, n = {summary.n})."
    )
