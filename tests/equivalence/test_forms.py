"""Tasks whose form is the answer: every word of it counts there."""

from __future__ import annotations

import pytest

from confroute import TextEquivalence
from confroute.equivalence.forms import form_asked

GRAMMAR = "Correct the grammar: He have two dog."
ENGLISH = "Translate to English: Mon frère te doit 5 euros."
PAST = "Put it in the past tense: She is reading a book."

DIFFERENT = [
    (GRAMMAR, "He has two dogs.", "He have two dog."),
    (GRAMMAR, 'The sentence should be "He has two dog."', "He has two dogs."),
    (ENGLISH, "My brother owes you 5 euros.", "Your brother owes me 5 euros."),
    ("Please translate it into English: Er war krank.", "He was sick.", "He is sick."),
    (PAST, "She was reading a book.", "She is reading a book."),
    ("Fill in the blank: I go ___ school.", "I go to school.", "I go at school."),
    ("Put it in the plural: sheep dog", "sheep dogs", "sheep dog"),
    ("Capitalize: hello world", "Hello World", "hello world"),
    ("Convert to snake_case: helloWorld", "hello_world", "hello world"),
]

SAME = [
    (GRAMMAR, "He has two dogs.", 'The corrected sentence is: "He has two dogs."'),
    (GRAMMAR, "He has two dogs", "he has 2 dogs."),
    (ENGLISH, '"My brother owes you five euros."', "In English: My brother owes you 5 euros."),
    (PAST, "She was reading a book.", "In the past tense: She was reading a book."),
    ("Fill in the blank: The sky is ___.", "blue", "The sky is blue."),
    ("Capitalize: hello world", "Hello World", "**Hello World**"),
    ("What is the capital of Japan?", "The capital of Japan is Tokyo.", "The capital city is Tokyo."),
]


@pytest.mark.parametrize(("question", "a", "b"), DIFFERENT)
def test_another_form_is_another_answer(question: str, a: str, b: str) -> None:
    """An ending, a pronoun, or a capital where capitals are asked for, is what such a task is about."""
    assert TextEquivalence().same([(a, b), (b, a)], question=question) == [False, False]


@pytest.mark.parametrize(("question", "a", "b"), SAME)
def test_the_same_form_with_more_around_it(question: str, a: str, b: str) -> None:
    """Quoted, introduced, or with a number in digits; elsewhere the form does not count."""
    assert TextEquivalence().same([(a, b), (b, a)], question=question) == [True, True]


@pytest.mark.parametrize(
    "question",
    [
        "What does mRNA translate to?",
        "Who wrote the first English grammar?",
        "Is it correct that a tomato is a fruit?",
        "Did the company capitalise its costs?",
        "What is the correct answer?",
        "Who is the present king?",
        "What is the plural of mouse?",
        "How many passwords of eight lowercase letters are there?",
    ],
)
def test_other_questions_ask_for_no_form(question: str) -> None:
    """That a word of such a task is in it makes it none."""
    assert form_asked(question) == ""
