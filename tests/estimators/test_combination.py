"""A logistic regression on other estimators."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import Disagreement, Evidence, MeanLogprob, SemanticEntropy
from confroute.errors import ConfigurationError, InputError
from confroute.estimators import (
    CoCoA,
    EigenvalueSum,
    LogisticCombination,
    LogprobQuantile,
    Margin,
    PTrue,
    SequenceNLL,
    TokenEntropy,
    Verbalized,
)
from confroute.testing import says

numbers = st.floats(-20, 20)
UNKNOWN = Evidence(question="", answer=says("x"))


def spoken(*logprobs: float) -> Evidence:
    return Evidence(question="", answer=says("x", *logprobs))


@given(st.floats(0, 20), st.floats(0, 20), numbers, numbers, numbers)
def test_equation(first: float, second: float, a: float, b: float, bias: float) -> None:
    """1 / (1 + exp(-(bias + sum w u))) of the parts' own numbers, here the mean and the sum of two logprobs."""
    combined = LogisticCombination((MeanLogprob(), SequenceNLL()), weights=(a, b), bias=bias)
    logit = bias + a * (first + second) / 2 + b * (first + second)
    expected = 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
    assert combined.estimate(spoken(-first, -second)).uncertainty == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("weight", "expected"), [(1e6, 1.0), (-1e6, 0.0), (0.0, 0.5)])
def test_extreme_weights(weight: float, expected: float) -> None:
    """It does not overflow."""
    assert LogisticCombination((MeanLogprob(),), weights=(weight,), bias=0.0).estimate(
        spoken(-9.0)
    ).uncertainty == pytest.approx(expected)


@pytest.mark.parametrize("evidence", [UNKNOWN, spoken(-math.inf), spoken(math.nan)])
def test_one_part_without_a_number(evidence: Evidence) -> None:
    """Leaves none, also where its weight is 0, and no bounds."""
    combined = LogisticCombination((MeanLogprob(),), weights=(0.0,), bias=0.0)
    assert math.isnan(combined.estimate(evidence).uncertainty)
    assert combined.bounds(evidence, 2) is None


def test_bounds_with_a_negative_weight() -> None:
    """Disagreement with one unlike of two drawn and two to come is from 1/4 to 3/4; a negative weight turns that round,
    and -2 + 4 u of one part and -2 u of another make an interval of the extremes of both."""
    evidence = Evidence(question="", answer=says("Paris", -1.0), samples=(says("Paris"), says("Rome")))
    one = LogisticCombination((Disagreement(),), weights=(-4.0,), bias=2.0)
    both = LogisticCombination((Disagreement(), Disagreement()), weights=(4.0, -2.0), bias=-2.0)

    def sigmoid(logit: float) -> float:
        return 1 / (1 + math.exp(-logit))

    assert one.bounds(evidence, 2) == pytest.approx((sigmoid(2 - 3), sigmoid(2 - 1)))
    assert both.bounds(evidence, 2) == pytest.approx((sigmoid(-2 + 1 - 1.5), sigmoid(-2 + 3 - 0.5)))
    assert both.bounds(evidence, 0) == pytest.approx((both.estimate(evidence).uncertainty,) * 2)


def test_a_part_without_bounds() -> None:
    """Leaves none: the whole set of samples is drawn."""
    evidence = Evidence(question="", answer=says("Paris", -1.0), samples=(says("Paris"), says("Rome")))
    combined = LogisticCombination((Disagreement(), EigenvalueSum()), weights=(1.0, 1.0), bias=0.0)
    assert EigenvalueSum().bounds(evidence, 2) is None
    assert combined.bounds(evidence, 2) is None


def test_it_needs_what_its_parts_need() -> None:
    """Samples if one does, the most alternatives, and all that they ask."""
    combined = LogisticCombination((Margin(), TokenEntropy(k=7)), weights=(1.0, 1.0), bias=0.0)
    assert (combined.needs_samples, combined.needs_alternatives) == (False, 7)
    asking = LogisticCombination((CoCoA(), PTrue(), Verbalized()), weights=(1.0, 1.0, 1.0), bias=0.0)
    assert asking.needs_samples
    assert asking.follow_ups(spoken(-1.0)) == PTrue().follow_ups(spoken(-1.0)) | Verbalized().follow_ups(spoken(-1.0))


@pytest.mark.parametrize("weights", [(), (1.0, 2.0)])
def test_as_many_weights_as_parts(weights: tuple[float, ...]) -> None:
    """Other numbers are refused, with both in the message."""
    with pytest.raises(ConfigurationError, match=f"not 1 and {len(weights)}"):
        LogisticCombination((Disagreement(),), weights=weights, bias=0.0)
    with pytest.raises(ConfigurationError, match="at least one"):
        LogisticCombination((), weights=(), bias=0.0)


def drawn(n: int, seed: int, *, sign: float = 1.0) -> tuple[list[Evidence], list[bool]]:
    """Answers of two tokens, wrong with the probability 1 / (1 + exp(-sign (4 u - 6))), u the first one's surprise; the
    second token is noise."""
    rng = random.Random(seed)
    evidence, wrong = list[Evidence](), list[bool]()
    for _ in range(n):
        first, second = rng.uniform(1.0, 2.0), rng.uniform(0.0, 1.0)
        evidence.append(spoken(-first, -second))
        wrong.append(rng.random() < 1 / (1 + math.exp(-sign * (4 * first - 6))))
    return evidence, wrong


PARTS = (LogprobQuantile(), LogprobQuantile(q=1.0))  # the first token's surprise and the second one's


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_fit_recovers_weights(sign: float) -> None:
    """The one that decides gets its weight of 4 and sign, noise gets about none, and the bias is -6."""
    pytest.importorskip("sklearn")
    fitted = LogisticCombination.fit(PARTS, *drawn(4000, 5, sign=sign))
    assert fitted.weights == pytest.approx((4 * sign, 0.0), abs=0.4)
    assert fitted.bias == pytest.approx(-6 * sign, abs=0.7)
    assert fitted.estimators == PARTS


def test_fit_leaves_out_what_has_no_signal() -> None:
    """Answers of which a part says nothing, or something infinite, change nothing, wherever they stand."""
    pytest.importorskip("sklearn")
    evidence, wrong = drawn(100, 6)
    plain = LogisticCombination.fit(PARTS, evidence, wrong)
    with_gaps = [UNKNOWN, *evidence[:50], spoken(-math.inf, -math.inf), *evidence[50:], spoken(math.nan)]
    verdicts = [True, *wrong[:50], False, *wrong[50:], True]
    assert LogisticCombination.fit(PARTS, with_gaps, verdicts) == plain


def test_fit_survives_a_part_that_never_varies() -> None:
    """A part without samples to spread gets a finite weight, and the rest their own."""
    pytest.importorskip("sklearn")
    evidence, wrong = drawn(500, 7)
    same = [Evidence(question="", answer=item.answer, samples=(says("a"), says("a"))) for item in evidence]
    fitted = LogisticCombination.fit((LogprobQuantile(), SemanticEntropy()), same, wrong)
    assert fitted.weights[0] > 2
    assert fitted.weights[1] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("evidence", "wrong", "message"),
    [
        (drawn(9, 8)[0], [True, False] * 4 + [True], "at least ten"),
        (drawn(20, 8)[0], [True] * 20, "both right and wrong"),
        (drawn(20, 8)[0], [False] * 20, "both right and wrong"),
        ([*drawn(9, 8)[0], UNKNOWN], [True, False] * 5, "Of 10 answers 9"),
        (drawn(20, 8)[0], [True, False], "one verdict for each"),
        ([], [], "Of 0 answers 0"),
    ],
    ids=["too few", "all wrong", "all right", "too few with a signal", "too few verdicts", "nothing"],
)
def test_fit_refuses_what_teaches_nothing(evidence: Sequence[Evidence], wrong: Sequence[bool], message: str) -> None:
    """And says how many there were."""
    pytest.importorskip("sklearn")
    with pytest.raises(InputError, match=message):
        LogisticCombination.fit(PARTS, evidence, wrong)


def test_fit_without_estimators_is_told_in_our_words() -> None:
    """Nothing to fit weights for is a configuration error, as it is for the constructor."""
    pytest.importorskip("sklearn")
    with pytest.raises(ConfigurationError, match="at least one"):
        LogisticCombination.fit((), *drawn(20, 9))
