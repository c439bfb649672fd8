"""Similarity by the longest common subsequence of words."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.equivalence import RougeL

words = st.lists(st.sampled_from("a b c d".split()), max_size=6)
texts = st.one_of(st.text(max_size=20), words.map(" ".join), st.sampled_from(["", "...", "!?", "🙂", "東京", "Straße"]))


def similarity(a: str, b: str) -> float:
    return RougeL().similarity([(a, b)], question="")[0]


def subsequences(text: list[str]) -> set[tuple[str, ...]]:
    return {chosen for n in range(len(text) + 1) for chosen in combinations(text, n)}


@given(words, words)
def test_equation(a: list[str], b: list[str]) -> None:
    """2 L / (|a| + |b|), L the length of the longest of all common subsequences, enumerated."""
    longest = max(map(len, subsequences(a) & subsequences(b)))
    expected = 1.0 if a == b else 2 * longest / (len(a) + len(b)) if longest else 0.0
    assert similarity(" ".join(a), " ".join(b)) == pytest.approx(expected)


@given(texts, texts)
def test_a_grade(a: str, b: str) -> None:
    """From 0 to 1, the same both ways, and 1 for equal texts, also those without words."""
    assert 0 <= similarity(a, b) <= 1
    assert similarity(a, b) == similarity(b, a)
    assert similarity(a, a) == 1.0


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("It is Paris", "It is Lyon", 2 / 3),
        ("born in 1921", "born in 1912", 2 / 3),
        ("police killed the gunman", "police kill the gunman", 3 / 4),
        ("police killed the gunman", "the gunman kill police", 1 / 2),
        ("Paris", "It is Paris", 1 / 2),
        ("red green", "green red", 1 / 2),
        ("a a a", "a", 1 / 2),
        ("PARIS!", "paris", 1.0),
        ("Straße", "STRASSE", 1.0),
        ("don't", "don t", 1.0),
        ("Paris", "Lyon", 0.0),
        ("Paris", "", 0.0),
        ("...", "!?", 0.0),
        ("running", "run", 0.0),
    ],
)
def test_known_similarities(a: str, b: str, expected: float) -> None:
    """Counted by hand, the gunman by Lin (2004) with F1 and his full stops left out; order counts, case and
    punctuation do not, and words are not stemmed."""
    assert similarity(a, b) == pytest.approx(expected)


@pytest.mark.parametrize(("threshold", "same"), [(0.5, True), (2 / 3, True), (0.7, False), (1.0, False)])
def test_same_from_the_threshold_on(threshold: float, same: bool) -> None:
    """Two words of three are the same answer where 2/3 is enough, that number included."""
    assert RougeL(threshold=threshold).same([("It is Paris", "It is Lyon")], question="") == [same]


@given(st.lists(st.tuples(texts, texts), max_size=5), texts)
def test_a_batch_is_its_pairs(pairs: list[tuple[str, str]], question: str) -> None:
    """No pair's grade depends on the others or on the question; same is a threshold on it."""
    grades = RougeL().similarity(pairs, question=question)
    assert grades == [similarity(a, b) for a, b in pairs]
    assert RougeL().same(pairs, question=question) == [grade >= 0.7 for grade in grades]
