"""The distance of the samples from their centre."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.equivalence import ExactEquivalence, RougeL
from confroute.estimators import Eccentricity

cities = st.lists(st.sampled_from("Paris Lyon Rome Oslo Lima".split()), min_size=2, max_size=10)
texts = st.lists(
    st.lists(st.sampled_from("a b c d".split()), min_size=1, max_size=5).map(" ".join), min_size=2, max_size=8
)


@given(cities)
def test_of_separate_meanings_it_is_the_root_of_their_number_less_one(samples: list[str]) -> None:
    """The kept vectors span the K meanings' indicators, of which the centring takes away the constant one."""
    k = len(set(samples))
    assert Eccentricity(ExactEquivalence()).score("x", samples) == pytest.approx(math.sqrt(k - 1), abs=1e-6)


@given(st.integers(0, 9), st.integers(1, 9))
def test_two_samples(shared: int, apart: int) -> None:
    """Of similarity s: the second eigenvalue is 2 s / (1 + s), its vector (1, -1) / sqrt 2 of length 1 about the mean,
    kept below 0.9, that is where s < 0.9 / 1.1; the first vector is constant and has no length about it."""
    same = [f"w{i}" for i in range(shared)]
    a, b = (" ".join([*same, *(f"{side}{i}" for i in range(apart))]) for side in "ab")
    s = shared / (shared + apart)
    expected = 1.0 if 2 * s / (1 + s) < 0.9 else 0.0
    if abs(2 * s / (1 + s) - 0.9) > 1e-9:
        assert Eccentricity(RougeL()).score("x", [a, b]) == pytest.approx(expected, abs=1e-9)


@given(texts, st.floats(0, 2), st.floats(0, 2))
def test_range_and_cutoff(samples: list[str], a: float, b: float) -> None:
    """From 0 to sqrt(N - 1), and a higher cutoff keeps more directions, so that it never falls with it."""
    low, high = sorted((a, b))
    lower, higher = (Eccentricity(RougeL(), cutoff=cutoff).score("x", samples) for cutoff in (low, high))
    assert 0 <= lower <= higher + 1e-9
    assert higher <= math.sqrt(len(samples) - 1) + 1e-9
