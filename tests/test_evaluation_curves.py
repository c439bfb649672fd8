"""Rejection, reliability and cost curves, and the numbers that sum them up."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from itertools import groupby, pairwise, permutations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.errors import CalibrationError, ConfigurationError
from confroute.evaluation import aurc, auroc, brier, cost_quality, ece, prr, reliability, risk_coverage

NAN, INF = math.nan, math.inf
UNCERTAINTIES = st.sampled_from([0.0, 0.25, 0.5, 1.0, INF])
CONFIDENCES = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9, 1.0])
GRADES = st.sampled_from([0.0, 0.25, 0.5, 1.0])
GRADED = st.lists(st.tuples(UNCERTAINTIES, GRADES), min_size=1, max_size=30)
PROBABILITIES = st.lists(st.tuples(CONFIDENCES, st.booleans()), min_size=1, max_size=60)
ROUTED = st.lists(st.tuples(CONFIDENCES | st.just(NAN), st.booleans(), st.booleans()), min_size=1, max_size=30)


def close(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


def drawn(n: int, seed: int = 0) -> tuple[list[float], list[bool]]:
    """Confidences, and outcomes that have just these probabilities."""
    rng = random.Random(seed)
    confidences = [rng.random() for _ in range(n)]
    return confidences, [rng.random() < confidence for confidence in confidences]


@pytest.mark.parametrize(
    ("uncertainties", "quality", "expected"),
    [
        ([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0], 1),
        ([0.5, 0.5, 0.5, 0.5], [1, 0, 1, 0], 0),
        # Areas: (1 + 1/2 + 2/3 + 1/2) / 4; random 1/2; oracle (1 + 1 + 2/3 + 1/2) / 4.
        ([1, 3, 2, 4], [1, 1, 0, 0], Fraction(4, 7)),
        # The worst order of one right and one wrong: (0 + 1/2) / 2, random 1/2, oracle 3/4.
        ([1, 2], [0, 1], -1),
        # Graded: (1/2 + 3/4 + 1/2) / 3, random 1/2, oracle (1 + 3/4 + 1/2) / 3.
        ([1, 2, 3], [0.5, 1, 0], Fraction(1, 3)),
    ],
)
def test_prr_has_known_values(uncertainties: list[float], quality: list[float], expected: float | Fraction) -> None:
    """It is (area - random) / (oracle - random), worked out by hand."""
    assert close(prr(uncertainties, quality), float(expected))


@given(GRADED)
def test_prr_is_at_most_the_oracles(items: list[tuple[float, float]]) -> None:
    """Nothing rejects better than the oracle, 1, and where all is equally good there is no ratio."""
    quality = [grade for _, grade in items]

    value = prr([u for u, _ in items], quality)

    if len(set(quality)) < 2:
        assert math.isnan(value)
    else:
        assert value <= 1 + 1e-9
        assert close(prr([-grade for grade in quality], quality), 1)
        assert close(prr([0.5] * len(quality), quality), 0)


@given(GRADED, st.sampled_from([0.5, 4.0]), st.sampled_from([-2.0, 0.0, 1.0]))
def test_prr_knows_no_scales(items: list[tuple[float, float]], factor: float, shift: float) -> None:
    """Stretching or shifting the quality, or any rising map of the uncertainty, leaves it as it is."""
    uncertainties, quality = [u for u, _ in items], [grade for _, grade in items]

    mapped = prr([math.atan(u) for u in uncertainties], [factor * grade + shift for grade in quality])

    assert close(mapped, prr(uncertainties, quality))


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), GRADES), min_size=1, max_size=6))
def test_aurc_is_the_mean_over_all_ways_to_break_ties(items: list[tuple[float, float]]) -> None:
    """Tied items count as if in each order equally often."""
    groups = [list(group) for _, group in groupby(sorted(items), key=lambda item: item[0])]
    areas: list[float] = []
    for orders in product(*(permutations(group) for group in groups)):
        losses = [loss for order in orders for _, loss in order]
        areas.append(sum(sum(losses[:k]) / k for k in range(1, len(losses) + 1)) / len(losses))

    assert close(aurc([u for u, _ in items], [loss for _, loss in items]), sum(areas) / len(areas))


@given(st.lists(st.tuples(UNCERTAINTIES | st.just(NAN), st.booleans()), min_size=1, max_size=30), st.randoms())
def test_no_signal_is_the_most_uncertain_and_order_is_nothing(
    items: list[tuple[float, bool]], rng: random.Random
) -> None:
    """NaN gives what infinity gives, and shuffling the items changes nothing."""
    shuffled = rng.sample(items, len(items))
    uncertainties, losses = [u for u, _ in shuffled], [loss for _, loss in shuffled]
    as_infinite = [INF if math.isnan(u) else u for u, _ in items]
    in_order = [loss for _, loss in items]

    assert close(aurc(uncertainties, losses), aurc(as_infinite, in_order))
    assert close(prr(uncertainties, losses), prr(as_infinite, in_order))
    assert risk_coverage(uncertainties, losses) == risk_coverage(as_infinite, in_order)
    assert risk_coverage(uncertainties, losses)[-1] == (1.0, sum(losses) / len(losses))


@given(GRADED)
def test_risk_coverage_is_the_mean_loss_below_each_threshold(items: list[tuple[float, float]]) -> None:
    """A point for each distinct uncertainty: the share of items up to it and their mean loss."""
    expected = []
    for threshold in sorted({u for u, _ in items}):
        kept = [loss for u, loss in items if u <= threshold]
        expected.append((len(kept) / len(items), sum(kept) / len(kept)))

    assert risk_coverage([u for u, _ in items], [loss for _, loss in items]) == expected


def test_auroc_and_brier_are_those_of_scikit_learn() -> None:
    """The same numbers as the reference implementation, ties included."""
    metrics = pytest.importorskip("sklearn.metrics")
    confidences, acceptable = drawn(500)
    confidences = [round(confidence, 1) for confidence in confidences]

    assert close(brier(confidences, acceptable), metrics.brier_score_loss(acceptable, confidences))
    assert close(
        auroc([1 - confidence for confidence in confidences], [not good for good in acceptable]),
        metrics.roc_auc_score(acceptable, confidences),
    )


def test_reliability_is_that_of_scikit_learn() -> None:
    """Without ties, the bins are those between the quantiles."""
    calibration = pytest.importorskip("sklearn.calibration")
    confidences, acceptable = drawn(200)

    shares, means = calibration.calibration_curve(acceptable, confidences, n_bins=10, strategy="quantile")

    curve = reliability(confidences, acceptable, bins=10)
    assert [mean for mean, _, _ in curve] == pytest.approx(list(means))
    assert [share for _, share, _ in curve] == pytest.approx(list(shares))


@given(st.integers(1, 200), st.integers(1, 20))
def test_bins_differ_by_one_where_nothing_is_tied(n: int, bins: int) -> None:
    """As many bins as asked for, or as there are items, of as equal a size as can be."""
    sizes = [size for _, _, size in reliability([i / n for i in range(n)], [True] * n, bins)]

    assert len(sizes) == min(n, bins)
    assert sum(sizes) == n
    assert max(sizes) - min(sizes) <= 1


@given(PROBABILITIES, st.integers(1, 20))
def test_no_tie_is_split_between_bins(items: list[tuple[float, bool]], bins: int) -> None:
    """The bins are disjoint and rising, hold every item once, and keep the mean confidence and the share acceptable."""
    confidences, acceptable = [c for c, _ in items], [good for _, good in items]

    curve = reliability(confidences, acceptable, bins)

    assert all(a[0] < b[0] for a, b in pairwise(curve))
    assert len(curve) <= min(bins, len(set(confidences)))
    assert sum(size for _, _, size in curve) == len(items)
    assert close(sum(size * mean for mean, _, size in curve), sum(confidences))
    assert close(sum(size * share for _, share, size in curve), sum(acceptable))


@given(PROBABILITIES, st.integers(1, 20))
def test_ece_is_between_the_overall_error_and_one(items: list[tuple[float, bool]], bins: int) -> None:
    """Errors of opposite sign cancel only within a bin, so one bin gives the least, |mean confidence - share|."""
    confidences, acceptable = [c for c, _ in items], [good for _, good in items]
    overall = abs(sum(confidences) - sum(acceptable)) / len(items)

    value = ece(confidences, acceptable, bins)

    assert overall - 1e-9 <= value <= 1 + 1e-9
    assert close(ece(confidences, acceptable, bins=1), overall)


def test_ece_of_honest_confidences_is_above_zero_and_falls_with_the_items() -> None:
    """The bias that its docstring warns of: calibrated by construction, yet not 0."""
    few, many = ece(*drawn(150)), ece(*drawn(15000))

    assert few > 0.05 > 0.02 > many > 0


@given(PROBABILITIES)
def test_no_constant_has_a_lower_brier_score_than_the_share_acceptable(items: list[tuple[float, bool]]) -> None:
    """Among constants the true share is best, and its score is p (1 - p)."""
    acceptable = [good for _, good in items]
    share = sum(acceptable) / len(items)

    best = brier([share] * len(items), acceptable)

    assert close(best, share * (1 - share))
    assert all(best <= brier([c] * len(items), acceptable) + 1e-9 for c, _ in items)


@given(PROBABILITIES)
def test_a_confidence_that_is_missing_is_no_probability(items: list[tuple[float, bool]]) -> None:
    """Items of NaN are left out where confidences are read as probabilities."""
    confidences, acceptable = [c for c, _ in items], [good for _, good in items]

    for measure in (brier, ece, reliability):
        assert measure([*confidences, NAN], [*acceptable, True]) == measure(confidences, acceptable)


@given(ROUTED)
def test_cost_quality_is_what_each_threshold_serves(items: list[tuple[float, bool, bool]]) -> None:
    """A point for each threshold: below it, and without a signal, the cloud answers, else the edge."""
    ranks = [(-INF if math.isnan(c) else c, edge, cloud) for c, edge, cloud in items]
    expected = []
    for threshold in [*sorted({rank for rank, _, _ in ranks}), INF]:
        served = [edge if rank >= threshold else cloud for rank, edge, cloud in ranks]
        expected.append((sum(rank < threshold for rank, _, _ in ranks) / len(items), sum(served) / len(items)))

    curve = cost_quality([c for c, _, _ in items], [edge for _, edge, _ in items], [cloud for _, _, cloud in items])

    assert curve == expected
    assert (curve[0][0], curve[-1][0]) == (0.0, 1.0)


def test_a_cloud_that_is_no_better_can_cost_quality() -> None:
    """Where the edge is right and the cloud is wrong, escalating loses."""
    assert cost_quality([0.2, 0.8], [1, 0.5], [0, 0.5]) == [(0.0, 0.75), (0.5, 0.25), (1.0, 0.25)]


def test_nothing_measured_is_nan_or_an_empty_curve() -> None:
    """Without items, or without one that has a signal, there is no number and no point."""
    assert all(math.isnan(measure([], [])) for measure in (prr, aurc, brier, ece))
    assert math.isnan(brier([NAN], [True]))
    assert math.isnan(ece([NAN], [True]))
    assert risk_coverage([], []) == reliability([], []) == cost_quality([], [], []) == reliability([NAN], [True]) == []


@pytest.mark.parametrize("measure", [prr, aurc, risk_coverage, brier, ece, reliability])
def test_unequal_lengths_are_refused(measure: object) -> None:
    """One value for each item, or nothing is measured."""
    with pytest.raises(CalibrationError, match="2 values on one side but 1"):
        measure([0.1, 0.2], [True])  # type: ignore[operator]
    with pytest.raises(CalibrationError, match="values on one side"):
        cost_quality([0.1, 0.2], [True, False], [True])


@pytest.mark.parametrize("measure", [brier, ece, reliability])
def test_an_uncertainty_is_no_confidence(measure: object) -> None:
    """What is outside [0, 1] is no probability and is refused."""
    with pytest.raises(CalibrationError, match=r"in \[0, 1\]"):
        measure([1.5], [True])  # type: ignore[operator]


def test_there_is_at_least_one_bin() -> None:
    """No bins is a wrong setting."""
    with pytest.raises(ConfigurationError, match="bins must be at least 1, not 0"):
        ece([0.5], [True], bins=0)


@pytest.mark.parametrize("measure", [auroc, prr, aurc, risk_coverage, brier, ece, reliability, cost_quality])
def test_arrays_are_taken_as_lists_are(measure: Any) -> None:
    """NumPy's numbers and truth values give what Python's do; so do none at all."""
    numpy = pytest.importorskip("numpy")
    for values, labels in (([0.1, 0.4, 0.35, 0.8], [True, True, False, False]), ([], [])):
        more = [labels[::-1]] if measure is cost_quality else []
        given = [numpy.array(column, dtype=float if column is values else bool) for column in (values, labels, *more)]
        expected, got = measure(values, labels, *more), measure(*given)
        assert got == expected or (math.isnan(got) and math.isnan(expected))
