"""The continuous count of meanings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.equivalence import ExactEquivalence, RougeL, TextEquivalence
from confroute.estimators import EigenvalueSum
from confroute.estimators.eigenvalues import laplacian_spectrum

cities = st.lists(st.sampled_from("Paris Lyon Rome Oslo Lima".split()), min_size=2, max_size=10)
texts = st.lists(
    st.lists(st.sampled_from("a b c d".split()), min_size=1, max_size=5).map(" ".join), min_size=2, max_size=8
)


@given(cities)
def test_meanings_are_counted(samples: list[str]) -> None:
    """With a yes-or-no similarity that is transitive it is their number, however often each was sampled."""
    assert EigenvalueSum(ExactEquivalence()).score("x", samples) == pytest.approx(len(set(samples)))


@given(st.integers(0, 6), st.integers(1, 6))
def test_two_samples(shared: int, apart: int) -> None:
    """Of similarity s: D^(-1/2) W D^(-1/2) is [[1, s], [s, 1]] / (1 + s), its eigenvalues 1 and (1 - s) / (1 + s), both
    positive; their sum is 2 / (1 + s), from two meanings at s = 0 to one at s = 1."""
    same = [f"w{i}" for i in range(shared)]
    a, b = (" ".join([*same, *(f"{side}{i}" for i in range(apart))]) for side in "ab")
    s = shared / (shared + apart)
    assert EigenvalueSum(RougeL()).score("x", [a, b]) == pytest.approx(2 / (1 + s))


def test_a_chain_is_between_one_and_two_meanings() -> None:
    """A ~ B ~ C, A not ~ C. The degrees are 2, 3, 2, so M = D^(-1/2) W D^(-1/2) has the antisymmetric vector
    (1, 0, -1) at 1/2, the trivial one at 1, and, by the trace 1/2 + 1/3 + 1/2 = 4/3, the third at -1/6: 1 + 1/2."""
    chain = EigenvalueSum(TextEquivalence(overlap=0.5))
    assert chain.score("x", ["red green", "green blue", "blue yellow"]) == pytest.approx(1.5)


@given(texts)
def test_range_and_spectrum(samples: list[str]) -> None:
    """From 1 to N; the normalised Laplacian's eigenvalues are 0 to 2, ascending, the first one 0."""
    assert 1 <= EigenvalueSum(RougeL()).score("x", samples) <= len(samples) + 1e-9
    values, vectors = laplacian_spectrum(samples, RougeL(), "")
    assert values[0] == pytest.approx(0, abs=1e-9)
    assert values == sorted(values)
    assert values[-1] <= 2 + 1e-9
    assert vectors.T @ vectors == pytest.approx(np.eye(len(samples)), abs=1e-9)
