"""The mean lead of the likeliest token over the second."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import Sample
from confroute.estimators import Margin


def answer(*places: tuple[float, ...]) -> Sample:
    """An answer whose alternatives have these probabilities, the likeliest first."""
    return Sample(
        text="x",
        alternatives=tuple(
            tuple((str(j), math.log(p) if p else -math.inf) for j, p in enumerate(place)) for place in places
        ),
    )


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([(0.7, 0.2)], 0.5),
        ([(0.7, 0.2), (0.5, 0.5)], 0.75),
        ([(1.0, 0.0)], 0.0),
        ([(0.1, 0.1)], 1.0),
        ([(0.6, 0.1, 0.1, 0.1), (0.6, 0.1)], 0.5),
    ],
)
def test_known_leads(places: list[tuple[float, ...]], expected: float) -> None:
    """One less the mean difference; what comes third does not count."""
    assert Margin().score(answer(*places)) == pytest.approx(expected)


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_equation(drawn: list[tuple[float, float]]) -> None:
    """1 - mean (p1 - p2), from 0 to 1."""
    places = [(first, first * ratio) for first, ratio in drawn]
    expected = 1 - sum(first - second for first, second in places) / len(places)
    assert Margin().score(answer(*places)) == pytest.approx(expected)
    assert 0 <= Margin().score(answer(*places)) <= 1


@pytest.mark.parametrize("short", [(), (0.9,)])
def test_one_place_without_a_second_token(short: tuple[float, ...]) -> None:
    """A lead over nothing is unknown, not certain."""
    assert math.isnan(Margin().score(answer((0.7, 0.2), short)))
