"""Equivalence of answers that are the same words and numbers in the same order; needs no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from confroute.equivalence.base import Equivalence
from confroute.equivalence.normalise import LETTER_A, tokens
from confroute.equivalence.numerals import is_number

_CURRENCIES: Final = {"dollars": "dollar", "euros": "euro", "pounds": "pound", "yen": "yen"}
_AS_WRITTEN: Final = {**_CURRENCIES, LETTER_A: "a"}


@dataclass(frozen=True, slots=True)
class ExactEquivalence(Equivalence):
    """Two answers mean the same if they are equal after normalisation, the strictest reading without a model.

    Case, accents, punctuation, white space and the form of numbers do not count: "$5" is "5.00 dollars", "twenty-one"
    is 21, 32 is not 32.5. Word order does, and so does every other word: "Paris" and "It is Paris" differ, which the
    `TextEquivalence` would join. The question plays no part.

    Cost: microseconds a pair. For multiple choice, numbers, names and short labels.

    Args:
        articles: whether articles count. By default they do not, as in the exact match of SQuAD (Rajpurkar et al.,
            2016), but for those which could be a name: "the" at the end, and "a" and "an" anywhere but at the
            beginning of more words. So "vitamin A" is not "vitamin", and the choice "A" is not an empty answer.
    """

    name = "exact"
    version = 2
    quick = True
    articles: bool = False

    def same(self, pairs: Sequence[tuple[str, str]], *, question: str) -> list[bool]:  # noqa: ARG002
        return [self._form(a) == self._form(b) for a, b in pairs]

    def _form(self, text: str) -> list[str]:
        form = list(tokens(text))
        for i in range(len(form) - 1):
            # "$5" is read as "dollars 5".
            if form[i] in _CURRENCIES and is_number(form[i + 1]):
                form[i : i + 2] = form[i + 1], form[i]
        if not self.articles:
            last = len(form) - 1
            form = [word for i, word in enumerate(form) if i == last or not _is_article(word, first=i == 0)]
        return [_AS_WRITTEN.get(word, word) for word in form]


def _is_article(word: str, *, first: bool) -> bool:
    return word == "the" or (first and word in ("a", "an"))
