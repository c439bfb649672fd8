"""Laws that all estimators obey."""

from __future__ import annotations

import inspect
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import Disagreement, Estimator, Evidence, MeanLogprob, Sample, SemanticEntropy
from confroute.testing import says

ESTIMATORS: list[Estimator] = [
    Disagreement(),
    MeanLogprob(),
    SemanticEntropy(),
    SemanticEntropy(weighting="likelihood"),
]
each = pytest.mark.parametrize("estimator", ESTIMATORS, ids=[e.identity for e in ESTIMATORS])

TEXTS = ["Paris", "It is Paris.", "Lyon", "1969", "July 20, 1969", "July 21, 1969", "not Paris", "東京"]


@st.composite
def answers(draw: st.DrawFn) -> Sample:
    return says(draw(st.sampled_from(TEXTS)), *draw(st.lists(st.floats(-50, 0), min_size=1, max_size=4)))


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    samples = draw(st.lists(answers(), min_size=2, max_size=12))
    return Evidence(question="Where and when?", answer=draw(answers()), samples=tuple(samples))


IDENTITIES = {
    "disagreement@1(text@1)",
    "mean_logprob@1",
    "semantic_entropy@1(text@1)",
    "semantic_entropy@1(weighting=likelihood,text@1)",
}


def test_identities_are_pinned() -> None:
    """A threshold belongs to one identity: who changes what an estimator measures changes its version, and this."""
    assert {estimator.identity for estimator in ESTIMATORS} == IDENTITIES


@each
@given(evidence=evidences(), seed=st.integers(0, 1000))
def test_order_of_samples_does_not_matter(estimator: Estimator, evidence: Evidence, seed: int) -> None:
    """Samples are a set: shuffled, they give the same number, also where the equivalence is not transitive."""
    shuffled = list(evidence.samples)
    random.Random(seed).shuffle(shuffled)
    again = Evidence(question=evidence.question, answer=evidence.answer, samples=tuple(shuffled))
    first, second = estimator.estimate(evidence), estimator.estimate(again)
    assert first.uncertainty == pytest.approx(second.uncertainty, abs=1e-12)
    assert first.clusters == second.clusters


@each
@given(evidence=evidences())
def test_in_range_and_pure(estimator: Estimator, evidence: Evidence) -> None:
    """Never negative, at most 1 where it is a share, and the same for the same evidence."""
    uncertainty = estimator.estimate(evidence).uncertainty
    assert 0 <= uncertainty <= (1 if estimator.unit == "share" else math.inf)
    assert math.copysign(1, uncertainty) == 1
    assert estimator.estimate(evidence).uncertainty == uncertainty


@each
@given(a=st.floats(0, 1e6), b=st.floats(0, 1e6))
def test_confidence_reverses_the_order(estimator: Estimator, a: float, b: float) -> None:
    """Confidence is in [0, 1] and never rises with uncertainty."""
    low, high = sorted((a, b))
    assert 0 <= estimator.confidence(high) <= estimator.confidence(low) <= 1
    assert estimator.confidence(0.0) == 1


@each
def test_confidence_of_extremes(estimator: Estimator) -> None:
    """No signal stays no signal, infinite uncertainty is no confidence, and a negative one is still at most 1."""
    assert math.isnan(estimator.confidence(math.nan))
    assert estimator.confidence(math.inf) == 0
    assert estimator.confidence(-5.0) == 1


@pytest.mark.parametrize(("estimator", "confidence"), [(Disagreement(), 0.75), (MeanLogprob(), math.exp(-0.25))])
def test_confidence_by_unit(estimator: Estimator, confidence: float) -> None:
    """1 - u of a share, exp(-u) of nats."""
    assert estimator.confidence(0.25) == pytest.approx(confidence)


PARIS = says("Paris", -0.1)
NO_SIGNAL = [
    (estimator, answer, samples)
    for estimator in ESTIMATORS
    for answer, samples in [
        (says("", -0.01), (PARIS, PARIS)),
        (says(" \n", -0.01), (PARIS, PARIS)),
        (PARIS, ()),
        (PARIS, (PARIS,)),
        (PARIS, (says(""), says("  "))),
        (PARIS, (PARIS, says("Paris"))),
        (says("Paris"), (PARIS, PARIS)),
        (PARIS, (says("Paris", -math.inf), says("Lyon", -math.inf))),
    ]
]
_MEASURED = {
    # What each can do without: the case's number in the list above.
    "disagreement@1(text@1)": {3, 4, 5, 6, 7},
    "mean_logprob@1": {2, 3, 4, 5, 7},
    "semantic_entropy@1(text@1)": {5, 6, 7},
    "semantic_entropy@1(weighting=likelihood,text@1)": {6},
}


@pytest.mark.parametrize(("i", "case"), list(enumerate(NO_SIGNAL)))
def test_what_cannot_be_measured_is_nan(i: int, case: tuple[Estimator, Sample, tuple[Sample, ...]]) -> None:
    """Empty answer, no or one sample, empty samples, missing or impossible logprobs: NaN where the docstring says."""
    estimator, answer, samples = case
    uncertainty = estimator.estimate(Evidence(question="", answer=answer, samples=samples)).uncertainty
    assert math.isnan(uncertainty) == (i % 8 not in _MEASURED[estimator.identity])


@each
def test_docstring_says_direction_cost_and_undefined(estimator: Estimator) -> None:
    """Each docstring has its equation, range, direction, cost and when it is NaN."""
    text = inspect.cleandoc(type(estimator).__doc__ or "")
    for part in ("u = ", "higher is more uncertain", "Cost:", "NaN", ">>> "):
        assert part in text
