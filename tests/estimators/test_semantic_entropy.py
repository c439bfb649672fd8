"""Semantic entropy against hand-made cases and an independent computation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import Evidence, Sample, SemanticEntropy
from confroute.testing import equiprobable_meanings, says

DISCRETE, LIKELIHOOD = SemanticEntropy(), SemanticEntropy(weighting="likelihood")


@dataclass
class FirstLetter:
    """A transitive equivalence, so that the meaning of a text is its first letter."""

    name: str = "first letter"

    def same(self, pairs: Sequence[tuple[str, str]], *, question: str) -> list[bool]:
        return [a[0] == b[0] for a, b in pairs]


def entropy(samples: Sequence[Sample], estimator: SemanticEntropy = DISCRETE) -> float:
    return estimator.estimate(Evidence(question="", answer=says("x"), samples=tuple(samples))).uncertainty


def by_letter(weighting: str) -> SemanticEntropy:
    return SemanticEntropy(weighting=weighting, equivalence=FirstLetter())  # type: ignore[arg-type]


@pytest.mark.parametrize("k", range(1, 13))
@pytest.mark.parametrize("per_meaning", [1, 3])
@pytest.mark.parametrize("estimator", [DISCRETE, LIKELIHOOD])
def test_equiprobable_meanings(k: int, per_meaning: int, estimator: SemanticEntropy) -> None:
    """k equally likely meanings have entropy ln k, however often each was sampled."""
    samples = equiprobable_meanings(k, per_meaning=per_meaning)
    if len(samples) == 1:
        assert math.isnan(entropy(samples, estimator))
    else:
        assert entropy(samples, estimator) == pytest.approx(math.log(k))


@pytest.mark.parametrize("estimator", [DISCRETE, LIKELIHOOD])
@pytest.mark.parametrize("n", [2, 10])
def test_identical_samples(estimator: SemanticEntropy, n: int) -> None:
    """One meaning has entropy 0 exactly, not -0."""
    value = entropy([says("Paris", -0.3)] * n, estimator)
    assert value == 0
    assert math.copysign(1, value) == 1


texts = st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=2, max_size=15)
logprobs = st.floats(-20, 0)


@given(texts)
def test_discrete_equation(drawn: list[str]) -> None:
    """-sum (n_c / N) ln(n_c / N) over first letters, and at most ln N."""
    letters = [text[0] for text in drawn]
    shares = [letters.count(letter) / len(letters) for letter in set(letters)]
    estimate = by_letter("discrete").estimate(Evidence(question="", answer=says("x"), samples=tuple(map(says, drawn))))
    assert estimate.uncertainty == pytest.approx(-sum(p * math.log(p) for p in shares), abs=1e-12)
    assert 0 <= estimate.uncertainty <= math.log(len(drawn)) + 1e-12
    assert estimate.clusters == len(set(letters))


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.lists(logprobs, min_size=1, max_size=3)), min_size=2, max_size=9))
def test_likelihood_equation(drawn: list[tuple[str, list[float]]]) -> None:
    """p_c = sum of exp(mean logprob) in c over the sum of all, then -sum p ln p."""
    weights = [(letter, math.exp(sum(values) / len(values))) for letter, values in drawn]
    total = sum(weight for _, weight in weights)
    shares = [sum(w for letter, w in weights if letter == c) / total for c in {letter for letter, _ in weights}]
    expected = -sum(p * math.log(p) for p in shares)
    samples = [says(letter, *values) for letter, values in drawn]
    assert entropy(samples, by_letter("likelihood")) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.tuples(st.sampled_from("abcd"), logprobs), min_size=2, max_size=9), st.sampled_from("bcd"))
@pytest.mark.parametrize("weighting", ["discrete", "likelihood"])
def test_merging_meanings_never_raises_it(weighting: str, drawn: list[tuple[str, float]], merged: str) -> None:
    """Two meanings taken for one lower the entropy or leave it."""
    before = entropy([says(letter, value) for letter, value in drawn], by_letter(weighting))
    after = entropy([says(letter.replace(merged, "a"), value) for letter, value in drawn], by_letter(weighting))
    assert after <= before + 1e-9


@given(st.lists(st.tuples(st.sampled_from("abcd"), logprobs), min_size=2, max_size=9), st.floats(-800, 0))
def test_constant_shift_of_logprobs_changes_nothing(drawn: list[tuple[str, float]], shift: float) -> None:
    """Only ratios of likelihoods count, also where each of them underflows."""
    plain = [says(letter, value) for letter, value in drawn]
    shifted = [says(letter, value + shift) for letter, value in drawn]
    assert entropy(shifted, LIKELIHOOD) == pytest.approx(entropy(plain, LIKELIHOOD), abs=1e-6)


def test_logprobs_around_minus_800() -> None:
    """exp(-800) is 0 in floating point; the reference code gives -inf here."""
    samples = [says("Paris", -800.0), says("Paris", -800.0), says("Rome", -800.0)]
    assert entropy(samples, LIKELIHOOD) == pytest.approx(-(2 / 3) * math.log(2 / 3) - (1 / 3) * math.log(1 / 3))


def test_impossible_sample_has_no_weight() -> None:
    """A sample of probability 0 beside possible ones adds nothing."""
    samples = [says("Paris", -1.0), says("Rome", -1.0), says("Oslo", -math.inf)]
    assert entropy(samples, LIKELIHOOD) == pytest.approx(math.log(2))


def test_served_answer_is_not_among_the_samples() -> None:
    """Another served answer does not change the spread of the samples."""
    samples = tuple(map(says, ("Paris", "Rome")))
    values = {
        DISCRETE.estimate(Evidence(question="", answer=says(answer), samples=samples)).uncertainty
        for answer in ("Paris", "Oslo")
    }
    assert list(values) == [pytest.approx(math.log(2))]
