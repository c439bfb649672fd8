"""Prepositions that stand for their opposite before the same word: in stock and out of stock, for it and against it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from confroute.equivalence.numerals import is_number

# Those that say little by themselves are no content words, so that the other's would only say more. None of two that
# may say the same: "under Settings" is "in Settings".
_OPPOSITES: Final = {
    "out": {"in"},
    "outside": {"in", "at"},
    "off": {"on"},
    "behind": {"in", "on", "at"},
    "under": {"on", "at"},
    "underneath": {"on", "at"},
    "beneath": {"on", "at"},
    "below": {"on", "at"},
    "above": {"on", "at"},
    "against": {"for"},
    "after": {"with", "on", "at", "in", "by"},
    "before": {"with", "on", "at", "in"},
    "between": {"with", "at"},
    "from": {"to"},
}
_MARKED: Final = frozenset(_OPPOSITES)
_PREPOSITIONS: Final = _MARKED.union(*_OPPOSITES.values())
_SKIPPED: Final = frozenset("a an the this that these those my your his her its our their of".split())

# Behind these, they say the same: insured for and against, due to and from, 20% on and off.
_ALIKE_BEHIND: Final = {
    "against": frozenset(
        "vaccine vaccines vaccination vaccinated shot insurance insured protection protected protect protects cover "
        "covered remedy medicine medication cure treatment drug effective active used works".split()
    ),
    "to": frozenset(
        "due owing thanks according close back date dates dated dating different go goes going went up".split()
    ),
    "from": frozenset("different dates dated dating".split()),
    "off": frozenset("percent dollars euros pounds yen discount".split()),
}
# "In 5 days" is after 5 days, and in a crash is after a crash.
_SPANS: Final = frozenset("second minute hour day week month year decade century".split())
_INDEFINITE: Final = frozenset(("a", "an"))
_ALIKE_BEFORE: Final = {"with": _INDEFINITE | {"the"}, "after": _INDEFINITE, "before": _INDEFINITE}
_JOINING: Final = frozenset(("and", "or"))
_END: Final = ""


def prepositions_oppose(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether a word of both, which are tokens, has a preposition before it in one and the opposite in the other; of
    "to" and "from", not before a number. Or their end has, and neither has the other's elsewhere."""
    if not _may_oppose(a, b) and not _may_oppose(b, a):
        return False
    before_a, before_b = _before(a), _before(b)
    return any(
        _oppose(before_a[word], before_b[word]) or _oppose(before_b[word], before_a[word])
        for word in before_a.keys() & before_b.keys()
        if before_a[word].isdisjoint(before_b[word])
        and (word != _END or (before_a[_END].isdisjoint(b) and before_b[_END].isdisjoint(a)))
    )


def _may_oppose(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether there is anything to look for; most texts have nothing."""
    return any(not _OPPOSITES[word].isdisjoint(b) for word in _MARKED.intersection(a))


def _oppose(a: set[str], b: set[str]) -> bool:
    return any(word in _OPPOSITES and not _OPPOSITES[word].isdisjoint(b) for word in a)


def _before(tokens: Sequence[str]) -> dict[str, set[str]]:
    """The prepositions before each word, articles and the like skipped; both before 0 in "at and below 0"."""
    before: defaultdict[str, set[str]] = defaultdict(set)
    bare = [i for i, token in enumerate(tokens) if token not in _SKIPPED]
    words = [*(tokens[i] for i in bare), _END, _END]
    for k, i in enumerate(bare):
        word = words[k]
        if word not in _PREPOSITIONS or words[k - 1] in _ALIKE_BEHIND.get(word, ()):
            continue
        if word in _ALIKE_BEFORE and not _ALIKE_BEFORE[word].isdisjoint(tokens[i + 1 : i + 2]):
            continue
        at = k + 3 if words[k + 1] in _JOINING and words[k + 2] in _PREPOSITIONS else k + 1
        behind = words[at]
        if not (is_number(behind) and (word in {"to", "from"} or words[at + 1].removesuffix("s") in _SPANS)):
            before[behind].add(word)
    return before
