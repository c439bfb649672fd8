"""The thresholds, by exact algebra. What they promise is simulated in test_promises.py."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from confroute import ConfigurationError
from confroute.calibration import Cut, Platt, cost_cut, error_cut, harm_cut, labels_needed
from confroute.calibration.thresholds import _labels_for
from confroute.errors import CalibrationError

NAN = math.nan
tenths = st.sampled_from([i / 10 for i in range(11)])
signals = st.one_of(tenths, st.floats(0, 1), st.just(NAN))
labelled = st.lists(st.tuples(signals, st.booleans()), max_size=80)
targets = st.floats(0.01, 0.99)
Rule = Callable[[Sequence[float], Sequence[bool], float, float], Cut]


def rcps(confidences: Sequence[float], losses: Sequence[bool], target: float, delta: float) -> Cut:
    return harm_cut(confidences, losses, target, delta)


def crc(confidences: Sequence[float], losses: Sequence[bool], target: float, delta: float) -> Cut:
    return harm_cut(confidences, losses, target, delta, method="crc")


def ltt(confidences: Sequence[float], losses: Sequence[bool], target: float, delta: float) -> Cut:
    return error_cut(confidences, losses, target, delta)


def cost(confidences: Sequence[float], losses: Sequence[bool], target: float, delta: float) -> Cut:
    return cost_cut(confidences, target, delta)


quality = pytest.mark.parametrize("rule", [rcps, crc, ltt])
every = pytest.mark.parametrize("rule", [rcps, crc, ltt, cost])


def strictness(cut: Cut) -> float:
    return math.inf if cut.threshold is None else cut.threshold


def keeps(cut: Cut, confidence: float) -> bool:
    return confidence >= strictness(cut)


# Known answers


@pytest.mark.parametrize(
    ("target", "at_05", "at_10"), [(0.01, 299, 230), (0.02, 149, 114), (0.05, 59, 45), (0.10, 29, 22), (0.20, 14, 11)]
)
def test_labels_needed_is_the_least_number(target: float, at_05: int, at_10: int) -> None:
    """With so many faultless items, and not with one fewer, everything is certified."""
    for delta, needed in ((0.05, at_05), (0.1, at_10)):
        assert labels_needed(target, delta) == needed
        for n, certified in ((needed, True), (needed - 1, False)):
            cut = harm_cut([0.5] * n, [False] * n, target, delta)
            assert cut.certified == (cut.threshold == 0.5) == certified
            assert cut.labels_needed == (None if certified else needed)


@given(labelled, targets, st.floats(0.01, 0.5))
def test_rcps_keeps_the_most_that_the_binomial_test_allows(
    items: list[tuple[float, bool]], target: float, delta: float
) -> None:
    """The threshold is the lowest confidence at which P(Bin(n, target) <= observed losses) is at most delta."""
    confidences, losses = [c for c, _ in items], [w for _, w in items]
    cut = harm_cut(confidences, losses, target, delta)

    allowed = [
        t
        for t in {c for c in confidences if c == c}
        if binom.cdf(sum(w for c, w in items if c >= t), len(items), target) <= delta
    ]
    assert cut.threshold == min(allowed, default=None)
    assert cut.kept == (sum(keeps(cut, c) for c in confidences) / len(items) if items else 0)


@given(labelled, targets)
def test_crc_is_its_formula(items: list[tuple[float, bool]], target: float) -> None:
    """The lowest threshold with (losses + 1) / (n + 1) at most the target."""
    confidences, losses = [c for c, _ in items], [w for _, w in items]

    allowed = [
        t
        for t in {c for c in confidences if c == c}
        if (sum(w for c, w in items if c >= t) + 1) / (len(items) + 1) <= target
    ]
    assert harm_cut(confidences, losses, target, method="crc").threshold == min(allowed, default=None)


@given(st.lists(signals, max_size=80), targets, st.floats(0.01, 0.5) | st.none())
def test_a_budget_is_a_harm_whose_loss_is_the_escalation(
    confidences: list[float], budget: float, delta: float | None
) -> None:
    """The highest confidence below which so few lie that the binomial test, or the mean, allows it."""
    n = len(confidences)
    cut = cost_cut(confidences, budget, delta)

    def fits(escalated: int) -> bool:
        if delta is None:
            return (escalated + 1) / (n + 1) <= budget
        return bool(binom.cdf(escalated, n, budget) <= delta)

    allowed = [t for t in confidences if t == t and fits(sum(not c >= t for c in confidences))]
    assert cut.threshold == max(allowed, default=0.0)
    assert cut.certified == bool(allowed)
    assert n == 0 or cut.kept == sum(c >= cut.threshold for c in confidences) / n


def test_error_cut_tests_in_turn_and_stops_at_the_first_failure() -> None:
    """A later kept share that would pass again does not count: the order is fixed and the first failure ends it."""
    # By falling confidence: 200 right, 100 wrong, 700 right.
    confidences = [1 - i / 1000 for i in range(1000)]
    wrong = [200 <= i < 300 for i in range(1000)]

    cut = error_cut(confidences, wrong, target=0.12, grid=5, least_kept=0.2)

    assert binom.cdf(100, 1000, 0.12) < 0.1
    assert cut.kept == 0.2
    assert cut.threshold == confidences[199]
    assert error_cut(confidences, wrong, target=0.12, grid=1, least_kept=1.0).kept == 1.0


# Monotonicity and robustness


@every
@given(items=labelled, target=targets, other=targets, delta=st.floats(0.02, 0.4), laxer=st.floats(0.02, 0.4))
def test_asking_for_less_never_costs_more(
    rule: Rule, items: list[tuple[float, bool]], target: float, other: float, delta: float, laxer: float
) -> None:
    """A higher target or delta never makes a quality threshold stricter, nor a budget's laxer."""
    confidences, losses = [c for c, _ in items], [w for _, w in items]
    (target, other), (delta, laxer) = sorted((target, other)), sorted((delta, laxer))
    sign = -1 if rule is cost else 1
    here = sign * strictness(rule(confidences, losses, target, delta))
    assert sign * strictness(rule(confidences, losses, other, delta)) <= here
    assert sign * strictness(rule(confidences, losses, target, laxer)) <= here


@pytest.mark.parametrize("rule", [rcps, crc])
@given(items=labelled, target=targets, added=signals)
def test_one_more_kept_harm_never_keeps_more(
    rule: Rule, items: list[tuple[float, bool]], target: float, added: float
) -> None:
    """A further item that is kept and lossy never lowers the threshold."""
    confidences, losses = [c for c, _ in items], [w for _, w in items]
    before = rule(confidences, losses, target, 0.1)
    after = rule([*confidences, added], [*losses, True], target, 0.1)
    if keeps(before, added):
        assert strictness(after) >= strictness(before)


@quality
@given(items=labelled, target=targets, which=st.integers(0, 79))
def test_a_right_answer_that_turns_wrong_never_keeps_more(
    rule: Rule, items: list[tuple[float, bool]], target: float, which: int
) -> None:
    """More losses among the same items never lower a threshold."""
    confidences, losses = [c for c, _ in items], [w for _, w in items]
    worse = [w or i == which for i, w in enumerate(losses)]
    assert strictness(rule(confidences, worse, target, 0.1)) >= strictness(rule(confidences, losses, target, 0.1))


@every
@given(items=labelled, target=targets, seed=st.integers(0, 99))
def test_order_does_not_matter(rule: Rule, items: list[tuple[float, bool]], target: float, seed: int) -> None:
    """Items are a set, ties included."""
    shuffled = list(items)
    random.Random(seed).shuffle(shuffled)
    first, second = (rule([c for c, _ in x], [w for _, w in x], target, 0.1) for x in (items, shuffled))
    assert first == second


@every
@given(items=labelled, target=targets)
def test_the_bound_is_at_most_the_target_or_nothing_is_promised(
    rule: Rule, items: list[tuple[float, bool]], target: float
) -> None:
    """A quality target that cannot be certified escalates everything; a budget then escalates as little as can be."""
    cut = rule([c for c, _ in items], [w for _, w in items], target, 0.1)
    assert cut.certified == (cut.bound <= cut.target)
    assert 0 <= cut.bound <= 1
    if rule is cost:
        assert cut.certified or cut.threshold == 0
    else:
        assert cut.certified == (cut.threshold is not None) == (cut.kept > 0)


@quality
@pytest.mark.parametrize("confidences", [[], [0.9], [NAN], [NAN] * 300])
def test_too_little_or_no_signal_escalates_everything(rule: Rule, confidences: list[float]) -> None:
    """No items, one item or no signal at all certify nothing."""
    cut = rule(confidences, [False] * len(confidences), 0.05, 0.1)
    assert cut.threshold is None
    assert cut.kept == 0
    assert not cut.certified


@pytest.mark.parametrize("confidences", [[], [0.9], [NAN], [NAN] * 300, [NAN] * 40 + [0.5] * 60])
def test_a_budget_below_what_has_no_signal_is_not_certified(confidences: list[float]) -> None:
    """What has no signal is escalated whatever the threshold; the bound says so."""
    cut = cost_cut(confidences, 0.3)
    assert cut.threshold == 0
    assert not cut.certified
    assert cut.labels_needed == (7 if sum(c != c for c in confidences) == 0 else None)


def test_ties_at_the_threshold_are_kept_and_counted() -> None:
    """Where all answers share one confidence there are two thresholds only, and harm is counted over all of them."""
    assert harm_cut([0.7] * 100, [i < 4 for i in range(100)], 0.1).threshold == 0.7
    assert harm_cut([0.7] * 100, [i < 8 for i in range(100)], 0.1).threshold is None
    assert cost_cut([0.7] * 100, 0.3).threshold == 0.7


@pytest.mark.parametrize(("lossy", "n", "fewest"), [(3, 100, 59), (1, 100, 39), (4, 100, 99)])
def test_what_is_needed_is_the_fewest(lossy: int, n: int, fewest: int) -> None:
    """More items can be fewer than enough, where one more of them is lossy: all numbers below it fail."""
    enough = [math.ceil(round(lossy / n * m, 9)) + 1 <= 0.05 * (m + 1) for m in range(1, 200)]
    assert _labels_for(lossy / n, 0.05, None) == 1 + enough.index(True) == fewest


def test_what_is_needed_is_enough() -> None:
    """With as many items as `labels_needed` says, of the same kind, the target is certified."""
    for cut_of, losses, n in ((harm_cut, 8, 100), (error_cut, 16, 200)):
        needed = cut_of([0.7] * n, [i < losses for i in range(n)], 0.1).labels_needed
        assert needed is not None
        assert needed > n
        assert cut_of([0.7] * needed, [i < math.ceil(0.08 * needed) for i in range(needed)], 0.1).certified


def test_more_labels_do_not_help_where_the_surest_are_too_often_wrong() -> None:
    """No number of labels is named where the observed share is above the target."""
    wrong = [i % 5 == 0 for i in range(200)]
    assert harm_cut([0.7] * 200, wrong, 0.1).labels_needed is None
    assert error_cut([0.7] * 200, wrong, 0.1).labels_needed is None


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=12, max_size=60), targets)
def test_a_calibrator_fitted_on_the_same_items_keeps_the_same_answers(
    items: list[tuple[float, bool]], target: float
) -> None:
    """A strictly decreasing map leaves every kept set as it is, so the promise survives fitting on the same items."""
    uncertainties, wrong = [round(u, 3) for u, _ in items], [w for _, w in items]
    calibrator = Platt(slope=-2.5, intercept=1.0)
    raw = harm_cut([1 - u for u in uncertainties], wrong, target)
    calibrated = harm_cut([calibrator.confidence(u) for u in uncertainties], wrong, target)
    assert [keeps(raw, 1 - u) for u in uncertainties] == [
        keeps(calibrated, calibrator.confidence(u)) for u in uncertainties
    ]


# Errors


@pytest.mark.parametrize("target", [0, 1, -0.1, 2, NAN])
def test_impossible_targets_are_refused(target: float) -> None:
    """A target or delta outside (0, 1) is a configuration error that names it."""
    for call in (
        lambda: cost_cut([0.5], target),
        lambda: harm_cut([0.5], [True], target),
        lambda: error_cut([0.5], [True], target),
        lambda: labels_needed(target),
    ):
        with pytest.raises(ConfigurationError, match="between 0 and 1"):
            call()
    with pytest.raises(ConfigurationError, match="delta"):
        harm_cut([0.5], [True], 0.1, target)


@pytest.mark.parametrize(("confidences", "labels"), [([0.5], []), ([0.5, 1.2], [True, False]), ([0.5], [0.5])])
def test_impossible_items_are_refused(confidences: list[float], labels: list[bool]) -> None:
    """Unequal lengths, an uncertainty for a confidence, a grade for a label."""
    for rule in (harm_cut, error_cut):
        with pytest.raises(CalibrationError):
            rule(confidences, labels, 0.1)


def test_impossible_settings_are_refused() -> None:
    """An unknown method, an empty grid, a kept share of nothing."""
    with pytest.raises(ConfigurationError, match="rcps"):
        harm_cut([0.5], [True], 0.1, method="naive")  # type: ignore[arg-type]
    for grid, least in ((0, 0.2), (10, 0.0), (10, 1.1)):
        with pytest.raises(ConfigurationError, match="grid"):
            error_cut([0.5], [True], 0.1, grid=grid, least_kept=least)
