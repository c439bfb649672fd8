"""One less the mean similarity of the samples, each with itself included."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import Evidence
from confroute.equivalence import ExactEquivalence, RougeL
from confroute.estimators import DegreeMatrix
from confroute.testing import says

EXACT = DegreeMatrix(ExactEquivalence())
cities = st.lists(st.sampled_from("Paris Lyon Rome Oslo Lima".split()), min_size=2, max_size=10)


@pytest.mark.parametrize("k", range(1, 6))
@pytest.mark.parametrize("each", [2, 3])
def test_k_groups_of_one_size(k: int, each: int) -> None:
    """The mean similarity is one in k, whatever the size of the groups."""
    samples = [city for city in "Paris Lyon Rome Oslo Lima".split()[:k] for _ in range(each)]
    assert DegreeMatrix().score("x", samples) == pytest.approx(1 - 1 / k)


@given(cities)
def test_of_a_yes_or_no_similarity_it_is_the_gini_index(samples: list[str]) -> None:
    """One less the sum of the squared shares of the meanings; all apart, it is at its greatest, 1 - 1/N."""
    n = len(samples)
    gini = 1 - sum((samples.count(city) / n) ** 2 for city in set(samples))
    assert EXACT.score("x", samples) == pytest.approx(gini)
    assert 0 <= EXACT.score("x", samples) <= 1 - 1 / n + 1e-12


@given(cities, st.integers(2, 3))
def test_repeating_all_samples_changes_nothing(samples: list[str], times: int) -> None:
    """It depends on the shares of the texts, not on N."""
    assert EXACT.score("x", samples * times) == pytest.approx(EXACT.score("x", samples))


@given(st.integers(0, 6), st.integers(1, 6))
def test_two_samples(shared: int, apart: int) -> None:
    """Of similarity s they are (1 - s) / 2."""
    same = [f"w{i}" for i in range(shared)]
    a, b = (" ".join([*same, *(f"{side}{i}" for i in range(apart))]) for side in "ab")
    s = shared / (shared + apart)
    assert DegreeMatrix(RougeL()).score("x", [a, b]) == pytest.approx((1 - s) / 2)


def test_bounds_after_some_samples() -> None:
    """Two unlike samples and one to come: of nine similarities three are 1, two are 0 and four are open."""
    evidence = Evidence(question="", answer=says("x"), samples=(says("Paris"), says("Rome")))
    assert DegreeMatrix().bounds(evidence, 1) == pytest.approx((2 / 9, 6 / 9))
