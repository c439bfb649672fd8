"""The share of samples outside the served answer's cluster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import Disagreement, Evidence, TextEquivalence
from confroute.equivalence import ExactEquivalence
from confroute.estimators import VoteShare
from confroute.testing import says

# Two of these are alike only if they share a word: a chain in which the ends are unlike.
CHAIN = TextEquivalence(overlap=0.5)
A, B, C = "red green", "green blue", "blue yellow"


@pytest.mark.parametrize(
    ("answer", "samples", "expected"),
    [
        ("Paris", ["Paris"] * 4, 0.0),
        ("Paris", ["Paris", "It is Paris.", "Lyon", "Rome"], 0.5),
        ("Paris", ["Lyon"] * 9 + ["Paris"], 0.9),
        ("Paris", ["Lyon", "Rome"], 1.0),
        ("Paris", ["Paris", "", " \n"], 2 / 3),
    ],
)
def test_known_votes(answer: str, samples: list[str], expected: float) -> None:
    """Votes counted by hand: for the served answer, not for the largest cluster; empty samples vote for nothing."""
    assert VoteShare().score(answer, samples) == pytest.approx(expected)


def test_votes_are_for_the_cluster_not_for_the_answer() -> None:
    """In a chain, a sample that agrees with its cluster's seed votes, though it is unlike the served answer."""
    assert VoteShare(CHAIN).score(A, [B, C]) == 0.0
    assert Disagreement(CHAIN).score(A, [B, C]) == 0.5


def test_the_first_cluster_that_agrees_gets_the_answer() -> None:
    """B is like the seeds A and C; it is counted once, with the first of them."""
    assert VoteShare(CHAIN).score(B, [A, C, C]) == pytest.approx(2 / 3)
    assert VoteShare(CHAIN).score(B, [C, A, C]) == pytest.approx(1 / 3)


words = st.sampled_from(["Paris", "paris!", "Lyon", "Rome", "", "5", "five"])


@given(words.filter(bool), st.lists(words, min_size=1, max_size=10))
def test_transitive_equivalence_makes_votes_agreements(answer: str, samples: list[str]) -> None:
    """Where alike of alike is alike, it is the share of samples that disagree."""
    exact = ExactEquivalence()
    assert VoteShare(exact).score(answer, samples) == Disagreement(exact).score(answer, samples)


@given(words.filter(bool), st.lists(words, min_size=1, max_size=10))
def test_never_below_one_less_the_largest_share(answer: str, samples: list[str]) -> None:
    """The usual vote, of the largest cluster, is at least as sure, and the clusters are counted."""
    exact = ExactEquivalence()
    evidence = Evidence(question="", answer=says(answer), samples=tuple(map(says, samples)))
    estimate = VoteShare(exact).estimate(evidence)
    form = {"paris!": "Paris", "five": "5"}
    plain = [form.get(sample, sample) for sample in samples]
    assert estimate.uncertainty >= 1 - max(map(plain.count, plain)) / len(plain) - 1e-12
    assert estimate.clusters == len(set(plain))


def test_bounds_after_some_samples() -> None:
    """With one vote of two drawn and two to come, between one and three of four will have voted."""
    evidence = Evidence(question="", answer=says("Paris"), samples=(says("Paris"), says("Rome")))
    assert VoteShare().bounds(evidence, 2) == (0.25, 0.75)
    assert VoteShare().bounds(evidence, 0) == (0.5, 0.5)
