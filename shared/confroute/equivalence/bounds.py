"""What a number is to what is said of it: whether that goes to it, by it or from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from confroute.equivalence.numerals import is_number
from confroute.equivalence.synonyms import MONTHS

# Not "until" and "by": what is due by a day is due until then.
_OTHERS: Final = {
    "to": frozenset({"by", "from", "since", "past"}),
    "until": frozenset({"from", "since"}),
    "till": frozenset({"from", "since"}),
    "by": frozenset({"to", "from", "since"}),
    "from": frozenset({"to", "until", "till", "by"}),
    "since": frozenset({"to", "until", "till", "by"}),
    "past": frozenset({"to"}),
}
# What may stand between: that of "$20" does.
_BETWEEN: Final = frozenset({"dollars", "euros", "pounds", "yen", "may", *MONTHS, *MONTHS.values()})


def bounds_differ(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether a number of both, which are tokens, is reached in one and left, or a difference, in the other: "rose to
    5%" and "rose by 5%", "until 1 May" and "from 1 May"."""
    bounds_a = _bounds(a)
    bounds_b = bounds_a and _bounds(b)
    return any(
        not _OTHERS[word].isdisjoint(bounds_b[number])
        for number in bounds_a.keys() & bounds_b.keys()
        if bounds_a[number].isdisjoint(bounds_b[number])
        for word in bounds_a[number]
    )


def _bounds(tokens: Sequence[str]) -> dict[str, set[str]]:
    """The words of `_OTHERS` before each number."""
    bounds: defaultdict[str, set[str]] = defaultdict(set)
    for i, word in enumerate(tokens):
        if word in _OTHERS:
            behind = tokens[i + 1 : i + 3]
            if behind and behind[0] in _BETWEEN:
                behind = behind[1:]
            if behind and is_number(behind[0]):
                bounds[behind[0]].add(word)
    return bounds
