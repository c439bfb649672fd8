"""AUROC and its interval."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.errors import CalibrationError
from confroute.evaluation import auroc, bootstrap_interval, prr

ITEMS = st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, math.inf]), st.booleans()), min_size=1)


@given(ITEMS)
def test_auroc_is_the_share_of_ordered_pairs(items: list[tuple[float, bool]]) -> None:
    """It equals counting all pairs of a wrong and a right answer, ties half."""
    wrong = [u for u, is_wrong in items if is_wrong]
    right = [u for u, is_wrong in items if not is_wrong]

    value = auroc([u for u, _ in items], [w for _, w in items])

    if not wrong or not right:
        assert math.isnan(value)
    else:
        pairs = sum((w > r) + 0.5 * (w == r) for w in wrong for r in right)
        assert math.isclose(value, pairs / (len(wrong) * len(right)))


@given(ITEMS)
def test_auroc_of_the_complement_is_one_minus_it(items: list[tuple[float, bool]]) -> None:
    """Calling right answers wrong turns the curve over."""
    values, wrong = [u for u, _ in items], [w for _, w in items]

    a, b = auroc(values, wrong), auroc(values, [not w for w in wrong])

    assert math.isnan(a) == math.isnan(b)
    if not math.isnan(a):
        assert math.isclose(a + b, 1.0)


def test_the_interval_of_a_mean_covers_as_often_as_it_says() -> None:
    """Of 200 intervals for a coin's mean at 90 %, about 180 hold the truth; fewer than 165 has probability < .001."""
    import random

    rng = random.Random(1)
    covered = 0
    for trial in range(200):
        flips = [rng.random() < 0.5 for _ in range(60)]
        low, high = bootstrap_interval(
            lambda indices, flips=flips: sum(flips[i] for i in indices) / len(indices),
            60,
            level=0.9,
            resamples=200,
            seed=trial,
        )
        covered += low <= 0.5 <= high

    assert covered >= 165


def test_an_undefined_statistic_has_no_interval() -> None:
    """Where every resample is NaN, so is the interval."""
    assert all(math.isnan(bound) for bound in bootstrap_interval(lambda indices: math.nan, 5))


def test_no_signal_is_the_most_uncertain() -> None:
    """NaN ranks above every number and ties with other NaN; it once never returned."""
    assert auroc([0.1, math.nan, math.nan], [False, True, True]) == 1.0
    assert auroc([math.nan, math.nan, 0.3], [False, True, False]) == 0.75


def test_each_item_has_an_uncertainty_and_a_label() -> None:
    """One too few, of either, is an error."""
    for uncertainties, wrong in (([0.1, 0.2], [True]), ([0.1], [True, False])):
        with pytest.raises(CalibrationError, match="one for each item"):
            auroc(uncertainties, wrong)


def test_grades_that_differ_by_rounding_are_equal() -> None:
    """There is nothing to gain by rejecting any of them."""
    assert math.isnan(prr([1, 2, 3], [0.3, 0.1 + 0.2, 0.3]))
