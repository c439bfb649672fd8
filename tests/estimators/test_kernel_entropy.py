"""The von Neumann entropy of the samples' heat kernel."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.equivalence import RougeL
from confroute.estimators import KernelLanguageEntropy

texts = st.lists(
    st.lists(st.sampled_from("a b c d".split()), min_size=1, max_size=5).map(" ".join), min_size=2, max_size=8
)


def binary_entropy(p: float) -> float:
    return -sum(x * math.log2(x) for x in (p, 1 - p) if x > 0)


@given(st.integers(0, 6), st.integers(1, 6), st.floats(0, 3))
def test_two_samples(shared: int, apart: int, t: float) -> None:
    """Of similarity s: L = 2 s [[1, -1], [-1, 1]], K = exp(-t L) normalised is [[1, r], [r, 1]] / 2 with
    r = tanh(2 s t), so the masses are (1 + r) / 2 and (1 - r) / 2."""
    same = [f"w{i}" for i in range(shared)]
    a, b = (" ".join([*same, *(f"{side}{i}" for i in range(apart))]) for side in "ab")
    s = shared / (shared + apart)
    expected = binary_entropy((1 + math.tanh(2 * s * t)) / 2)
    assert KernelLanguageEntropy(RougeL(), t=t).score("x", [a, b]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("n", [2, 5, 10])
def test_extremes(n: int) -> None:
    """Nothing alike, or no time for the heat to spread, is 1; all alike goes to 0 as that time grows."""
    apart = [f"word{i}" for i in range(n)]
    assert KernelLanguageEntropy().score("x", apart) == pytest.approx(1.0)
    assert KernelLanguageEntropy(t=0.0).score("x", ["Paris"] * n) == pytest.approx(1.0)
    assert KernelLanguageEntropy(t=30.0).score("x", ["Paris"] * n) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_all_alike(n: int) -> None:
    """L = 2 (N I - J): with e = exp(-2 N t), K is e I + (1 - e) J / N; normalised to a unit diagonal its eigenvalues
    over N are one of (e + (1 - e)) / (N e + 1 - e) and N - 1 of e / (N e + 1 - e)."""
    e = math.exp(-2 * n * 0.3)
    masses = [1 / (n * e + 1 - e), *[e / (n * e + 1 - e)] * (n - 1)]
    expected = -sum(m * math.log(m) for m in masses) / math.log(n)
    assert KernelLanguageEntropy().score("x", ["Paris"] * n) == pytest.approx(expected)


@given(texts, st.floats(0, 5))
def test_range(samples: list[str], t: float) -> None:
    """From 0 to 1."""
    assert 0 <= KernelLanguageEntropy(RougeL(), t=t).score("x", samples) <= 1


def test_near_meanings_count_for_less_than_meanings_apart() -> None:
    """Two words of three shared lie between equal and unlike samples."""
    kernel = KernelLanguageEntropy(RougeL())
    scores = [kernel.score("x", ["It is Paris", other]) for other in ("It is Paris", "It is Lyon", "Rome, perhaps?")]
    assert scores == sorted(scores)
    assert len(set(scores)) == 3
