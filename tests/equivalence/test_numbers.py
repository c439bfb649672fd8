"""Which numbers mean the same, by themselves and among words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import TextEquivalence

UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
SCALES = [(10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred")]


def agree(a: str, b: str, question: str = "") -> bool:
    verdicts = TextEquivalence().same([(a, b), (b, a)], question=question)
    assert verdicts[0] == verdicts[1]
    return verdicts[0]


def spelled(number: int) -> str:
    for scale, name in SCALES:
        if number >= scale:
            rest = number % scale
            return f"{spelled(number // scale)} {name}" + (f" {spelled(rest)}" if rest else "")
    if number < 20:
        return UNITS[number]
    return TENS[number // 10] + (f"-{UNITS[number % 10]}" if number % 10 else "")


@given(st.integers(0, 10**12 - 1), st.integers(0, 10**12 - 1))
def test_spelled_numbers_are_their_digits(a: int, b: int) -> None:
    """Hundreds count within their scale: "two million five hundred thousand" is 2,500,000."""
    assert agree(spelled(a), str(a))
    assert agree(spelled(a).replace("hundred ", "hundred and "), f"{a:,}")
    assert agree(spelled(a), str(b)) == (a == b)


SAME = [
    ("", "one thousand nine hundred", "1,900"),
    ("", "a hundred", "100"),
    ("", "a million dollars", "$1,000,000"),
    ("", "a thousand million", "1 billion"),
    ("", "10 000", "10,000"),
    ("", "299 792 458 m/s", "299,792,458 m/s"),
    ("", "10\u202f000,5", "10000.5"),
    ("", "½ cup", "1/2 cup"),
    ("", "1½ cups", "1 1/2 cups"),
    ("", "x ≥ 3", "x >= 3"),
    ("", "x+3", "x + 3"),
    ("", "Batman + Robin", "Batman and Robin"),
    ("", "25 km²", "25 km2"),
    ("", "x³", "x^3"),
    ("", "x-3", "x - 3"),
    ("", "F-16", "F16"),
    ("", "vitamin B-12", "Vitamin B12"),
    ("", "COVID-19", "COVID19"),
    ("", "C++11", "C++ 11"),
    ("", "3 p.m.", "3 pm"),
    ("", "20/07/1969", "1969"),
    ("", "the 1960s", "1960's"),
    ("", "Mars is one of the planets", "Mars"),
    ("", "No one", "no one."),
    ("", "Lima", "Lima, founded 1535"),
    ("", "Lima", "Lima, 1535"),
    ("", "July 1969", "July 20, 1969"),
    ("", "1. Paris", "Paris"),
    ("", "1) Paris", "Paris"),
    ("", "1. Red\n2. Yellow\n3. Blue", "red, yellow, blue"),
    ("", "1. Oslo (9 km)\n2. Rome (7 km)", "Oslo (9 km), Rome (7 km)"),
    ("", "3:00 PM", "3 PM"),
    ("", "Jan 5", "January 5"),
    ("", "Sept 2020", "September 2020"),
    ("", "5 km", "5 kilometres"),
    ("", "30 min", "30 minutes"),
    ("", "2 hrs 30 min", "2 hours and 30 minutes"),
    ("", "20 km", "20 km, in 2 hours 30 minutes"),
    ("", "2 hours (120 minutes)", "2 hours"),
    ("", "1. 126 rooms", "126 rooms"),
    ("", "William Shakespeare (1564-1616)", "William Shakespeare"),
    ("", "384,400 km (238,855 miles)", "384,400 km"),
    ("", "8", "8. There are eight planets."),
    ("What is 7 + 5?", "12", "7 + 5 = 12"),
    ("What is seven plus five?", "12", "7 + 5 = 12"),
    ("Is 17 prime or composite?", "17 is prime.", "Prime"),
    ('Who wrote the 1897 novel "Dracula"?', "The author of the 1897 novel is Bram Stoker.", "Bram Stoker, aged 49."),
]

DIFFERENT = [
    ("Tom has 500 dollars and earns as much 3 times. How many has he then?", "The total is 500.", "The total is 1500."),
    ("", "1-1", "1-0"),
    ("", "The game ended 2-2", "The game ended 2-1"),
    ("", "4-2-4", "4-4-2"),
    ("", "2024-01-01", "2024-01-15"),
    ("", "299 792 458 m/s", "299 m/s"),
    ("", "10 000", "10"),
    ("", "½ cup", "1 cup"),
    ("", "1½ cups", "11 cups"),
    ("", "1½ cups", "1 cup"),
    ("", "1½ cups", "½ cup"),
    ("", "x > 3", "x < 3"),
    ("", "x > 3", "x ≥ 3"),
    ("", "x ≥ 3", "x ≤ 3"),
    ("", "x = 3", "x ≠ 3"),
    ("Solve 2x > 6.", "x > 3", "x < 3"),
    ("Solve 2x > 6.", "x > 3", "x = 3"),
    ("", "2x + 3", "2x - 3"),
    ("", "x^2 + 1", "x^2 - 1"),
    ("", "the derivative is x^2 plus a constant", "the derivative is x^3 plus a constant"),
    ("", "10^6 m", "10 m"),
    ("", "10^6", "10^-6"),
    ("", "H2O", "H2O2"),
    ("", "CO2", "CO"),
    ("", "Apollo 11", "Apollo"),
    ("", "Henry V", "Henry VIII"),
    ("", "Type I diabetes", "Type II diabetes"),
    ("", "Stage I cancer", "Stage IV cancer"),
    ("", "3 p.m.", "3 a.m."),
    ("", "5 s", "5 g"),
    (
        "Does water boil at 90 or 100 degrees?",
        "Water boils at 90 degrees Celsius",
        "Water boils at 100 degrees Celsius",
    ),
    ("What is 2 * 3?", "The result is 6", "The result is 3"),
    ("", "2 hours 30 minutes", "30 minutes"),
    ("", "It takes 1 hour and 20 minutes.", "It takes 20 minutes."),
    ("", "two hours and thirty minutes", "2 hours"),
    ("", "2h 30m", "2h"),
    ("Is 2 hours enough?", "The trip takes 2 hours and 30 minutes.", "The trip takes 30 minutes."),
    ("", "5 feet 10 inches", "5 feet"),
    ("", "5 dollars and 20 cents", "5 dollars"),
    ("", "1 in 5 people", "5 people"),
    ("", "1. Januar 2020", "Am 2. Januar 2020"),
    ("", "1. Oslo\n2. Rome", "Oslo 2, Rome 1"),
    ("What is 100 minus 1?", "100 minus 1 is 100.", "100 - 1 = 99"),
    ("Which is larger, 90 or 100?", "90 is larger than 100", "100 is larger than 90"),
]


@pytest.mark.parametrize(("question", "a", "b"), SAME)
def test_the_same_number(question: str, a: str, b: str) -> None:
    """However a number is written; and a number more does not matter where it comes with more words, or in a date."""
    assert agree(a, b, question)


@pytest.mark.parametrize(("question", "a", "b"), DIFFERENT)
def test_another_number(question: str, a: str, b: str) -> None:
    """Each number counts, how often and in which order, also where the question has it; so does what joins them."""
    assert not agree(a, b, question)
