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
    r"\b(?:no\. ?(?=\d)|non[-‑](\w+)|(\w+)[-‑]free\b|free of (?:the )?(?!charge)(\w+)|"
    r"(gluten|sugar|alcohol|dairy|lactose|fat|nut|meat|caffeine) free\b)",
    re.IGNORECASE,
)
# Words that deny and are none of the above: those that deny the word behind them, what they are to do, what they do
# with an -ing, and what something is, in part.
_LACKING: Final = frozenset("lack lacks lacked deny denies denied rarely seldom barely scarcely".split())
_FAILING: Final = frozenset(
    "fail fails failed failing refuse refuses refused refusing decline declines declined declining forbidden "
    "prohibited banned barred unable impossible far".split()
)
_STOPPING: Final = frozenset(
    "stop stops stopped stopping avoid avoids avoided avoiding quit quits cease ceases ceased".split()
)
_PARTLY: Final = frozenset("partly partially minimally almost nearly less former".split())
_BY_A_VERB: Final = _LACKING | _FAILING | _STOPPING | _PARTLY
# Where the other answer has one of these, it may say the same: "generalizes poorly" and "fails to generalize".
_SCARCELY: Final = _BY_A_VERB | frozenset(
    "little few low poor poorly insufficient deficiency deficient shortage absence trouble difficulty hard difficult "
    "too failure refusal inability rare infrequently occasionally uncommon unlikely missing needs needed".split()
)
# Who was the president is a former president.
_PAST: Final = frozenset("was were served retired once ex until".split())
# What is not allowed, or missing, is what the answer names, with or without a verb that denies.
_NOT_ASKED: Final = NEGATIONS | {"missing", "prohibited"}
_DIRECTIONS: Final = frozenset(("to", "from"))
_PURPOSES: Final = frozenset("to help helps".split())
# What is so if, or one who: what another answer may leave out.
_CLAUSES: Final = frozenset("if when where who which whose anyone those people because".split())
_BEING: Final = frozenset("is are was were be been only the a an".split())
_CURRENCIES: Final = frozenset("dollars euros pounds yen".split())
_AMOUNTS: Final = _CURRENCIES.union(
    "a an as than half twice double all every always entirely exclusively completely certainly".split()
)
_ARTICLES: Final = frozenset("a an the any enough".split())
_ANY: Final = NEGATIONS.union(_BY_A_VERB, ("free",))
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
    return bool(words) or _denies_by_a_verb(tokens(text), tokens(other), asked)


def _singular(words: Iterable[str]) -> Iterable[str]:
    return (word.removesuffix("s") for word in words)


def _denies_by_a_verb(words: Sequence[str], other: Sequence[str], asked: AbstractSet[str]) -> bool:
    """Or by an adverb: a word of `_BY_A_VERB`, before any clause, at a word that *other* says without one."""
    if _BY_A_VERB.isdisjoint(words) or not _SCARCELY.isdisjoint(other):
        return False
    if "what" in asked and not _NOT_ASKED.isdisjoint(asked):
        return False
    said = set(map(_stem, other))
    asked_for = {word[:4] for word in asked if word in _BY_A_VERB or f"{word}s" in _BY_A_VERB}
    return any(
        word in _BY_A_VERB
        and word[:4] not in asked_for
        and _stem(_denied_at(i, words)) in said
        and not (word == "former" and not _PAST.isdisjoint((*words[:i], *other)))
        for i, word in enumerate(takewhile(lambda word: word not in _CLAUSES, words))
    )


def _denied_at(i: int, words: Sequence[str]) -> str:
    """What the word at *i* denies, if anything: the first word behind it, articles and "to" aside."""
    word, before = words[i], words[i - 1] if i else ""
    behind, next_ = (*words[i + 1 : i + 3], "", "")[:2]
    if word in _LACKING:
        # "A lack of" something is a thing itself.
        return "" if behind == "of" else next_ if behind in _ARTICLES else behind
    if word in _FAILING:
        # Far from an end is a place, "far from safe" is none; and prices decline to 50 dollars.
        return next_ if behind in _DIRECTIONS and next_ not in _CURRENCIES and not is_number(next_) else ""
    if word in _STOPPING:
        return behind if behind.endswith("ing") and before not in _PURPOSES else ""
    is_amount = behind in _AMOUNTS or is_number(behind)
    return behind if before in _BEING and not is_amount else ""


def _stem(word: str) -> str:
    """Without the ending of a verb: "tak" of takes and taking."""
    return re.sub(r"(?<=..)(?:ing|ed|es|[es])\Z", "", word)


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
