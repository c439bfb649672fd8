"""AUROC and its interval."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.errors import CalibrationError
from confroute.evaluation import auroc, auroc_interval, bootstrap_interval, prr

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


@pytest.mark.parametrize(("wrong", "right"), [(0, 5), (1, 4), (4, 40), (40, 4)])
def test_few_answers_of_one_kind_have_no_interval(wrong: int, right: int) -> None:
    """Drawn again, four items show too little of what others would be."""
    uncertainties = [0.9] * wrong + [0.1] * right
    low, high = auroc_interval(uncertainties, [True] * wrong + [False] * right)
    assert math.isnan(low)
    assert math.isnan(high)


@pytest.mark.parametrize("few", [5, 20, 200])
def test_answers_in_perfect_order_do_not_have_a_certain_auroc(few: int) -> None:
    """Five wrong answers, all less sure than the right ones, happen in one of 40 cases at .478; the mirror, too."""
    wrong = [True] * few + [False] * 200
    low, high = auroc_interval([float(each) for each in wrong], wrong)
    assert high == 1.0
    assert low**few == pytest.approx(0.025)
    assert auroc_interval([float(not each) for each in wrong], wrong) == pytest.approx((0.0, 1 - low))


def test_many_answers_have_the_bootstrap_s_interval() -> None:
    """That of the documents' tables."""
    wrong = [i % 3 == 0 for i in range(60)]
    values = [(i * 7 % 11) / 11 + 0.3 * each for i, each in enumerate(wrong)]

    def drawn(indices: Sequence[int]) -> float:
        return auroc([values[i] for i in indices], [wrong[i] for i in indices])

    assert auroc_interval(values, wrong) == bootstrap_interval(drawn, 60)


@pytest.mark.parametrize(("apart", "truth"), [(1.2, 0.802), (2.0, 0.921)])
def test_the_interval_of_few_answers_covers(apart: float, truth: float) -> None:
    """Of 100 samples of five wrong and twenty right answers, at least 80 intervals hold the truth, which the bootstrap
    alone misses where all five are in order."""
    rng, wrong = random.Random(2), [True] * 5 + [False] * 20
    covered = 0
    for _ in range(100):
        low, high = auroc_interval([rng.gauss(apart * each, 1) for each in wrong], wrong, resamples=200)
        covered += low <= truth <= high
    assert covered >= 80


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
