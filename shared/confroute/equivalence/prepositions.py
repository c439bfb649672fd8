"""Prepositions that stand for their opposite in the same place: in stock and out of stock, for it and against it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from typing import Final, TypeAlias

from confroute.equivalence.numerals import is_number
from confroute.equivalence.verdicts import BEING, SUBJECTS, is_adverb

Place: TypeAlias = tuple[str, str]
"""The words before and behind a preposition."""

# Those that say little by themselves are no content words, so that the other's would only say more. None of two that
# may say the same: "under Settings" is "in Settings".
_PLACES: Final = {
    "out": {"in"}, "off": {"on"}, "outside": {"in", "at"}, "behind": {"in", "on", "at"},
    "under": {"on", "at"}, "underneath": {"on", "at"}, "beneath": {"on", "at"}, "below": {"on", "at"},
    "above": {"on", "at"},
}  # fmt: skip
_TIMES: Final = {
    "after": {"with", "on", "at", "in", "by"}, "before": {"with", "on", "at", "in"}, "between": {"with", "at"},
}  # fmt: skip
_STANDS: Final = {"against": {"for"}}
_WAYS: Final = {"from": {"to"}}
_DIRECTIONS: Final = frozenset(("to", "from"))
_OPPOSITES: Final[Mapping[str, set[str]]] = {**_PLACES, **_TIMES, **_STANDS, **_WAYS}
_MARKED: Final = frozenset(_OPPOSITES)
_PREPOSITIONS: Final = _MARKED.union(*_OPPOSITES.values())
_SKIPPED: Final = frozenset("a an the this that these those my your his her its our their of".split())

# Only before these are two of `_TIMES` opposites: refunds "in 5 days" come "after 5 days", access "with approval" comes
# "after approval".
_DATES: Final = frozenset(
    "meal meals food breakfast lunch dinner supper snack snacks eating monday tuesday wednesday thursday friday "
    "saturday sunday weekend january february march april may june july august september october november december "
    "noon midnight war christmas easter".split()
)
# Only behind these are two of `_STANDS`: a drug is "used for" and "works against" an infection; and behind
# a form of "to be" if a stance is asked for: a vaccine is for measles, and against measles.
_STANCES: Final = frozenset(
    "vote votes voted voting argue argues argued stand stands stood rule ruled rules decide decided decides campaign "
    "campaigned campaigns speak spoke case".split()
)
_STANCE_ASKED: Final = frozenset(
    "stand stance position view opinion attitude vote support oppose opposed feel think believe agree favor favour "
    "side for against".split()
)
_WHAT_FOR: Final = frozenset(("what", "for"))
# "It's" is "it" as well.
_BEING: Final = (BEING | SUBJECTS | {"am", "i'm"}) - {"you"}
# Before these, and `_DATES`, it does not matter what is before both: "it is out of stock", "we have it in stock".
_STATES: Final = frozenset("stock order town danger debt warranty".split())
_ALIKE_BEHIND: Final = {
    "off": frozenset("percent dollars euros pounds yen discount".split()),
    **dict.fromkeys(("to", "from"), frozenset("different dates dated dating".split())),
}
# Where an answer leads over a screen, "under" is "on".
_SCREEN: Final = frozenset("tab menu section page profile settings screen".split())
_ON_SCREEN: Final = frozenset("under underneath beneath below above on at".split())
_JOINING: Final = frozenset(("and", "or"))
# Before a preposition, these do not change it: "just after". Shortly is an adverb, skipped anywhere.
_CLOSELY: Final = frozenset(("just", "right", "soon"))
_END: Final = ("", "")


def prepositions_oppose(a: Sequence[str], b: Sequence[str], asked: AbstractSet[str]) -> bool:
    """Whether the same two words have a preposition between them in one and the opposite in the other; both are tokens.
    Or their ends have, and neither has the other's elsewhere; or one is out of what the other is in, "stock" or
    "danger", or takes it after what the other takes it with; or one goes from where the other goes to and back. What
    one is for or against counts if *asked*, the words of the question, ask for a stance."""
    if not _may_oppose(a, b) and not _may_oppose(b, a):
        return False
    asks_stance = not asked >= _WHAT_FOR and not _STANCE_ASKED.isdisjoint(asked)
    stances = _STANCES | _BEING if asks_stance else _STANCES
    in_a, in_b = _in_places(a, stances), _in_places(b, stances)
    on_screen = not _SCREEN.isdisjoint(a) or not _SCREEN.isdisjoint(b)
    return _turns(a, b) or any(
        _oppose(in_a[place], in_b[place]) or _oppose(in_b[place], in_a[place])
        for place in in_a.keys() & in_b.keys()
        if in_a[place].isdisjoint(in_b[place])
        and not (on_screen and _ON_SCREEN.issuperset(in_a[place] | in_b[place]))
        and (place != _END or (in_a[place].isdisjoint(b) and in_b[place].isdisjoint(a)))
    )


def _may_oppose(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether there is anything to look for; most texts have nothing."""
    return _oppose(_MARKED.intersection(a), b)


def _oppose(a: AbstractSet[str], b: Iterable[str]) -> bool:
    return any(word in _OPPOSITES and not _OPPOSITES[word].isdisjoint(b) for word in a)


def _in_places(tokens: Sequence[str], stances: AbstractSet[str]) -> dict[Place, set[str]]:
    """The prepositions in each place; both before 0 in "at and below 0"; "to" and "from" where only one of them is, and
    not before a number. A subject and a form of "to be" are one, and what is before does not count where it need not
    be the same. "Against" counts behind *stances* only."""
    places: defaultdict[Place, set[str]] = defaultdict(set)
    is_way = _DIRECTIONS.issubset(tokens)
    bare = (token for token in tokens if token not in _SKIPPED and not is_adverb(token))
    words = ["", *(w for w, x in pairwise((*bare, "")) if w not in _CLOSELY or x not in _PREPOSITIONS), "", ""]
    for k, word in enumerate(words):
        if word not in _PREPOSITIONS:
            continue
        before = words[k - 3] if words[k - 1] in _JOINING and words[k - 2] in _PREPOSITIONS else words[k - 1]
        behind = words[k + 3] if words[k + 1] in _JOINING and words[k + 2] in _PREPOSITIONS else words[k + 1]
        if (
            before in _ALIKE_BEHIND.get(word, ())
            or (word in _TIMES and behind not in _DATES)
            or (word in _STANDS and behind and before not in stances)
            or (word in _DIRECTIONS and (is_way or is_number(behind)))
        ):
            continue
        is_bare = not behind or behind in _STATES or (behind in _DATES and word not in _DIRECTIONS)
        # He votes for what he is for.
        is_subject = before in _BEING or (before in _STANCES and word in {"for", "against"})
        places["" if is_bare else "be" if is_subject else before, behind].add(word)
    return places


def _turns(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether one goes from where the other goes to, and the other way round: not where there is no way back, "to the
    lungs" and "from the lungs to the body"."""
    if not _DIRECTIONS.issubset(a) or not _DIRECTIONS.issubset(b):
        return False
    to_a, from_a, to_b, from_b = (_behind(word, tokens) for tokens in (a, b) for word in ("to", "from"))
    return not (to_a - to_b).isdisjoint(from_b - from_a) and not (from_a - from_b).isdisjoint(to_b - to_a)


def _behind(preposition: str, tokens: Sequence[str]) -> set[str]:
    bare = (token for token in tokens if token not in _SKIPPED)
    return {behind for word, behind in pairwise(bare) if word == preposition and not is_number(behind)}
