"""AUROC and its interval."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.errors import CalibrationError, ConfigurationError
from confroute.evaluation import auroc, auroc_interval, bootstrap_interval, brier, ece, prr, reliability

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
    """The interval ends at 1, begins lower the fewer they are, and is mirrored where all are in the wrong order."""
    wrong = [True] * few + [False] * 200
    low, high = auroc_interval([float(each) for each in wrong], wrong)
    assert (round(low, 2), high) == ({5: 0.81, 20: 0.95, 200: 0.99}[few], 1.0)
    assert auroc_interval([float(not each) for each in wrong], wrong) == pytest.approx((0.0, 1 - low))


def test_one_answer_out_of_order_changes_little() -> None:
    """Five wrong answers in perfect order are told as much of as five that are almost."""
    wrong = [False] * 200 + [True] * 5
    perfect = auroc_interval([i / 200 for i in range(200)] + [2.0] * 5, wrong)
    almost = auroc_interval([i / 200 for i in range(200)] + [0.97] + [2.0] * 4, wrong)
    assert perfect == pytest.approx(almost, abs=0.03)


def test_the_interval_is_where_the_equations_say() -> None:
    """At its ends, A lies z standard errors away: Hanley and McNeil's with averaged sizes, by hand."""
    wrong = [i % 3 == 0 for i in range(60)]
    values = [(i * 7 % 11) / 11 + 0.5 * each for i, each in enumerate(wrong)]
    area = auroc(values, wrong)
    for t in auroc_interval(values, wrong):
        variance = t * (1 - t) * (1 + 29 * ((1 - t) / (2 - t) + t / (1 + t))) / (20 * 40)
        assert abs(area - t) == pytest.approx(1.959964 * math.sqrt(variance))


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0])
def test_the_interval_does_not_depend_on_the_scale(shift: float) -> None:
    """Only the order counts; NaN is the greatest, and turning the labels over mirrors it."""
    rng, wrong = random.Random(3), [i % 4 == 0 for i in range(80)]
    values = [rng.gauss(shift * each, 1 + each) for each in wrong]
    interval = auroc_interval(values, wrong)
    assert auroc_interval([math.exp(value) for value in values], wrong) == interval
    assert auroc_interval(values, [not each for each in wrong]) == pytest.approx((1 - interval[1], 1 - interval[0]))
    assert auroc_interval([math.nan if v == max(values) else v for v in values], wrong) == interval


@pytest.mark.parametrize("level", [0.0, 1.0, 95, -0.5, math.nan])
def test_a_level_is_between_0_and_1(level: float) -> None:
    """95 is no level."""
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        auroc_interval([0.1] * 12, [True, False] * 6, level=level)
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        bootstrap_interval(lambda indices: 0.0, 5, level=level)


@pytest.mark.parametrize(
    ("few", "many", "apart", "spread", "truth", "misses"),
    [
        (5, 200, 0.0, 1, 0.5, 0.05),
        (5, 200, 1.19, 1, 0.8, 0.05),
        (5, 200, 1.812, 1, 0.9, 0.05),
        (20, 200, 1.812, 1, 0.9, 0.05),
        (10, 200, 0.0, 2, 0.5, 0.07),
        (20, 200, 1.5, 2, 0.749, 0.07),
        (20, 200, 1.0, 0.5, 0.814, 0.05),
    ],
)
def test_the_interval_of_few_answers_covers(
    few: int, many: int, apart: float, spread: float, truth: float, misses: float
) -> None:
    """Of 400 samples so few intervals miss the truth, which the bootstrap did in up to a fifth; more has probability
    below .001."""
    rng, wrong, missed = random.Random(2), [True] * few + [False] * many, 0
    for _ in range(400):
        low, high = auroc_interval([rng.gauss(apart, spread) if each else rng.gauss(0, 1) for each in wrong], wrong)
        missed += not low <= truth <= high
    assert missed <= 400 * misses + 3.1 * math.sqrt(400 * misses * (1 - misses))


GRADES = [[0, 0.5] * 6, [0, 2] * 6, [-1, 1] * 6, [0, math.nan, 1] * 4]


@pytest.mark.parametrize("labels", GRADES)
def test_a_label_says_yes_or_no(labels: list[Any]) -> None:
    """A grade, a class or no label at all is told, not counted as one of both."""
    values = [i / 12 for i in range(12)]
    for measure in (auroc, auroc_interval, brier, ece, reliability):
        with pytest.raises(CalibrationError, match="Turn grades into such first"):
            measure(values, labels)


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
