"""Similarity by the longest common subsequence of words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from confroute.equivalence.base import Equivalence, Pair

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class RougeL(Equivalence):
    """ROUGE-L (Lin 2004): the F1 of the longest common subsequence of words, case aside, no stemming.

    sim = 2 L / (|a| + |b|), L the length of the longest sequence of words that both texts have in that order. In
    [0, 1]; texts without words are alike only if they are equal. Two texts mean the same from *threshold* on. It sees
    no meaning: "born in 1921" and "born in 1912" share two words of three.

    >>> RougeL().similarity([("It is Paris", "It is Lyon")], question="")
    [0.6666666666666666]
    """

    name = "rouge_l"
    threshold: float = 0.7

    def same(self, pairs: Sequence[Pair], *, question: str) -> list[bool]:
        return [grade >= self.threshold for grade in self.similarity(pairs, question=question)]

    def similarity(self, pairs: Sequence[Pair], *, question: str) -> list[float]:  # noqa: ARG002
        return [_f1(_WORD.findall(a.casefold()), _WORD.findall(b.casefold())) if a != b else 1.0 for a, b in pairs]


def _f1(a: Sequence[str], b: Sequence[str]) -> float:
    if not a or not b:
        return 0.0
    row = [0] * (len(b) + 1)
    for word in a:
        before = row[:]
        for j, other in enumerate(b):
            row[j + 1] = before[j] + 1 if word == other else max(before[j + 1], row[j])
    return 2 * row[-1] / (len(a) + len(b))
