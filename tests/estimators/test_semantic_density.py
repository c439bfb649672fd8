"""The share of probability near the served answer's meaning."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import Sample
from confroute.equivalence import RougeL
from confroute.estimators import SemanticDensity
from confroute.testing import says


def likely(text: str, probability: float) -> Sample:
    return says(text, math.log(probability))


PARIS = likely("It is Paris", 0.6)
drawn = st.lists(
    st.tuples(st.sampled_from(["It is Paris", "It is Lyon", "Paris", "Rome"]), st.floats(-20, 0)),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([("It is Paris", 0.6)], 0.0),
        ([("Rome", 0.2)], 1 - 0.6 / 0.8),
        ([("It is Lyon", 0.3)], 1 - (0.6 + 0.3 * 2 / 3) / 0.9),
        ([("Rome", 0.2), ("Rome", 0.2), ("It is Paris", 0.6)], 1 - 0.6 / 0.8),
        ([("Rome", 0.2), ("", 0.2)], 1 - 0.6 / 1.0),
    ],
)
def test_known_densities(samples: list[tuple[str, float]], expected: float) -> None:
    """Likelihoods times likenesses added by hand: each text once, the served one with likeness 1, an empty one with
    likeness 0."""
    drawn = [likely(text, probability) for text, probability in samples]
    assert SemanticDensity(RougeL()).score(PARIS, drawn) == pytest.approx(expected, abs=1e-12)


@given(drawn, st.integers(2, 3))
def test_repeated_texts_count_once(samples: Sequence[tuple[str, float]], times: int) -> None:
    """How likely a text is says its logprob, not how often it was drawn."""
    once = [says(text, logprob) for text, logprob in samples]
    assert SemanticDensity(RougeL()).score(PARIS, once * times) == SemanticDensity(RougeL()).score(PARIS, once)


@given(drawn, st.floats(-900, 0))
def test_shift_changes_nothing(samples: Sequence[tuple[str, float]], shift: float) -> None:
    """Only ratios of likelihoods count, also where each of them underflows."""
    answer, moved = says("It is Paris", -0.5), says("It is Paris", -0.5 + shift)
    plain = SemanticDensity(RougeL()).score(answer, [says(text, p) for text, p in samples])
    shifted = SemanticDensity(RougeL()).score(moved, [says(text, p + shift) for text, p in samples])
    assert shifted == pytest.approx(plain, abs=1e-6)
    assert 0 <= plain <= 1


def test_length_does_not_count() -> None:
    """A text's weight is the geometric mean of its tokens' probabilities."""
    assert SemanticDensity().score(says("Paris", -0.5), [says("Rome", -0.5, -0.5, -0.5)]) == pytest.approx(0.5)


def test_of_two_tokenisations_the_likelier_counts() -> None:
    """Whichever of them was drawn first."""
    often, seldom = likely("Rome", 0.6), likely("Rome", 0.1)
    assert SemanticDensity().score(PARIS, [often, seldom]) == pytest.approx(0.5)
    assert SemanticDensity().score(PARIS, [seldom, often]) == pytest.approx(0.5)


@pytest.mark.parametrize("broken", [says("Rome"), says("Rome", math.nan)])
def test_one_text_of_unknown_likelihood(broken: Sample) -> None:
    """Leaves no number, wherever it stands."""
    for samples in ([broken, PARIS], [PARIS, broken]):
        assert math.isnan(SemanticDensity().score(PARIS, samples))
    assert math.isnan(SemanticDensity().score(broken, [PARIS]))
