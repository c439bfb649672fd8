"""Whether an accepted answer stands in an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.grading import contains_answer

RIGHT = [
    ("It is TOKYO.", "Tokyo"),
    ("Tōkyō", "Tokyo"),
    ("1914,1918", "1918"),
    ("It ended on 20/07/1969.", "1969"),
    ("1 000", "1000"),
    ("10,000.00", "10000"),
    ("12.50", "12.5"),
    ("3", "3.0"),
    ("€5", "5"),
    ("two hundred and five", "205"),
    ("½", "1/2"),
    ("+", "+"),
    ("The answer is A.", "A"),
    ("Vitamin A deficiency", "vitamin A"),
    ("a vitamin a deficiency", "vitamin A"),
    ("L'Amérique", "Amérique"),
    ("Elizabeth I was queen.", "Elizabeth I"),
    ("**Elizabeth I**", "Elizabeth I"),
    ("It is IV.", "IV"),
    ("King Henry VIII", "henry viii"),
    ("Charles I ruled", "charles i"),
    ("It is H2O.", "H2O"),
    ("not spam", "not spam"),
    ("It is not_entailment.", "not_entailment"),
    ("ANSWER_B", "B"),
    ("LABEL_POSITIVE", "positive"),
    ("class_1", "1"),
    ("not entailment", "not_entailment"),
    ("__spam__", "spam"),
    ("No, Paris is.", "Paris"),
    ("Not Lyon. Paris.", "Paris"),
    ("label_1", "label_1"),
    ("No, it is not. Canberra is the capital of Australia.", "Canberra"),
    ("No, it isn't. Canberra is.", "Canberra"),
    ("Is the statement true or not? Yes.", "Yes"),
    ("True or not true", "true"),
    ("It's not A. B.", "B"),
    ("It is not\n\nB", "B"),
    ("Why not: Paris", "Paris"),
    ("I cannot; 42", "42"),
    ("Sydney ist es nicht, Canberra schon", "Canberra"),
    ("Ce n'est pas. Paris est la capitale", "Paris"),
    ("All are mammals except the shark.", "shark"),
    ("Alle Planeten außer Merkur", "Merkur"),
    ("все кроме понедельника", "понедельника"),
    ("Use `except ValueError`", "ValueError"),
    ("Hardly anyone", "anyone"),
    ("It is not here.** Washington, D.C. is it", "Washington, D.C."),
]

WRONG = [
    ("Tokyoites", "Tokyo"),
    ("-5", "5"),
    ("3.7", "3"),
    ("3.5", "5"),
    ("0.5", "5"),
    ("10:30", "30"),
    ("1/2", "2"),
    ("10²", "102"),
    ("3.5 million", "3.5"),
    ("C", "C++"),
    ("C++", "C"),
    ("x > 3", "x < 3"),
    ("ハハ", "パパ"),
    ("का", "की"),
    ("It is a dog", "A"),
    ("No one knows", "1"),
    ("B12", "B"),
    ("H2O", "H2"),
    ("Paris", ""),
    ("not spam", "spam"),
    ("It isn't Tokyo.", "Tokyo"),
    ("It is not the Eiffel Tower", "Eiffel Tower"),
    ("kein Spam", "Spam"),
    ("It is not **spam**.", "spam"),
    ("It is not -5", "-5"),
    ("It's not 3.5", "3.5"),
    ("U.S. mail is not the spam", "spam"),
    ("not_entailment", "entailment"),
    ("not entailment", "entailment"),
    ("strong_entailment", "entailment"),
    ("entailment_2", "entailment"),
]


@pytest.mark.parametrize(("answer", "accepted"), RIGHT)
def test_right(answer: str, accepted: str) -> None:
    """Case, accents, punctuation and the form of a number do not count."""
    assert contains_answer(answer, ["something else", accepted])


@pytest.mark.parametrize(("answer", "accepted"), WRONG)
def test_wrong(answer: str, accepted: str) -> None:
    """A part of a word, of a joined label or of a number, or a number of another sign, is not the answer; nor is what
    the answer denies."""
    assert not contains_answer(answer, [accepted])


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=30))
def test_an_accepted_answer_is_right(text: str) -> None:
    """Every accepted answer that is not blank holds itself."""
    assert contains_answer(text, [text]) == bool(text.strip())
