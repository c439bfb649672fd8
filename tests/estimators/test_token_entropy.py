"""The mean entropy of the likeliest tokens at each place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import Sample
from confroute.estimators import TokenEntropy


def answer(*places: Sequence[float]) -> Sample:
    """An answer with these logprobs of its alternatives, in whatever order they are given."""
    ordered = [sorted(place, reverse=True) for place in places]
    return Sample(
        text="x",
        token_logprobs=tuple(place[0] if place else math.nan for place in ordered),
        alternatives=tuple(tuple((str(j), p) for j, p in enumerate(place)) for place in ordered),
    )


logprobs = st.lists(st.floats(-30, 0), min_size=2, max_size=10)


@given(st.lists(logprobs, min_size=1, max_size=5), st.integers(2, 10))
def test_equation(places: list[list[float]], k: int) -> None:
    """-sum q ln q of the k likeliest, renormalised, averaged over the places; within 0 and ln k."""
    entropies: list[float] = []
    for place in places:
        p = [math.exp(logprob) for logprob in sorted(place, reverse=True)[:k]]
        q = [x / sum(p) for x in p]
        entropies.append(-sum(x * math.log(x) for x in q if x > 0))
    uncertainty = TokenEntropy(k=k).score(answer(*places))
    assert uncertainty == pytest.approx(sum(entropies) / len(entropies), abs=1e-9)
    assert 0 <= uncertainty <= math.log(k) + 1e-9


@pytest.mark.parametrize("k", range(2, 11))
def test_k_equiprobable_tokens(k: int) -> None:
    """Their entropy is ln k, though together they are only a part of the distribution."""
    assert TokenEntropy(k=10).score(answer([math.log(0.05)] * k)) == pytest.approx(math.log(k))
    assert TokenEntropy(k=2).score(answer([math.log(0.05)] * k)) == pytest.approx(math.log(2))


def test_mean_over_places() -> None:
    """A coin toss and a certainty are half a coin toss each."""
    assert TokenEntropy().score(answer([-0.7, -0.7], [0.0, -math.inf])) == pytest.approx(math.log(2) / 2)


@given(logprobs, st.floats(-900, 0))
def test_shift_changes_nothing(place: list[float], shift: float) -> None:
    """Only ratios count, also where each probability underflows."""
    shifted = TokenEntropy().score(answer([p + shift for p in place]))
    assert shifted == pytest.approx(TokenEntropy().score(answer(place)), abs=1e-6)


@pytest.mark.parametrize("place", [[], [-0.1], [-math.inf, -math.inf], [-0.1, math.nan]])
def test_places_without_a_distribution(place: list[float]) -> None:
    """Fewer than two alternatives, impossible or unknown ones at one place leave no number at all."""
    assert math.isnan(TokenEntropy().score(answer([-0.7, -0.7], place)))


def test_alternatives_asked_for() -> None:
    """It wants k alternatives and no samples."""
    assert (TokenEntropy(k=7).needs_alternatives, TokenEntropy(k=7).needs_samples) == (7, False)
