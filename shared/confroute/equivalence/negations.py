"""The words that deny, in the languages that models are asked in most."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise, takewhile
from typing import Final

from confroute.equivalence.normalise import tokens

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

_NUMBER_OR_PART: Final = re.compile(r"\b(?:no\. ?(?=\d)|non[-‑](\w+))", re.IGNORECASE)
# The "no" of Portuguese is "in the". None of these words is one of English, Spanish or Italian.
_PORTUGUESE: Final = frozenset("onde quem foi fica pelo pela nasceu".split())
_IN_THE: Final = frozenset(("no",))


def one_denies(a: str, b: str, asked: AbstractSet[str]) -> bool:
    """Whether only one of two texts has a word of `NEGATIONS` that denies: not by the "No." of a number,
    the "no" of Portuguese, nor by a "non-" before what the other does not say. *asked* are the question's words."""
    return _denies(a, b, asked) != _denies(b, a, asked)


def _denies(text: str, other: str, asked: AbstractSet[str]) -> bool:
    def kept(match: re.Match[str]) -> str:
        return match[0] if match[1] and not said.isdisjoint(tokens(match[1])) else " "

    said = set(tokens(other))
    words = NEGATIONS.intersection(tokens(_NUMBER_OR_PART.sub(kept, text)))
    if words == _IN_THE and not _PORTUGUESE.isdisjoint({*tokens(text), *asked}):
        return False
    return bool(words)


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
