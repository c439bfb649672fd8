"""Answers that choose: among the question's own choices, or by a letter."""

from __future__ import annotations

import pytest

from confroute import Router, TextEquivalence
from confroute.equivalence import ExactEquivalence
from confroute.testing import ScriptedEngine

HELIUM = "What is the chemical symbol for helium?"
LARGER = "Which city is larger, Paris or Lyon?"
SENTIMENT = "Classify the sentiment as positive, negative or neutral: I liked it."
TOMATO = "Is a tomato a fruit or a vegetable?"
PRESSURE = "Is the patient's blood pressure high or low for her age?"

SAME = [
    ("Which option?", "A", "The answer is A"),
    ("Which option?", "B", "The answer is B"),
    ("Which option?", "A", "The answer is A because it is larger."),
    ("", "a", "A."),
    ("", "(A)", "A"),
    ("", "a. Paris", "A) Paris"),
    ("", "vitamin a", "Vitamin A"),
    ("", "A: Paris", "Paris, I believe"),
    ("", "It is a dog", "A dog"),
    ("", "J.K. Rowling", "J. K. Rowling"),
    ("", "Type I diabetes", "Type 1 diabetes"),
    ("", "Elizabeth I of England", "Elizabeth I"),
    ("", "Elizabeth I", "Elizabeth I was queen"),
    ("", "Paris, I think", "Paris"),
    (HELIUM, "He", "The chemical symbol for helium is He."),
    ("Is the sky red or blue?", "The sky appears blue", "blue it is"),
    ("Who came first, Batman or Superman?", "Batman is the answer.", "Batman, as far as I know, but check it"),
    ("", "louis xiv", "Louis XIV"),
    (TOMATO, "It is a fruit.", "A tomato is botanically a fruit"),
    (LARGER, "The larger city is Paris", "Paris is larger than Lyon"),
    (SENTIMENT, "The sentiment is positive", "positive sentiment"),
    ("Who wrote Hamlet?", "Shakespeare wrote it", "Hamlet was by Shakespeare"),
]

DIFFERENT = [
    ("Classify as positive or negative: I liked it.", "The sentiment expressed is positive.", "... is negative."),
    ("Is 17 prime or composite?", "17 is a prime number.", "17 is a composite number."),
    ("Is the sky red or blue?", "The sky appears red", "The sky appears blue"),
    ("Label it spam/ham.", "The label appears to be spam", "The label appears to be ham"),
    ("Is it the Atlantic Ocean or the Pacific Ocean?", "It seems the Atlantic Ocean", "It seems the Pacific Ocean"),
    (TOMATO, "A tomato is botanically a fruit", "A tomato is botanically a vegetable"),
    (LARGER, "Paris is the larger one, surely", "Lyon is the larger one, surely"),
    (SENTIMENT, "The sentiment expressed is positive", "The sentiment expressed is negative"),
    (PRESSURE, "High (150 over 95)", "Her blood pressure is low (150 over 95)."),
    ("Did it make a profit or a loss in 2023?", "A profit of $5 million.", "It made a loss of $5 million in 2023."),
    ("Should I invest in stocks or bonds?", "Stocks, as you can bear risk.", "You should invest in bonds, as you can."),
    ("", "Vitamin A", "Vitamin D"),
    ("Which vitamin is retinol?", "Vitamin A", "Vitamin D"),
    ("", "Hepatitis A virus", "Hepatitis B virus"),
    ("", "Type A", "Type B"),
    ("", "Plan A", "Plan B"),
    ("", "A) Paris", "B) Paris"),
    ("", "Model S", "Model X"),
    ("", "George W. Bush", "George H. Bush"),
    (HELIUM, "The chemical symbol for helium is He.", "The chemical symbol for helium is As."),
    (HELIUM, "He", "The chemical symbol for helium is As."),
]


@pytest.mark.parametrize(("question", "a", "b"), SAME)
def test_the_same_choice(question: str, a: str, b: str) -> None:
    """A letter or a choice is the same whatever words stand around it."""
    assert TextEquivalence().same([(a, b), (b, a)], question=question) == [True, True]


@pytest.mark.parametrize(("question", "a", "b"), DIFFERENT)
def test_another_choice(question: str, a: str, b: str) -> None:
    """Words in common do not make up for another letter or another of the question's own choices."""
    assert TextEquivalence().same([(a, b), (b, a)], question=question) == [False, False]


def test_an_opposite_answer_is_not_served_as_sure() -> None:
    """Ten samples that say the opposite leave no confidence."""
    question = "Is 17 prime or composite?"
    edge = ScriptedEngine({question: ("17 is a prime number.", ["17 is a composite number."] * 10)})

    record = Router(edge, samples=10, threshold=0.9).decide([{"role": "user", "content": question}]).record

    assert (record.route, record.confidence) == ("cloud", 0.0)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("A", "a", True),
        ("vitamin A", "vitamin a", True),
        ("x > 3", "x < 3", False),
        ("10 000", "10,000", True),
        ("H2O", "H2O2", False),
    ],
)
def test_exactly(a: str, b: str, same: bool) -> None:
    """Equality after normalisation knows letters, operators and spaced thousands, too."""
    assert ExactEquivalence().same([(a, b)], question="") == [same]
