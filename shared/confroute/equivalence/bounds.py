"""What a number is to what is said of it: whether that goes to it, by it or from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from confroute.equivalence.numerals import is_number
from confroute.equivalence.synonyms import MONTHS

_OTHERS: Final = {
    "to": frozenset({"by", "from", "since"}),
    "by": frozenset({"to", "from", "since"}),
    "until": frozenset({"from", "since"}),
    "from": frozenset({"to", "until", "by"}),
    "since": frozenset({"to", "until", "by"}),
    "before": frozenset({"past"}),
    "past": frozenset({"before"}),
}
_BOUNDS: Final = frozenset({"to", "by", "until", "till", "from", "since", "past"})
# What may stand between: that of "$20" does.
_CURRENCIES: Final = frozenset({"dollars", "euros", "pounds", "yen"})
_MONTHS: Final = frozenset({"may", *MONTHS, *MONTHS.values()})
_CLOCK: Final = frozenset("quarter half minutes".split())
_CHANGE_BEFORE: Final = 6
_CHANGE: Final = frozenset(
    "rise rises rose risen rising raise raised fall falls fell fallen falling drop drops dropped grow grows grew grown "
    "increase increases increased increasing decrease decreases decreased decreasing decline declines declined "
    "climb climbed jump jumped surge surged soar soared sink sank plunge plunged slip slipped shrink shrank gain "
    "gained cut reduce reduced lower lowered extended expanded went moved changed up down".split()
)


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
        if word not in _BOUNDS:
            continue
        behind = tokens[i + 1 : i + 4]
        if behind and (behind[0] in _MONTHS or behind[0] in _CURRENCIES):
            behind = behind[1:]
        if not behind or not is_number(behind[0]):
            continue
        is_date = not _MONTHS.isdisjoint((tokens[i + 1], *behind[1:2]))
        if kind := _kind(word, tokens[max(0, i - _CHANGE_BEFORE) : i], is_date=is_date):
            bounds[behind[0]].add(kind)
    return bounds


def _kind(word: str, before: Sequence[str], *, is_date: bool) -> str:
    """Which of `_OTHERS` it is; none of "to" and "by" where nothing changes, as in "multiply by" and "equal to"."""
    if word == "till":
        return "until"
    if word not in {"to", "by"}:
        return word
    last = before[-1] if before else ""
    is_up_to = word == "to" and last == "up" and _CHANGE.isdisjoint(before[:-1])
    # What is due by a day is due until then.
    if is_date or is_up_to:
        return "until"
    if not _CHANGE.isdisjoint(before):
        return word
    return "before" if word == "to" and (last in _CLOCK or is_number(last)) else ""
