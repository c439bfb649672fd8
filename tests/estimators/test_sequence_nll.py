"""The negative log probability of the served answer."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import MeanLogprob
from confroute.estimators import SequenceNLL
from confroute.testing import says

logprobs = st.lists(st.floats(-900, 0), min_size=1, max_size=20)


@given(logprobs)
def test_equation(values: list[float]) -> None:
    """Minus the sum of the logprobs: its exponential is one over the product of the probabilities."""
    assert SequenceNLL().score(says("x", *values)) == pytest.approx(-sum(values), abs=1e-12)
    assert SequenceNLL().score(says("x", *values)) == pytest.approx(
        len(values) * MeanLogprob().score(says("x", *values))
    )


@given(logprobs, st.floats(-5, 0))
def test_each_token_adds_to_it(values: list[float], further: float) -> None:
    """A longer answer is never the surer one, which is what the mean leaves out."""
    longer, shorter = SequenceNLL().score(says("x", *values, further)), SequenceNLL().score(says("x", *values))
    assert longer >= shorter


def test_probability_of_the_whole_answer() -> None:
    """Tokens of probability 1/2, 1/4 and 1/8 are an answer of probability 1/64, which is its confidence."""
    uncertainty = SequenceNLL().score(says("x", *map(math.log, (1 / 2, 1 / 4, 1 / 8))))
    assert uncertainty == pytest.approx(math.log(64))
    assert SequenceNLL().confidence(uncertainty) == pytest.approx(1 / 64)


def test_certain_and_impossible_answers() -> None:
    """Certainty is 0, not -0; an impossible token is no confidence at all; NaN stays NaN."""
    assert math.copysign(1, SequenceNLL().score(says("x", 0.0, 0.0))) == 1
    assert SequenceNLL().score(says("x", -1.0, -math.inf)) == math.inf
    assert math.isnan(SequenceNLL().score(says("x", -1.0, math.nan)))
