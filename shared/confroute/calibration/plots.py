"""Pictures of a calibration: what it costs, whether confidences are probabilities, and what is kept.

Need matplotlib (the extra ``train``). Written as SVG or PNG, by the suffix of the path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from confroute.calibration.thresholds import Cut
from confroute.errors import CalibrationError, ConfigurationError, require
from confroute.evaluation import brier, cost_quality, ece, reliability, risk_coverage

# Okabe and Ito's colours, which colour-blind readers tell apart; the lines differ in their dashes too.
_BLUE, _ORANGE, _GREEN, _GREY, _BLACK = "#0072B2", "#D55E00", "#009E73", "#777777", "#222222"

_FEW = 30
"""Up to so many points of a curve are marked one by one: only these can be reached by a threshold."""


def plot_cost_quality(
    confidences: Sequence[float],
    edge_right: Sequence[bool],
    path: str | Path,
    *,
    cloud_right: Sequence[bool] | None = None,
    threshold: float | None = None,
) -> None:
    """The share answered right against the share escalated, with random mixing, the oracle and the *threshold*.

    The oracle escalates first what the cloud alone gets right, last what the edge alone gets right. Without
    *cloud_right* the cloud counts as always right, and the picture says so. NaN confidences are escalated first.
    """
    _check_any(edge_right)
    n = len(edge_right)
    cloud = [True] * n if cloud_right is None else cloud_right
    points = cost_quality(confidences, edge_right, cloud)
    oracle = cost_quality([e - c for e, c in zip(edge_right, cloud, strict=True)], edge_right, cloud)
    edge_alone, cloud_alone = points[0][1], points[-1][1]

    def draw(axes: Any) -> None:
        axes.plot(*_columns(oracle), ":", color=_GREEN, linewidth=2, label="oracle: knows who is right")
        _plot_curve(axes, points, "by confidence")
        axes.plot([0, 1], [edge_alone, cloud_alone], "--", color=_GREY, label="random mixing")
        axes.plot(0, edge_alone, "s", color=_BLACK, clip_on=False, label=f"edge alone: {edge_alone:.1%}")
        axes.plot(1, cloud_alone, "^", color=_BLACK, clip_on=False, label=f"cloud alone: {cloud_alone:.1%}")
        if threshold is not None:
            kept = [not math.isnan(confidence) and confidence >= threshold for confidence in confidences]
            escalated = 1 - sum(kept) / n
            right = sum(e if k else c for k, e, c in zip(kept, edge_right, cloud, strict=True)) / n
            label = f"threshold {threshold:.3g}: {right:.1%} right,\n{escalated:.1%} escalated"
            axes.plot(escalated, right, "o", color=_ORANGE, markersize=9, zorder=4, label=label)
        axes.set_xlabel("share escalated to the cloud")
        axes.set_ylabel(
            "share answered right" + (",\nthe cloud counted as always right" if cloud_right is None else "")
        )

    silent = sum(map(math.isnan, confidences))
    note = f"; the {silent} without a signal are escalated first" if silent else ""
    _save(path, "Cost and quality", f"n = {n}{note}", draw, margin=0.03)


def plot_reliability(confidences: Sequence[float], acceptable: Sequence[bool], path: str | Path) -> None:
    """How often answers of a confidence were acceptable; on the diagonal the confidence is a probability.

    The dots are at most ten bins of about equal numbers, with 95 % Wilson intervals. Confidences fitted to these very
    labels look better than they are: give those of `cross_fitted`. NaN is left out, and the picture says so.
    """
    points = reliability(confidences, acceptable)
    _check_any(points)
    n, silent = sum(size for _, _, size in points), sum(map(math.isnan, confidences))

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], "--", color=_GREY, label="confidence = share acceptable")
        said, shares = _columns([(mean, share) for mean, share, _ in points])
        bounds = [_wilson(share, size) for _, share, size in points]
        errors = [
            [share - low for share, (low, _) in zip(shares, bounds, strict=True)],
            [high - share for share, (_, high) in zip(shares, bounds, strict=True)],
        ]
        sizes = sorted(size for _, _, size in points)
        each = f"{sizes[0]}" if sizes[0] == sizes[-1] else f"{sizes[0]} to {sizes[-1]}"
        label = f"these answers, {each} a dot, with 95 % intervals"
        axes.errorbar(said, shares, yerr=errors, fmt="o", color=_BLUE, capsize=3, label=label)
        axes.text(0.97, 0.03, "too confident", ha="right", color=_GREY, style="italic")
        axes.text(0.03, 0.97, "too cautious", va="top", color=_GREY, style="italic")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="confidence", ylabel="share acceptable")

    note = f"; {silent} without a signal left out" if silent else ""
    scores = f"Brier score {brier(confidences, acceptable):.3f}, ECE {ece(confidences, acceptable):.3f} (15 bins)"
    _save(path, "Reliability", f"n = {n}{note}. {scores}", draw)


def plot_risk_coverage(
    uncertainties: Sequence[float], wrong: Sequence[bool], path: str | Path, *, cut: Cut | None = None
) -> None:
    """The share wrong among those kept against the share kept, with the oracle, random keeping and what *cut* keeps.

    A cut that certified nothing is named in the title and not drawn. NaN uncertainties are kept last.
    """
    _check_any(wrong)
    n, points = len(wrong), risk_coverage(uncertainties, wrong)
    # Nothing is tied for the oracle, for it knows even the order; between two points its curve would not be straight.
    order = sorted(range(n), key=lambda i: wrong[i])
    oracle = risk_coverage(range(n), [wrong[i] for i in order])
    rate = points[-1][1]

    def draw(axes: Any) -> None:
        axes.axhline(rate, linestyle="--", color=_GREY, label=f"random: {rate:.1%} wrong")
        _plot_curve(axes, points, "by uncertainty")
        axes.plot(*_columns(oracle), ":", color=_GREEN, linewidth=2, label="oracle: knows what is wrong")
        if cut is not None and cut.certified and cut.threshold is not None:
            share = cut.kept
            kept, risk = min(points, key=lambda point: abs(point[0] - share))
            axes.axvline(kept, color=_ORANGE, linewidth=1)
            label = f"certified threshold {cut.threshold:.3g}:\nkeeps {cut.kept:.1%}, of these {risk:.1%} wrong"
            axes.plot(kept, risk, "o", color=_ORANGE, markersize=9, zorder=4, label=label)
        # Shares of the first few answers jump between 0 and 1; the scale is for the rest.
        highest = max(risk for coverage, risk in [*points, (1.0, rate)] if coverage >= 0.05)
        axes.set(xlim=(0, 1.02), ylim=(-0.01, min(1.02, max(0.05, 1.15 * highest))))
        axes.set(xlabel="share kept on the edge", ylabel="share wrong among those kept")

    uncertified = cut is not None and not (cut.certified and cut.threshold is not None)
    _save(path, "Risk and coverage", f"n = {n}" + ("; no threshold could be certified" if uncertified else ""), draw)


def _plot_curve(axes: Any, points: Sequence[tuple[float, float]], label: str) -> None:
    marker = "." if len(points) <= _FEW else ""
    axes.plot(*_columns(points), color=_BLUE, marker=marker, markersize=8, linewidth=1.8, label=label, zorder=3)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval, which holds *share* itself to the last bit: the lengths of error bars may not be negative."""
    z = 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return min(share, middle - half), max(share, middle + half)


def _check_any(items: Sequence[Any]) -> None:
    if not items:
        raise CalibrationError("There is nothing to draw: no answer that has a signal and a label.")


def _save(path: str | Path, title: str, note: str, draw: Callable[[Any], None], *, margin: float | None = None) -> None:
    path = Path(path)
    if path.suffix.lower() not in (".svg", ".png"):
        raise ConfigurationError(f"A picture is written as .svg or .png, not {path.suffix!r}.")
    require("matplotlib", extra="train", wanted_by="The plots of a calibration")
    # Figures by themselves, not through pyplot: nothing global changes and no window can open.
    figure: Any = import_module("matplotlib.figure").Figure(figsize=(6.4, 5.4), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(f"{title}\n", loc="left", fontsize=13)
    axes.text(0, 1.02, note, transform=axes.transAxes, fontsize=9.5, color=_BLACK)
    if margin is not None:
        axes.margins(margin)
    draw(axes)
    percent: Any = import_module("matplotlib.ticker").PercentFormatter
    axes.yaxis.set_major_formatter(percent(1, decimals=None))
    if "share" in axes.get_xlabel():
        axes.xaxis.set_major_formatter(percent(1, decimals=None))
    # Below the axes, where it covers no curve.
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    # Without a date, so that the same calibration differs in as little as can be.
    undated = {"Date": None} if path.suffix.lower() == ".svg" else {}
    figure.savefig(path, dpi=150, metadata={"Title": title, **undated})
