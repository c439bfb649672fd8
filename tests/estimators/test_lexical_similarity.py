"""One less the mean ROUGE-L of pairs of samples."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import Evidence
from confroute.equivalence import ExactEquivalence, RougeL
from confroute.estimators import DegreeMatrix, LexicalSimilarity
from confroute.testing import says

texts = st.lists(
    st.lists(st.sampled_from("a b c d".split()), min_size=1, max_size=5).map(" ".join), min_size=2, max_size=7
)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (["It is Paris"] * 3, 0.0),
        (["Paris", "Lyon", "Rome"], 1.0),
        (["It is Paris", "It is Lyon"], 1 / 3),
        (["a b c d", "a c", "b d"], 1 - (2 / 3 + 2 / 3 + 0) / 3),
        (["a b", "b a"], 0.5),
        (["Paris", ""], 1.0),
    ],
)
def test_known_similarities(samples: list[str], expected: float) -> None:
    """Shared words in order, counted by hand: 2 L / (|a| + |b|) averaged over the pairs."""
    assert LexicalSimilarity().score("x", samples) == pytest.approx(expected, abs=1e-12)


@given(texts)
def test_equation(samples: list[str]) -> None:
    """One less the mean over unordered pairs, from 0 to 1."""
    grades = RougeL().similarity(list(combinations(samples, 2)), question="")
    uncertainty = LexicalSimilarity().score("x", samples)
    assert uncertainty == pytest.approx(1 - sum(grades) / len(grades), abs=1e-12)
    assert 0 <= uncertainty <= 1


@given(texts)
def test_degree_matrix_counts_each_sample_with_itself(samples: list[str]) -> None:
    """That is all the difference: over the same similarity DegMat is (N - 1) / N times this."""
    n = len(samples)
    degree = DegreeMatrix(RougeL()).score("x", samples)
    assert degree == pytest.approx(LexicalSimilarity().score("x", samples) * (n - 1) / n, abs=1e-12)


@given(texts)
def test_of_a_yes_or_no_similarity_it_is_the_share_of_unlike_pairs(samples: list[str]) -> None:
    """Another equivalence may take ROUGE's place."""
    unlike = [a != b for a, b in combinations(samples, 2)]
    # Articles count, or "a b" would be "b".
    exact = ExactEquivalence(articles=True)
    assert LexicalSimilarity(exact).score("x", samples) == pytest.approx(sum(unlike) / len(unlike))


def test_bounds_after_some_samples() -> None:
    """Of three pairs one is known, of similarity 2/3; the other two may be all alike or all unlike."""
    evidence = Evidence(question="", answer=says("x"), samples=(says("It is Paris"), says("It is Lyon")))
    assert LexicalSimilarity().bounds(evidence, 1) == pytest.approx((1 / 9, 7 / 9))
