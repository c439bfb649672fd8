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
    ("What happened to unemployment?", "It went up to 5%.", "It went up by 5%."),
    ("When is it due?", "by 1 May", "from 1 May"),
    ("When is it open?", "until 9 am", "from 9 am"),
    ("What happened to sales?", "They rose from 3 to 5 million.", "They rose from 3 by 5 million."),
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
    ("When is it due?", "Submit it by May 5.", "You have up to May 5 to submit."),
    ("When is it due?", "You have to submit by 5 May.", "You have to 5 May to submit."),
    ("What is 15% of 80?", "Multiply 80 by 0.15: it is 12.", "Convert 15% to 0.15 and multiply by 80: it is 12."),
    ("What is the ratio of 12 to 4?", "The ratio of 12 to 4 is 3.", "The ratio is 12 divided by 4, which is 3."),
    ("Tom has 10 and gets 5. How many?", "Adding 5 to 10 gives 15.", "Starting from 10 and adding 5 gives 15."),
    ("What is 3 times 5?", "15, as 3 multiplied by 5 comes to 15.", "15"),
]

VERSIONS = [
    ("Which Python version introduced match?", "3.10", "3.1"),
    ("What is the latest stable release version?", "3.10", "3.1"),
    ("", "Python 3.10", "Python 3.1"),
    ("", "It needs Node 18.10.", "It needs Node 18.1."),
    ("Which section covers this?", "Section 4.1", "Section 4.10"),
    ("Which article covers this?", "It is Article 4.10 of the treaty.", "It is article 4.1 of the treaty."),
]

SAME_VERSIONS = [
    ("How much is it?", "$3.50", "3.5 dollars"),
    ("What is 7 / 2?", "3.50", "3.5"),
    ("Which version?", "Version 4.0", "version 4"),
    ("According to the article, how long is the river?", "3.50 km", "3.5 km"),
    ("According to section 2, what is the rate?", "The rate is 4.50%.", "The rate is 4.5%."),
    ("What is the interest rate under this clause?", "4.50", "4.5"),
    ("What is the rate in version B?", "4.50 percent", "4.5 percent"),
    ("What is the late fee according to paragraph 3?", "The late fee is 1.50 EUR.", "The late fee is 1.5 EUR"),
    ("Which version is cheaper?", "The one of 19.90 euros", "The one of 19.9 euros"),
    ("How many euros does the book on Java cost?", "19.90", "19.9"),
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
