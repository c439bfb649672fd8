"""Equivalence of short answers by their words and numbers; needs no model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?\Z")

_STOP_WORDS = frozenset(
    "a an the this that these those it its is are was were be been being am do does did has have had will would can "
    "could should may might must of in on at to from by for with about as into than then and or so but if there here "
    "which who whom whose what when where why how i you he she we they me my your his her our their s".split()
)
_NEGATIONS = frozenset("no not never none neither nor cannot without false incorrect".split())

_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
_NUMBER_WORDS = {word: i for i, word in enumerate((_UNITS + "seventeen eighteen nineteen").split())} | {
    word: 10 * i for i, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)
}


@dataclass(frozen=True, slots=True)
class TextEquivalence:
    """Two answers mean the same if they share enough of their content, beyond what the question said itself.

    Texts are equal after Unicode folding, case, punctuation and number format ("$5.00" and "5", "eight" and "8"),
    or else share at least *overlap* of the content words of the shorter one, stop words **and the words of the
    question** dropped. Without that, every sentence-shaped answer looks like every other: "The capital of Egypt is
    Cairo" and "The capital of Egypt is Alexandria" differ, "Tokyo" and "The capital of Japan is Tokyo." agree. The
    numbers of one must all be among the numbers of the other: 32 and 32.5 differ. A negation in only one of the two
    makes them differ. An answer with no content of its own equals only itself.

    Cost: microseconds a pair. Meant for answers up to a sentence or two; long texts share words by accident.
    """

    overlap: float = 0.5
    name: str = "text"

    def same(self, pairs: Sequence[tuple[str, str]], *, question: str) -> list[bool]:
        asked = frozenset(_tokens(question))
        return [self._pair(_tokens(a), _tokens(b), asked) for a, b in pairs]

    def _pair(self, a: list[str], b: list[str], asked: frozenset[str]) -> bool:
        if a == b:
            return True
        if bool(_NEGATIONS.intersection(a)) != bool(_NEGATIONS.intersection(b)):
            return False
        own_a, own_b = _content(a, asked), _content(b, asked)
        if not own_a or not own_b:
            # One of them only repeats the question: compare all content words, as for an answer out of the
            # question's own choices ("red or blue?").
            own_a, own_b = _content(a, frozenset()), _content(b, frozenset())
            if not own_a or not own_b:
                return False
        numbers_a, numbers_b = {t for t in own_a if t[0].isdigit()}, {t for t in own_b if t[0].isdigit()}
        if numbers_a and numbers_b and not (numbers_a <= numbers_b or numbers_b <= numbers_a):
            return False
        return len(own_a & own_b) >= self.overlap * min(len(own_a), len(own_b))


def _content(tokens: list[str], dropped: frozenset[str]) -> set[str]:
    return {token for token in tokens if token not in _STOP_WORDS and token not in dropped}


def _tokens(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKD", text.casefold())
    folded = "".join(character for character in folded if not unicodedata.combining(character))
    return [_canonical(token) for token in _TOKEN.findall(folded)]


def _canonical(token: str) -> str:
    if token in _NUMBER_WORDS:
        return str(_NUMBER_WORDS[token])
    if not token[0].isdigit():
        return token.replace("’", "'").removesuffix("'s")
    plain = token.replace(",", "") if _THOUSANDS.match(token) else token.replace(",", ".")
    try:
        return format(Decimal(plain).normalize(), "f")
    except InvalidOperation:
        # A date or a version such as 1.2.3.
        return plain
