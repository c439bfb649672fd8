"""Semantic entropy against hand-made cases and an independent computation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import ConfigurationError, Evidence, Sample, SemanticEntropy, TextEquivalence
from confroute.testing import equiprobable_meanings, says

DISCRETE, LIKELIHOOD = SemanticEntropy(), SemanticEntropy(weighting="likelihood")
CLUSTER_MEAN = SemanticEntropy(weighting="cluster_mean")


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
@pytest.mark.parametrize("estimator", [DISCRETE, LIKELIHOOD, CLUSTER_MEAN])
def test_equiprobable_meanings(k: int, per_meaning: int, estimator: SemanticEntropy) -> None:
    """k equally likely meanings have entropy ln k, however often each was sampled."""
    samples = equiprobable_meanings(k, per_meaning=per_meaning)
    if len(samples) == 1:
        assert math.isnan(entropy(samples, estimator))
    else:
        assert entropy(samples, estimator) == pytest.approx(math.log(k))


@pytest.mark.parametrize("estimator", [DISCRETE, LIKELIHOOD, CLUSTER_MEAN])
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
@pytest.mark.parametrize("estimator", [DISCRETE, LIKELIHOOD, CLUSTER_MEAN])
def test_constant_shift_of_logprobs_changes_nothing(
    estimator: SemanticEntropy, drawn: list[tuple[str, float]], shift: float
) -> None:
    """Only ratios of likelihoods count, also where each of them underflows."""
    plain = [says(letter, value) for letter, value in drawn]
    shifted = [says(letter, value + shift) for letter, value in drawn]
    assert entropy(shifted, estimator) == pytest.approx(entropy(plain, estimator), abs=1e-6)


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


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.lists(logprobs, min_size=1, max_size=3)), min_size=2, max_size=9))
def test_cluster_mean_equation(drawn: list[tuple[str, list[float]]]) -> None:
    """Eq. 2 of arXiv 2502.11021, -(1/K) sum over clusters of ln p_c, with masses that sum to 1."""
    weights = [(letter, math.exp(sum(values) / len(values))) for letter, values in drawn]
    total = sum(weight for _, weight in weights)
    shares = [sum(w for letter, w in weights if letter == c) / total for c in {letter for letter, _ in weights}]
    expected = -sum(map(math.log, shares)) / len(shares)
    samples = [says(letter, *values) for letter, values in drawn]
    assert entropy(samples, by_letter("cluster_mean")) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.tuples(st.sampled_from("abcd"), logprobs), min_size=2, max_size=9))
def test_cluster_mean_is_an_upper_bound(drawn: list[tuple[str, float]]) -> None:
    """With normalised masses it is at least ln K, which no entropy over K meanings exceeds."""
    samples = [says(letter, value) for letter, value in drawn]
    bound = math.log(len({letter for letter, _ in drawn}))
    assert entropy(samples, by_letter("likelihood")) <= bound + 1e-9
    assert bound <= entropy(samples, by_letter("cluster_mean")) + 1e-9


def test_cluster_mean_may_rise_when_meanings_are_merged() -> None:
    """It is no entropy: of masses .5, .49 and .01 a third each is 2.00, of .99 and .01 a half each 2.31."""
    apart = [says("a", math.log(0.5)), says("b", math.log(0.49)), says("c", math.log(0.01))]
    merged = [says("a", math.log(0.5)), says("a", math.log(0.49)), says("c", math.log(0.01))]
    assert entropy(apart, CLUSTER_MEAN) == pytest.approx(2.00, abs=0.005)
    assert entropy(merged, CLUSTER_MEAN) == pytest.approx(2.31, abs=0.005)
    assert entropy(merged, LIKELIHOOD) < entropy(apart, LIKELIHOOD)


@given(st.lists(st.sampled_from("abcd"), min_size=2, max_size=9), logprobs)
def test_equally_likely_samples_are_counted(drawn: list[str], logprob: float) -> None:
    """Where all weigh the same, likelihood is the discrete entropy."""
    samples = [says(letter, logprob) for letter in drawn]
    assert entropy(samples, by_letter("likelihood")) == pytest.approx(entropy(samples), abs=1e-9)


@pytest.mark.parametrize("base", [0.0, -800.0])
def test_value_of_the_reference_code(base: float) -> None:
    """Four samples in clusters 0, 1, 0, 2, of mean logprobs 0, -1/2, -1 and -2, whose masses are 1 + e^-1, e^-1/2 and
    e^-2. Farquhar et al.'s `predictive_entropy_rao` gives this, and -inf where all of them are 800 less."""
    samples = [says(text, base + log) for text, log in zip("abac", (0.0, -0.5, -1.0, -2.0), strict=True)]
    assert entropy(samples, LIKELIHOOD) == pytest.approx(0.8155005515, abs=1e-10)


def test_which_cluster_takes_a_text_that_fits_two() -> None:
    """The ends of a chain are seeds, their middle joins the first or the last of them; the rest is another meaning.
    The weights e^-1, e^-3, e^-1 and e^-2 are then of clusters {1, 3}, {2}, {4} or {1}, {2, 3}, {4}."""
    chain = TextEquivalence(overlap=0.5)
    samples = [says("red green", -1.0), says("blue yellow", -3.0), says("green blue", -1.0), says("Paris", -2.0)]
    e1, e2, e3 = math.exp(-1), math.exp(-2), math.exp(-3)
    total = 2 * e1 + e2 + e3
    for match, masses in (("first", (2 * e1, e3, e2)), ("last", (e1, e3 + e1, e2))):
        estimator = SemanticEntropy("likelihood", chain, match)  # type: ignore[arg-type]
        expected = -sum(mass / total * math.log(mass / total) for mass in masses)
        assert entropy(samples, estimator) == pytest.approx(expected)


def test_bounds_after_some_samples() -> None:
    """Of "a", "b" and one to come: it joins one of them, or is a third. Later seeds may move earlier texts if the last
    match wins, and weights yet to come are unknown, so there are no bounds."""
    evidence = Evidence(question="", answer=says("x"), samples=(says("a", -1.0), says("b", -1.0)))
    joined = -(2 / 3) * math.log(2 / 3) - (1 / 3) * math.log(1 / 3)
    assert DISCRETE.bounds(evidence, 1) == pytest.approx((joined, math.log(3)))
    assert DISCRETE.bounds(evidence, 0) == pytest.approx((math.log(2), math.log(2)))
    assert SemanticEntropy(match="last").bounds(evidence, 1) is None
    assert LIKELIHOOD.bounds(evidence, 1) is None
    assert CLUSTER_MEAN.bounds(evidence, 1) is None


def test_a_match_of_another_name_is_refused() -> None:
    """A misspelt setting is told when it is made, as a weighting is."""
    with pytest.raises(ConfigurationError, match="match must be"):
        SemanticEntropy(match="frist")  # type: ignore[arg-type]
