"""Quantities of two numbers, "2 hours 30 minutes": neither of them alone is the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from confroute.equivalence.numerals import is_number

# As the comparison writes them, each with its size.
_SCALES: Final = (
    {"year": 31_536_000, "month": 2_592_000, "week": 604_800, "day": 86_400, "hour": 3_600, "minute": 60, "second": 1},
    {"d": 86_400, "h": 3_600, "m": 60, "s": 1},
    {"mile": 63_360, "yard": 36, "feet": 12, "inch": 1},
    {"kilometer": 100_000, "meter": 100, "centimeter": 1},
    {"stone": 224, "pound": 16, "ounce": 1},
    {"kilogram": 1_000, "gram": 1},
    {"dollar": 100, "euro": 100, "cent": 1},
)
_UNITS: Final = frozenset[str]().union(*_SCALES)


def one_is_a_part(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether one answer, as its content words and numbers, has a quantity of two of which the other has one alone."""
    return _is_split(a, b) or _is_split(b, a)


def _is_split(whole: Sequence[str], part: Sequence[str]) -> bool:
    said = set(part)
    return any((first in said) != (second in said) for first, second in _compound(whole))


def _compound(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The numbers of two units, with nothing between, the second less than one of the first: not "2 hours (120
    minutes)"."""
    at = [i for i, word in enumerate(words[1:], start=1) if word in _UNITS and is_number(words[i - 1])]
    for i, k in pairwise(at):
        number = words[k - 1]
        if k == i + 2 and number.isdecimal() and len(number) <= 6:
            least = int(number)
            if any(least * scale.get(words[k], math.inf) < scale.get(words[i], 0) for scale in _SCALES):
                yield words[i - 1], number
