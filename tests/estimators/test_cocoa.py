"""The served answer's own uncertainty times its samples' dissimilarity."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import Disagreement, Evidence, MeanLogprob
from confroute.equivalence import RougeL
from confroute.estimators import CoCoA, LogprobQuantile, SequenceNLL
from confroute.testing import says

PARIS = says("It is Paris", -0.5, -0.5, -2.0)
texts = st.lists(st.sampled_from(["It is Paris", "It is Lyon", "Paris", "Rome", ""]), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (["It is Paris"] * 3, 0.0),
        (["Rome"], 1.0),
        (["It is Lyon"], 1 / 3),
        (["It is Paris", "Rome", "It is Lyon", "Rome"], (0 + 1 + 1 / 3 + 1) / 4),
        (["It is Paris", "", " "], 2 / 3),
    ],
)
def test_known_products(samples: list[str], expected: float) -> None:
    """The answer's mean logprob is -1 and its sum -3, times a dissimilarity counted by hand; empty samples are unlike,
    and repeated ones count each time."""
    assert CoCoA(RougeL()).score(PARIS, samples) == pytest.approx(expected, abs=1e-12)
    assert CoCoA(RougeL(), own=SequenceNLL()).score(PARIS, samples) == pytest.approx(3 * expected, abs=1e-12)
    assert CoCoA(RougeL(), own=LogprobQuantile()).score(PARIS, samples) == pytest.approx(2 * expected, abs=1e-12)


@given(st.lists(st.floats(-50, 0), min_size=1, max_size=5), texts)
def test_of_a_yes_or_no_similarity_it_is_a_product_of_two_estimators(logprobs: list[float], samples: list[str]) -> None:
    """The answer's own uncertainty times its disagreement with the samples; never above the first."""
    answer = says("Paris", *logprobs)
    own = MeanLogprob().score(answer)
    assert CoCoA().score(answer, samples) == pytest.approx(own * Disagreement().score(answer, samples))
    assert 0 <= CoCoA().score(answer, samples) <= own + 1e-9


@given(texts, st.integers(2, 3))
def test_repeating_all_samples_changes_nothing(samples: list[str], times: int) -> None:
    """It takes their mean."""
    assert CoCoA(RougeL()).score(PARIS, samples * times) == pytest.approx(CoCoA(RougeL()).score(PARIS, samples))


def test_a_certain_answer_stays_certain() -> None:
    """Nothing that the samples say raises it above 0: both factors must be there."""
    assert CoCoA().score(says("Paris", 0.0), ["Rome", "Lyon"]) == 0.0


@pytest.mark.parametrize("logprobs", [(), (-math.inf,), (math.nan,)])
def test_an_answer_without_an_own_uncertainty(logprobs: tuple[float, ...]) -> None:
    """Unknown or infinite times 0 has no number; nor has it bounds."""
    evidence = Evidence(question="", answer=says("Paris", *logprobs), samples=(says("Paris"),))
    assert math.isnan(CoCoA().estimate(evidence).uncertainty)
    assert CoCoA().bounds(evidence, 3) is None


def test_bounds_after_some_samples() -> None:
    """Before any sample from 0 to its own uncertainty; with one unlike of four, from a quarter of it."""
    none = Evidence(question="", answer=says("Paris", -2.0))
    one = Evidence(question="", answer=says("Paris", -2.0), samples=(says("Rome"),))
    assert CoCoA().bounds(none, 4) == (0.0, 2.0)
    assert CoCoA().bounds(one, 3) == (0.5, 2.0)
