"""The pictures of a calibration: that they are written, and say in words what they show."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from confroute.calibration.plots import plot_cost_quality, plot_reliability, plot_risk_coverage
from confroute.calibration.thresholds import Cut, harm_cut
from confroute.errors import CalibrationError, ConfigurationError

pytest.importorskip("matplotlib")

RNG = random.Random(0)
CONFIDENCES = [RNG.random() for _ in range(80)]
RIGHT = [RNG.random() < confidence for confidence in CONFIDENCES]
WRONG = [not right for right in RIGHT]
UNCERTAINTIES = [1 - confidence for confidence in CONFIDENCES]
CUT = harm_cut(CONFIDENCES, WRONG, target=0.2)
PLOTS: dict[str, Callable[[Path], None]] = {
    "cost_quality": lambda path: plot_cost_quality(CONFIDENCES, RIGHT, path, threshold=CUT.threshold),
    "reliability": lambda path: plot_reliability(CONFIDENCES, RIGHT, path),
    "risk_coverage": lambda path: plot_risk_coverage(UNCERTAINTIES, WRONG, path, cut=CUT),
}
each_plot = pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)


def words(path: Path) -> str:
    """All that an SVG says; matplotlib draws its texts as outlines, and keeps each as a comment."""
    tree = ET.fromstring(path.read_text("utf-8"), ET.XMLParser(target=ET.TreeBuilder(insert_comments=True)))  # noqa: S314
    return "\n".join((node.text or "").strip() for node in tree.iter() if not isinstance(node.tag, str))


@each_plot
def test_the_suffix_says_the_format(plot: Callable[[Path], None], tmp_path: Path) -> None:
    """SVG and PNG are written, under any case of the suffix, and nothing else is."""
    for name, start in (("a.svg", b"<?xml"), ("b.png", b"\x89PNG"), ("c.PNG", b"\x89PNG")):
        plot(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    with pytest.raises(ConfigurationError, match=r"as \.svg or \.png, not '\.bmp'"):
        plot(tmp_path / "d.bmp")
    assert not (tmp_path / "d.bmp").exists()


def test_a_path_may_be_a_string(tmp_path: Path) -> None:
    """A plain string names the file as well as a Path does."""
    plot_reliability(CONFIDENCES, RIGHT, f"{tmp_path}/reliability.svg")

    assert "n = 80. Brier score" in words(tmp_path / "reliability.svg")


def test_reliability_counts_what_it_leaves_out(tmp_path: Path) -> None:
    """Answers without a signal are not drawn, and the picture says how many there were."""
    plot_reliability([*CONFIDENCES, math.nan], [*RIGHT, True], tmp_path / "r.svg")

    said = words(tmp_path / "r.svg")
    assert "n = 80; 1 without a signal left out." in said
    assert {"confidence", "share acceptable", "these answers, 8 a dot, with 95 % intervals"} <= set(said.splitlines())


def test_risk_coverage_shows_what_the_certified_threshold_keeps(tmp_path: Path) -> None:
    """The share kept and the share of these that is wrong are those of the items at or above the threshold."""
    assert CUT.threshold is not None
    kept = [wrong for c, wrong in zip(CONFIDENCES, WRONG, strict=True) if c >= CUT.threshold]

    plot_risk_coverage(UNCERTAINTIES, WRONG, tmp_path / "r.svg", cut=CUT)

    said = words(tmp_path / "r.svg")
    assert f"certified threshold {CUT.threshold:.3g}:" in said
    assert f"keeps {len(kept) / 80:.1%}, of these {sum(kept) / len(kept):.1%} wrong" in said
    assert f"random: {sum(WRONG) / 80:.1%} wrong" in said
    assert "oracle" in said


def test_what_was_not_certified_is_not_drawn_as_a_threshold(tmp_path: Path) -> None:
    """A failed cut is said in words, also one that has a threshold; no cut is not mentioned."""
    failed = Cut(threshold=0.0, bound=0.5, target=0.1, delta=0.1, method="order_statistic", n=80, kept=1.0)

    for cut, mentioned in ((failed, True), (harm_cut(CONFIDENCES, WRONG, target=0.001), True), (None, False)):
        plot_risk_coverage(UNCERTAINTIES, WRONG, tmp_path / "r.svg", cut=cut)
        said = words(tmp_path / "r.svg")
        assert "certified threshold" not in said
        assert ("no threshold could be certified" in said) is mentioned


def test_cost_quality_marks_the_ends_and_the_threshold(tmp_path: Path) -> None:
    """Edge alone, cloud alone and the threshold stand with the shares that are counted from the items."""
    confidences = [0.1, 0.4, 0.6, 0.9, math.nan]
    edge, cloud = [False, True, True, True, False], [True, True, False, True, True]

    plot_cost_quality(confidences, edge, tmp_path / "c.svg", cloud_right=cloud, threshold=0.6)

    said = words(tmp_path / "c.svg")
    assert {"edge alone: 60.0%", "cloud alone: 80.0%", "random mixing", "by confidence"} <= set(said.splitlines())
    assert "threshold 0.6: 100.0% right," in said
    assert "60.0% escalated" in said
    assert "n = 5; the 1 without a signal are escalated first" in said
    assert "always right" not in said


def test_an_unknown_cloud_is_said_to_count_as_right(tmp_path: Path) -> None:
    """Where the cloud's answers have no labels, the axis says what was assumed."""
    plot_cost_quality(CONFIDENCES, RIGHT, tmp_path / "c.svg")

    said = words(tmp_path / "c.svg")
    assert "the cloud counted as always right" in said
    assert "cloud alone: 100.0%" in said
    assert "threshold" not in said


@pytest.mark.parametrize("right", [[True] * 3, [False] * 3, [True, False, True]])
@pytest.mark.parametrize("confidences", [[0.0, 0.5, 1.0], [0.5] * 3])
def test_few_and_uniform_answers_can_be_drawn(confidences: list[float], right: list[bool], tmp_path: Path) -> None:
    """Answers all of one kind, all of one confidence, or of confidence 0 and 1 give pictures without a warning."""
    plot_reliability(confidences, right, tmp_path / "r.png")
    plot_risk_coverage([1 - c for c in confidences], [not r for r in right], tmp_path / "k.png")
    plot_cost_quality(confidences, right, tmp_path / "c.png", cloud_right=right)


def test_nothing_cannot_be_drawn(tmp_path: Path) -> None:
    """Without an answer, or without one that has a signal where that is needed, no file is written."""
    calls: list[Callable[[Path], None]] = [
        lambda path: plot_reliability([math.nan], [True], path),
        lambda path: plot_risk_coverage([], [], path),
        lambda path: plot_cost_quality([], [], path),
    ]
    for call in calls:
        with pytest.raises(CalibrationError, match="nothing to draw"):
            call(tmp_path / "x.svg")
    assert not list(tmp_path.iterdir())


@each_plot
def test_a_picture_needs_no_main_thread_and_changes_no_setting(plot: Callable[[Path], None], tmp_path: Path) -> None:
    """It can be drawn in any thread, and matplotlib's global settings are afterwards what they were."""
    matplotlib: Any = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    thread = threading.Thread(target=plot, args=(tmp_path / "a.png",))

    thread.start()
    thread.join()

    assert (tmp_path / "a.png").stat().st_size > 5000
    assert dict(matplotlib.rcParams) == before


def test_importing_loads_no_matplotlib_and_drawing_no_pyplot(tmp_path: Path) -> None:
    """matplotlib comes with the first picture, its global interface not even then."""
    code = (
        "import sys; from confroute.calibration.plots import plot_reliability\n"
        "assert 'matplotlib' not in sys.modules and 'numpy' not in sys.modules\n"
        f"plot_reliability([0.2, 0.8], [False, True], {str(tmp_path / 'a.svg')!r})\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
