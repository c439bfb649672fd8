"""The negative quantile of the served answer's logprobs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import MeanLogprob
from confroute.estimators import LogprobQuantile
from confroute.testing import says

logprobs = st.lists(st.floats(-900, 0), min_size=1, max_size=20)
quantiles = st.floats(0, 1)


@given(logprobs, quantiles)
def test_equation(values: list[float], q: float) -> None:
    """NumPy's linearly interpolated quantile, negative."""
    assert LogprobQuantile(q=q).score(says("x", *values)) == pytest.approx(-np.quantile(values, q), abs=1e-9)


@pytest.mark.parametrize(("q", "expected"), [(0.0, 4.0), (0.25, 3.0), (0.5, 2.0), (0.75, 1.5), (1.0, 1.0)])
def test_known_quantiles(q: float, expected: float) -> None:
    """Of -4, -2 and -1: the least, the median and the greatest, and halfway between them."""
    assert LogprobQuantile(q=q).score(says("x", -1.0, -4.0, -2.0)) == pytest.approx(expected)


@given(logprobs, quantiles, quantiles)
def test_falls_with_q(values: list[float], a: float, b: float) -> None:
    """A higher quantile looks at surer tokens, and the mean lies between the extremes."""
    low, high = sorted((a, b))
    answer = says("x", *values)
    assert LogprobQuantile(q=high).score(answer) <= LogprobQuantile(q=low).score(answer) + 1e-9
    assert (
        LogprobQuantile(q=1.0).score(answer) - 1e-9
        <= MeanLogprob().score(answer)
        <= LogprobQuantile(q=0.0).score(answer) + 1e-9
    )


@given(st.floats(-900, 0), quantiles)
def test_one_token_has_one_quantile(value: float, q: float) -> None:
    """Whatever q, it is that token's."""
    assert LogprobQuantile(q=q).score(says("x", value)) == -value


@given(logprobs, st.integers(2, 4))
def test_length_does_not_count(values: list[float], times: int) -> None:
    """The least probable token stays the same when the answer is longer."""
    assert LogprobQuantile().score(says("x", *values * times)) == LogprobQuantile().score(says("x", *values))


def test_one_weak_token_in_a_fluent_sentence() -> None:
    """It is what a mean hides: nine sure tokens and one guess."""
    answer = says("x", *[-0.01] * 9, -5.0)
    assert LogprobQuantile().score(answer) == 5.0
    assert MeanLogprob().score(answer) == pytest.approx(0.509)


def test_impossible_and_unknown_tokens() -> None:
    """An impossible token is infinitely uncertain; an unknown one anywhere leaves no number."""
    assert LogprobQuantile().score(says("x", -0.1, -math.inf)) == math.inf
    assert LogprobQuantile().score(says("x", -math.inf, -math.inf)) == math.inf
    assert math.isnan(LogprobQuantile(q=1.0).score(says("x", -0.1, math.nan)))
