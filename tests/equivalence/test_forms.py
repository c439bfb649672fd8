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
    (GRAMMAR, 'The corrected sentence is: "He has two dogs."', 'The correct sentence is: "He has two dog."'),
    ("Translate to English: Er sagte: ja", "He said: yes", "She said: yes"),
    ("Translate to French: to him", '"To him" is à lui.', '"To him" is de lui.'),
    ("Translate to English: Sie ist es.", "It's her.", "It isn't hers."),
    ("Capitalize: hello world", "Hello World", "hello world"),
    ("Convert to snake_case: helloWorld", "hello_world", "hello world"),
]

SPANISH = 'Translate "thank you" into Spanish.'
BLANK = "Fill in the blank: The capital of France is ____."

SAME = [
    (GRAMMAR, "He has two dogs.", 'The corrected sentence is: "He has two dogs."'),
    (GRAMMAR, "He has two dogs", "he has 2 dogs."),
    (ENGLISH, '"My brother owes you five euros."', "In English: My brother owes you 5 euros."),
    (PAST, "She was reading a book.", "In the past tense: She was reading a book."),
    (GRAMMAR, "The corrected sentence is: He has two dogs.", 'Here is the corrected sentence: "He has two dogs."'),
    (SPANISH, '"Thank you" in Spanish is "gracias".', 'The Spanish translation of "thank you" is “gracias”.'),
    ("Translate to German: It is red.", "Sure! Es ist rot.", 'The German translation is "Es ist rot."'),
    ("Translate to English: Es ist kalt.", "It's cold.", "It is cold."),
    ("Translate to English: Je ne sais pas.", "I don’t know.", "I do not know."),
    ("Correct the sentence: she cant go", "She can't go.", "She can not go."),
    ("Fill in the blank: The sky is ___.", "blue", "The sky is blue."),
    (BLANK, "The blank is Paris.", "The capital of France is Paris."),
    (BLANK, "The word is Paris.", "The answer is Paris."),
    (
        "Fill in the blank: The largest planet is __.",
        "The largest planet is Jupiter.",
        "Jupiter is the largest planet.",
    ),
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
        "Correct answer only: what is the capital of France?",
        "Correct or incorrect: Paris is the capital of France?",
        "Correct me if I'm wrong: Paris is the capital of France?",
        "Write the name of the person who wrote Hamlet.",
        "Can you write a person's name who invented the telephone?",
        "Check whether this sentence is true: The sun is a star.",
        "Check the sentiment of this sentence: I love it.",
        "Fill in the form: who is the president of France?",
        "Is this spam: Fill in the form to win a prize!",
        "Is this spam: Translate this to win a prize!",
        "Classify as bug or billing: Please fix the sentence in the login.",
        "Classify the request: Can you change my booking to one more person?",
        "Convert the temperature 100 C to F; a person has asked",
        "Turn on voice: which button?",
        "Fix my sink: it leaks at the joint. What do I need?",
        "Write a Python expression that converts s to title case.",
        "What is the plural of mouse?",
        "How many passwords of eight lowercase letters are there?",
    ],
)
def test_other_questions_ask_for_no_form(question: str) -> None:
    """That a word of such a task is in it makes it none."""
    assert form_asked(question) == ""
