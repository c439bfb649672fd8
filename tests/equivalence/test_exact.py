"""Equivalence of answers that are the same words and numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import TextEquivalence
from confroute.equivalence import ExactEquivalence

words = st.lists(
    st.sampled_from("the a an Paris PARIS is 5 $5 five dollars euro not A+ vitamin 1,000".split()), max_size=5
)


def equal(a: str, b: str, *, articles: bool = False) -> bool:
    return ExactEquivalence(articles=articles).same([(a, b)], question="Which?")[0]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Paris", " paris.\n"),
        ("**Paris**", "Paris!"),
        ("Zürich", "zurich"),
        ("$5", "5.00 dollars"),
        ("$5", "5 dollar"),
        ("€5", "five euros"),
        ("-$5", "minus five dollars"),
        ("$1.5 million", "1,500,000 dollars"),
        ("twenty-one", "21"),
        ("1,000", "1000.0"),
        ("50%", "50 percent"),
        ("the Eiffel Tower", "Eiffel Tower"),
        ("An apple", "apple"),
        ("president of the USA", "President of USA"),
        ("", " \t"),
    ],
)
def test_equal_after_normalisation(a: str, b: str) -> None:
    """Case, accents, punctuation, articles and number forms are not part of an answer."""
    assert equal(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("32", "32.5"),
        ("5", "-5"),
        ("$5", "5"),
        ("$5", "€5"),
        ("5 dollars", "6 dollars"),
        ("Paris", "It is Paris"),
        ("Paris", "Paris, France"),
        ("dog bites man", "man bites dog"),
        ("cat", "cats"),
        ("Yes", "No"),
        ("safe", "not safe"),
        ("C", "C++"),
        ("Paris", ""),
        ("A", ""),
        ("A", "the"),
        ("A", "an"),
        ("vitamin A", "vitamin"),
        ("hepatitis A virus", "hepatitis virus"),
        ("10²", "102"),
    ],
)
def test_different_after_normalisation(a: str, b: str) -> None:
    """Nothing else is dropped: not a word, a sign, an order, nor a letter that is the answer."""
    assert not equal(a, b)


def test_articles_count_if_asked() -> None:
    """With articles, only they make the difference."""
    assert not equal("the Tower", "Tower", articles=True)
    assert equal("The Tower", "the tower.", articles=True)
    assert ExactEquivalence().identity == "exact@2"
    assert ExactEquivalence(articles=True).identity == "exact@2(articles=True)"


@given(words, words)
def test_never_looser_than_text(a: list[str], b: list[str]) -> None:
    """Of answers without articles, what is exactly equal is equal for the text equivalence, too."""
    first, second = (" ".join(word for word in text if word not in ("the", "a", "an")) for text in (a, b))
    if equal(first, second):
        assert TextEquivalence().same([(first, second)], question="") == [True]


@given(words, words, words)
def test_transitive(a: list[str], b: list[str], c: list[str]) -> None:
    """It compares normal forms, so two answers equal to a third are equal."""
    first, second, third = map(" ".join, (a, b, c))
    if equal(first, second) and equal(second, third):
        assert equal(first, third)
