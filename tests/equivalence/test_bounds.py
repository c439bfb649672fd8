"""What stands before a number, and how it is written: bounds, versions."""

from __future__ import annotations

import pytest

from confroute import TextEquivalence

BOUNDS = [
    ("What happened to unemployment?", "Unemployment rose to 5%.", "Unemployment rose by 5%."),
    ("What happened to the price?", "It fell to $20", "It fell from $20"),
    ("What happened to the price?", "The price increased by $20.", "The price increased to $20."),
    ("When is the offer valid?", "From 1 May.", "To 1 May."),
    ("When is the offer valid?", "until 1 May", "from 1 May"),
    ("What time is it?", "quarter to five", "quarter past five"),
    ("How long did he rule?", "He ruled since 1802.", "He ruled until 1802."),
]

SAME_BOUNDS = [
    ("When is it open?", "from 9 to 5", "9 to 5"),
    ("When is it open?", "It is open from 9 to 5.", "It is open between 9 and 5."),
    ("What happened to unemployment?", "It rose from 4% to 5%.", "Unemployment rose from 4% up to 5%."),
    ("What happened to unemployment?", "It rose to 5%.", "5%"),
    ("When is it due?", "by 5 May", "on 5 May"),
    ("When is it due?", "by 5 May", "until 5 May"),
    ("What is 3 times 5?", "15, as 3 multiplied by 5 comes to 15.", "15"),
]

VERSIONS = [
    ("Which Python version introduced match?", "3.10", "3.1"),
    ("", "Python 3.10", "Python 3.1"),
    ("", "It needs Node 18.10.", "It needs Node 18.1."),
    ("Which section covers this?", "Section 4.1", "Section 4.10"),
    ("Which article covers this?", "It is Article 4.10 of the treaty.", "It is article 4.1 of the treaty."),
]

SAME_VERSIONS = [
    ("How much is it?", "$3.50", "3.5 dollars"),
    ("What is 7 / 2?", "3.50", "3.5"),
    ("Which version?", "Version 4.0", "version 4"),
    ("Which Python version?", "Python 3.10", "3.10"),
    ("Which section?", "Section 4.1, page 10", "Section 4.1"),
]

MARS = [("Which planet is the fourth?", "Mars", "March"), ("Which planet?", "Mars", "Mar.")]


def agree(a: str, b: str, question: str) -> bool:
    verdicts = TextEquivalence().same([(a, b), (b, a)], question=question)
    assert verdicts[0] == verdicts[1]
    return verdicts[0]


@pytest.mark.parametrize(("question", "a", "b"), BOUNDS)
def test_to_by_and_from_a_number(question: str, a: str, b: str) -> None:
    """A rise to a number is none by it, and what begins with it does not end there."""
    assert not agree(a, b, question)


@pytest.mark.parametrize(("question", "a", "b"), SAME_BOUNDS)
def test_numbers_with_and_without_their_bounds(question: str, a: str, b: str) -> None:
    """Of one that says it, another way or not at all, nothing is known to differ."""
    assert agree(a, b, question)


@pytest.mark.parametrize(("question", "a", "b"), VERSIONS)
def test_the_last_zero_of_a_version_counts(question: str, a: str, b: str) -> None:
    """Version 3.10 comes nine after 3.1, and section 4.10 stands elsewhere than 4.1."""
    assert not agree(a, b, question)


@pytest.mark.parametrize(("question", "a", "b"), SAME_VERSIONS)
def test_the_last_zero_of_an_amount_does_not(question: str, a: str, b: str) -> None:
    """Nor that of a version which has nothing else behind the point."""
    assert agree(a, b, question)


@pytest.mark.parametrize(("question", "a", "b"), MARS)
def test_a_planet_is_no_month(question: str, a: str, b: str) -> None:
    """An s at the end of a word is dropped, but what remains is no abbreviation of a month."""
    assert not agree(a, b, question)
    assert agree("20 Mar 1969", "March 20, 1969", question)
    assert agree("5 metres", "5 meters", question)
