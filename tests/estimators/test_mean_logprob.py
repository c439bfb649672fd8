"""The negative mean logprob of the served answer."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import Evidence, MeanLogprob
from confroute.testing import says


def uncertainty(*logprobs: float) -> float:
    return MeanLogprob().estimate(Evidence(question="", answer=says("x", *logprobs))).uncertainty


@given(st.lists(st.floats(-900, 0), min_size=1, max_size=20))
def test_equation(logprobs: list[float]) -> None:
    """-(1/T) sum ln p, the logarithm of the perplexity."""
    assert uncertainty(*logprobs) == pytest.approx(-sum(logprobs) / len(logprobs), abs=1e-12)


@given(st.lists(st.floats(-50, 0), min_size=1, max_size=5), st.integers(2, 4))
def test_length_does_not_count(logprobs: list[float], times: int) -> None:
    """An answer as improbable per token but longer is as uncertain."""
    assert uncertainty(*logprobs * times) == pytest.approx(uncertainty(*logprobs))


def test_confidence_is_the_geometric_mean_probability() -> None:
    """Two tokens of probability 0.5 and 0.125 are on average 0.25."""
    value = uncertainty(math.log(0.5), math.log(0.125))
    assert MeanLogprob().confidence(value) == pytest.approx(0.25)


def test_samples_are_not_looked_at() -> None:
    """It costs no samples, and does not ask for any."""
    assert not MeanLogprob().needs_samples
    answer = says("x", -1.0)
    evidence = Evidence(question="", answer=answer, samples=(says("y", -9.0),))
    assert MeanLogprob().estimate(evidence) == MeanLogprob().estimate(Evidence(question="", answer=answer))
