"""What an equivalence is, and greedy clustering by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

from confroute.identity import Identified

Pair = tuple[str, str]


class Equivalence(Identified, ABC):
    """Judges pairs of answers to one question: whether they mean the same, and, where it can, how nearly.

    Symmetric and reflexive; it need not be transitive. A subclass has a `name` and writes `same`, for a list of pairs
    at a time, so that a model can take them as one batch. One that takes microseconds has `quick = True`.
    """

    __slots__ = ()

    @abstractmethod
    def same(self, pairs: Sequence[Pair], *, question: str) -> list[bool]:
        """For each pair, whether its two texts answer *question* alike."""

    def similarity(self, pairs: Sequence[Pair], *, question: str) -> list[float]:
        """For each pair, how alike its texts are, in [0, 1], 1 for equal texts. Yes or no unless a subclass grades."""
        return [float(same) for same in self.same(pairs, question=question)]


def cluster(
    texts: Sequence[str],
    equivalence: Equivalence,
    *,
    question: str,
    match: Literal["first", "last"] = "first",
) -> list[int]:
    """The meaning of each text, as ids 0..K-1 in order of first appearance.

    Greedy: a text is compared with the first text (the seed) of each cluster. With ``match="first"`` it joins the
    first whose seed means the same; with "last" the last one, as in the code of Farquhar et al. (2024), where a later
    seed takes texts away from an earlier one. The two differ only where the equivalence is not transitive; with
    "last", even two equal texts may then part. Equal texts are never compared, and no pair is compared twice.

    >>> from confroute.equivalence import TextEquivalence
    >>> cluster(["Paris", "It is Paris.", "Lyon"], TextEquivalence(), question="Capital of France?")
    [0, 0, 1]
    """
    ids: list[int] = []
    seeds: list[str] = []
    known: dict[frozenset[str], bool] = {}
    for text in texts:
        new = [(seed, text) for seed in seeds if seed != text and frozenset((seed, text)) not in known]
        known.update(zip(map(frozenset, new), equivalence.same(new, question=question), strict=True) if new else ())
        matches = [i for i, seed in enumerate(seeds) if seed == text or known[frozenset((seed, text))]]
        if not matches:
            matches = [len(seeds)]
            seeds.append(text)
        ids.append(matches[0] if match == "first" else matches[-1])
    return ids


def matrix(texts: Sequence[str], equivalence: Equivalence, *, question: str) -> list[list[float]]:
    """How alike each two of *texts* are: symmetric, ones on the diagonal. Each unordered pair of distinct texts is
    judged once."""
    distinct = list(dict.fromkeys(texts))
    pairs = [(a, b) for i, a in enumerate(distinct) for b in distinct[i + 1 :]]
    grades = equivalence.similarity(pairs, question=question) if pairs else []
    known = dict(zip(map(frozenset, pairs), grades, strict=True))
    return [[1.0 if a == b else known[frozenset((a, b))] for b in texts] for a in texts]
