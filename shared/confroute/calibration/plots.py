"""Pictures of a calibration: what it costs, whether confidences are probabilities, and what is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from confroute.calibration.thresholds import Cut
from confroute.errors import require
from confroute.evaluation import cost_quality, reliability, risk_coverage

# Okabe and Ito's colours, which colour-blind readers tell apart.
_BLUE, _ORANGE, _GREY, _BLACK = "#0072B2", "#D55E00", "#888888", "#222222"


def plot_cost_quality(
    confidences: Sequence[float],
    edge_right: Sequence[bool],
    path: Path,
    *,
    cloud_right: Sequence[bool] | None = None,
    threshold: float | None = None,
) -> None:
    """The share of right answers against the share escalated, with random mixing, the oracle and the threshold.

    Without *cloud_right* the cloud counts as always right, and the picture says so.
    """
    n = len(edge_right)
    cloud = [True] * n if cloud_right is None else list(cloud_right)
    points = cost_quality(confidences, edge_right, cloud)
    oracle = cost_quality([1 - (c - e) / 2 for e, c in zip(edge_right, cloud, strict=True)], edge_right, cloud)

    def draw(axes: Any) -> None:
        for curve, colour, style, name in ((oracle, _GREY, ":", "oracle"), (points, _BLUE, "-", "routed")):
            axes.plot([x for x, _ in curve], [y for _, y in curve], style, color=colour, label=name)
        ends = (points[0], points[-1])
        axes.plot([x for x, _ in ends], [y for _, y in ends], "--", color=_GREY, label="random mixing")
        axes.annotate("edge alone", points[0], xytext=(6, -12), textcoords="offset points", color=_BLACK)
        axes.annotate("cloud alone", points[-1], xytext=(-62, -14), textcoords="offset points", color=_BLACK)
        if threshold is not None:
            escalated = sum(math.isnan(c) or c < threshold for c in confidences)
            at = min(points, key=lambda point: abs(point[0] - escalated / n))
            axes.plot(*at, "o", color=_ORANGE, label=f"threshold {threshold:.3g}")
        axes.set_xlabel("share escalated to the cloud")
        axes.set_ylabel("share of right answers" + (", the cloud always right" if cloud_right is None else ""))
        axes.legend(loc="lower right" if points[-1][1] >= points[0][1] else "upper right")

    _save(path, f"Cost and quality, n = {n}", draw)


def plot_reliability(confidences: Sequence[float], acceptable: Sequence[bool], path: Path) -> None:
    """How often answers of a confidence were acceptable; on the diagonal the confidence is a probability.

    The dots are ten bins of about equal numbers, with 95 % Wilson intervals.
    """
    points = reliability(confidences, acceptable)

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], "--", color=_GREY, label="a probability")
        bounds = [_wilson(share, n) for _, share, n in points]
        shares = [share for _, share, _ in points]
        errors = [
            [max(0.0, share - low) for share, (low, _) in zip(shares, bounds, strict=True)],
            [max(0.0, high - share) for share, (_, high) in zip(shares, bounds, strict=True)],
        ]
        said = [confidence for confidence, _, _ in points]
        axes.errorbar(said, shares, yerr=errors, fmt="o", color=_BLUE, capsize=3, label="these answers")
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("confidence")
        axes.set_ylabel("share of acceptable answers")
        axes.legend(loc="upper left")

    _save(path, f"Reliability, n = {sum(n for _, _, n in points)}", draw)


def plot_risk_coverage(
    uncertainties: Sequence[float], wrong: Sequence[bool], path: Path, *, cut: Cut | None = None
) -> None:
    """The share of wrong answers among those kept, against the share kept, with the oracle and what *cut* keeps."""
    points, oracle = risk_coverage(uncertainties, wrong), risk_coverage(list(map(float, wrong)), wrong)
    rate = sum(wrong) / len(wrong)

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [rate, rate], "--", color=_GREY, label="random")
        axes.plot([0, *(x for x, _ in oracle)], [0, *(y for _, y in oracle)], ":", color=_GREY, label="oracle")
        axes.plot([x for x, _ in points], [y for _, y in points], "-", color=_BLUE, label="by uncertainty")
        if cut is not None and cut.threshold is not None:
            axes.axvline(cut.kept, color=_ORANGE, label=f"kept by the threshold: {cut.kept:.0%}")
        axes.set_xlabel("share kept on the edge")
        axes.set_ylabel("share of wrong answers among those kept")
        axes.set_ylim(bottom=0)
        axes.legend(loc="best")

    _save(path, f"Risk and coverage, n = {len(wrong)}", draw)


def _wilson(share: float, n: int) -> tuple[float, float]:
    z = 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def _save(path: Path, title: str, draw: Callable[[Any], None]) -> None:
    require("matplotlib", extra="train", wanted_by="The plots of a calibration")
    # Figures by themselves, not through pyplot: nothing global changes and no window can open.
    figure: Any = import_module("matplotlib.figure").Figure(figsize=(6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", fontsize=11)
    draw(axes)
    figure.savefig(path, dpi=150)
