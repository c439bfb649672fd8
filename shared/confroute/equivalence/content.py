"""What an answer says: its content words and numbers, with and without those of the question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from confroute.equivalence.negations import may_deny
from confroute.equivalence.normalise import OPERATORS
from confroute.equivalence.numerals import is_number
from confroute.equivalence.recent import recently
from confroute.equivalence.synonyms import ABBREVIATIONS, UNITS

STOP_WORDS: Final = frozenset(
    "a an the this that these those it its is are was were be been being do does did has have had will would can "
    "could should might must of in on at to from by for with about as into than then and or so but if there here "
    "which who whom whose what when where why how i you he she we they them me my your his her our their "
    "st nd rd th answer think one".split()
)
OPENINGS: Final = frozenset("sure certainly indeed ok okay".split())
ASSENT: Final = OPENINGS | {"yes", "true", "correct"}

_DIGIT: Final = re.compile(r"\d")


class Said(NamedTuple):
    numbers: tuple[str, ...]
    """In their order."""
    words: frozenset[str]


class Content(NamedTuple):
    whole: Said
    own: Said
    """What the question did not say already."""
    telling: frozenset[str]
    """What another answer cannot put in other words: operators, "A", "B12", a number that the question names."""
    symbol: str
    """The last word of an answer without content of its own, if it could be a symbol: that of helium is He."""
    denies: bool
    sequence: Sequence[str]
    """Its content words and numbers in their order."""


@recently(200)
def content_of(tokens: tuple[str, ...], asked: frozenset[str]) -> Content:
    """Remembered, as `tokens` is."""
    numbers: list[str] = []
    words: set[str] = set()
    telling: set[str] = set()
    sequence = words_of(tokens)
    for token in sequence:
        if token.isalpha() and len(token) > 1:  # as below, in less time
            words.add(token)
            continue
        if is_number(token):
            numbers.append(token.removesuffix(":00"))
            continue
        if token not in OPERATORS:
            words.add(token)
        if len(token) == 1 or (not token.isalpha() and _DIGIT.search(token)):
            telling.add(token)
    own = Said(tuple(number for number in numbers if number not in asked), frozenset(words - asked))
    last = tokens[-1] if tokens and not any(own) else ""
    return Content(
        Said(tuple(numbers), frozenset(words)),
        own,
        frozenset(telling.union(asked.intersection(numbers)) if numbers else telling),
        last if len(last) <= 2 and last in STOP_WORDS and last not in asked else "",
        may_deny(tokens),
        sequence,
    )


def words_of(tokens: Sequence[str]) -> list[str]:
    return [singular(token) for token in tokens if token not in STOP_WORDS]


def singular(token: str) -> str:
    if len(token) > 3 and token.endswith("s") and not token.endswith("ss"):
        # Of units only: Mars is no month.
        return UNITS.get(token[:-1], token[:-1])
    return ABBREVIATIONS.get(token, token)
