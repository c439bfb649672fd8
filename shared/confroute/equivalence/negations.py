"""The words that deny, in the languages that models are asked in most."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise, takewhile
from typing import Final

from confroute.equivalence.normalise import tokens
from confroute.equivalence.numerals import is_number

DENIALS: Final = frozenset(
    # As `tokens` writes them: small letters without accents; "isn't" is "not".
    "not never neither nor cannot without nicht kein keine keinen keinem keiner keines niemals weder "
    "pas jamais aucun aucune nunca jamas nao niet geen ikke inte ingen nie nem tidak bukan khong degil "
    "не нельзя ні δεν नहीं ليس ليست لا لم لن לא".split()
)
"""Those of what stands right behind them, or of the sentence."""

_EXCEPTIONS: Final = frozenset(
    "except excluding unless hardly ausser sauf excepto exceto tranne eccetto кроме غير".split()
)
"""As `DENIALS`, but what stands behind them may be the answer: "all are mammals except the shark"."""

_DENYING: Final = DENIALS | _EXCEPTIONS

NEGATIONS: Final = _DENYING | frozenset(
    "no none false incorrect nein niemand non nej нет нету немає ні οχι nenhum nenhuma ningun "
    "ninguno ninguna nessun nessuno nessuna hayır yok".split()
)
"""Also those that deny as an answer of their own."""

_BEHIND: Final = frozenset(("degil",))
"""Of `DENIALS`, those of what stands before them."""

_NUMBER_OR_PART: Final = re.compile(
    r"\b(?:no\. ?(?=\d)|non[-‑](\w+)|(\w+)[-‑]free\b|free of (?:the )?(\w+)|"
    r"(gluten|sugar|alcohol|dairy|lactose|fat|nut|meat|caffeine) free\b)",
    re.IGNORECASE,
)
# Words that deny and are none of the above, with their forms: those alone, those before "to" or "from", before what
# ends with -ing, and those that deny in part, but not of an amount ("almost an hour").
_FORMS: Final = (
    ("lack lacks lacked lacking", "deny denies denied denying", "rarely seldom", "barely scarcely"),
    (
        "fail fails failed failing", "refuse refuses refused refusing", "decline declines declined declining",
        "forbidden prohibited banned barred", "unable impossible", "far",
    ),
    ("stop stops stopped stopping", "avoid avoids avoided avoiding", "quit quits", "cease ceases ceased"),
    ("partly partially minimally", "almost nearly", "less", "former formerly"),
)  # fmt: skip
_FORMS_OF: Final = {
    word: (kind, frozenset([*forms.split(), *(form.removesuffix("s") for form in forms.split())]))
    for kind, groups in enumerate(_FORMS)
    for forms in groups
    for word in forms.split()
}
_DIRECTIONS: Final = frozenset(("to", "from"))
_AMOUNTS: Final = frozenset("a an than half all every always entirely exclusively completely certainly".split())
_REACH: Final = 4
_ANY: Final = NEGATIONS.union(_FORMS_OF, ("free",))
# The "no" of Portuguese is "in the". None of these words is one of English, Spanish or Italian.
_PORTUGUESE: Final = frozenset("onde quem foi fica pelo pela nasceu".split())
_IN_THE: Final = frozenset(("no",))


def may_deny(words: Iterable[str]) -> bool:
    """Whether there is anything to read: most texts deny nothing."""
    return not _ANY.isdisjoint(words)


def one_denies(a: str, b: str, asked: AbstractSet[str]) -> bool:
    """Whether only one of two texts denies, with a word of `NEGATIONS` or one such as "lacks", "refused to" and
    "partly": not by the "No." of a number, the "no" of Portuguese, nor by a "non-", "-free" or "lacks" at what the
    other does not say, nor in a verb of the question, whose words *asked* are."""
    return _denies(a, b, asked) != _denies(b, a, asked)


def _denies(text: str, other: str, asked: AbstractSet[str]) -> bool:
    def kept(match: re.Match[str]) -> str:
        part = "".join(filter(None, match.groups()))
        return " non " if part and not said.isdisjoint(_singular(tokens(part))) else " "

    said = set(_singular(tokens(other)))
    words = NEGATIONS.intersection(tokens(_NUMBER_OR_PART.sub(kept, text)))
    if words == _IN_THE and not _PORTUGUESE.isdisjoint({*tokens(text), *asked}):
        return False
    return bool(words) or _denies_by_a_verb(tokens(text), said, asked)


def _singular(words: Iterable[str]) -> Iterable[str]:
    return (word.removesuffix("s") for word in words)


def _denies_by_a_verb(words: Sequence[str], said: AbstractSet[str], asked: AbstractSet[str]) -> bool:
    """Or by an adverb: a word of `_FORMS`, right before what is *said*, or else at the end."""
    for i, word in enumerate(words):
        if word not in _FORMS_OF:
            continue
        kind, forms = _FORMS_OF[word]
        behind, next_ = (*words[i + 1 : i + 3], "", "")[:2]
        # Far from an end is a place, "far from safe" is none.
        is_said = (
            True,
            behind in _DIRECTIONS and not (word == "far" and next_ == "the"),
            behind.endswith("ing"),
            behind not in _AMOUNTS and not is_number(behind),
        )
        at = words[i + 1 : i + 1 + _REACH] or words[:i]
        if is_said[kind] and forms.isdisjoint(asked) and not said.isdisjoint(_singular(at)):
            return True
    return False


def deny_each_other(a: Sequence[str], b: Sequence[str], asked: AbstractSet[str]) -> bool:
    """Whether one says, before it denies anything, what the other denies: "safe, but not recommended" and "not safe";
    or each denies what the other says: "not red but blue" and "not blue but red". Both are content words of answers.
    What is denied is the first word behind, unless the answer says it as well. Two that begin with "no" agree so far:
    there, only the second counts, and of words that the question, *asked*, lacks."""
    denied_a, denied_b = _denied(a), _denied(b)
    if not denied_a or not denied_b:
        return False
    times_a, times_b = Counter(a), Counter(b)
    only_a = {word for word in denied_a - denied_b if times_a[word] == 1}
    only_b = {word for word in denied_b - denied_a if times_b[word] == 1}
    if a[0] == b[0] == "no":
        only_a, only_b = only_a - asked, only_b - asked
    elif not only_a.isdisjoint(_first_said(b)) or not only_b.isdisjoint(_first_said(a)):
        return True
    return not only_a.isdisjoint(b) and not only_b.isdisjoint(a)


def _denied(words: Sequence[str]) -> set[str]:
    before = _DENYING - _BEHIND
    return {behind for word, behind in pairwise(words) if word in before and behind not in _DENYING}


def _first_said(words: Sequence[str]) -> Iterable[str]:
    return takewhile(lambda word: word not in _DENYING, words)
