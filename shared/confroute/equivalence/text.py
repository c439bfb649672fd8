"""Equivalence of short answers by their words and numbers; needs no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from confroute.equivalence.base import Equivalence
from confroute.equivalence.normalise import is_number, tokens

_STOP_WORDS: Final = frozenset(
    "a an the this that these those it its is are was were be been being do does did has have had will would can "
    "could should might must of in on at to from by for with about as into than then and or so but if there here "
    "which who whom whose what when where why how i you he she we they me my your his her our their s "
    "st nd rd th answer think".split()
)
_NEGATIONS: Final = frozenset("no not never none neither nor cannot without false incorrect".split())


@dataclass(frozen=True, slots=True)
class TextEquivalence(Equivalence):
    """Two answers mean the same if they share enough of their content, beyond what the question said itself.

    Texts are equal after Unicode folding, case, punctuation and number format ("$5.00" and "5 dollars", "twenty-one"
    and "21"), or else share at least *overlap* of the content words of the shorter one, stop words **and the words of
    the question** dropped. Without that, every sentence-shaped answer looks like every other: "The capital of Egypt
    is Cairo" and "The capital of Egypt is Alexandria" differ, "Tokyo" and "The capital of Japan is Tokyo." agree. The
    numbers of one must be among the numbers of the other, in order: 32 and 32.5 differ, so do -5 and 5. Numbers do
    not make up for words: "20 June 1969" and "20 July 1969" differ. A negation in only one of the two makes them
    differ. An answer with no content of its own equals only itself.

    Where it errs: synonyms and unit names ("km", "kilometres") differ; two names that share two words of three agree;
    scripts written without spaces are compared from punctuation to punctuation.

    Cost: microseconds a pair. Meant for answers up to a sentence or two; long texts share words by accident.
    """

    name = "text"
    overlap: float = 0.6

    def same(self, pairs: Sequence[tuple[str, str]], *, question: str) -> list[bool]:
        asked = frozenset(map(_singular, tokens(question)))
        return [self._pair(tokens(a), tokens(b), asked) for a, b in pairs]

    def _pair(self, a: tuple[str, ...], b: tuple[str, ...], asked: frozenset[str]) -> bool:
        if a == b:
            return True
        if bool(_NEGATIONS.intersection(a)) != bool(_NEGATIONS.intersection(b)):
            return False
        own_a, own_b = _content(a, asked), _content(b, asked)
        if not any(own_a) or not any(own_b):
            # One of them only repeats the question: compare all content words, as for an answer out of the
            # question's own choices ("red or blue?").
            own_a, own_b = _content(a, frozenset[str]()), _content(b, frozenset[str]())
        (numbers_a, words_a), (numbers_b, words_b) = own_a, own_b
        if numbers_a and numbers_b and not (_within(numbers_a, numbers_b) or _within(numbers_b, numbers_a)):
            return False
        if not words_a or not words_b:
            return bool(numbers_a and numbers_b)
        return len(words_a & words_b) >= self.overlap * min(len(words_a), len(words_b))


@lru_cache(maxsize=512)
def _content(tokens: tuple[str, ...], dropped: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """The numbers, in order, and the words. Remembered, as `tokens` is."""
    content = dict.fromkeys([_singular(token) for token in tokens if token not in _STOP_WORDS])
    own = [token for token in content if token not in dropped]
    numbers = tuple(filter(is_number, own))
    return numbers, frozenset(own).difference(numbers)


def _singular(token: str) -> str:
    return token[:-1] if len(token) > 3 and token.endswith("s") and not token.endswith("ss") else token


def _within(few: Sequence[str], many: Sequence[str]) -> bool:
    """Whether *few* are among *many*, in the same order: scores of 3-2 and 2-3 differ."""
    rest = iter(many)
    return all(number in rest for number in few)
