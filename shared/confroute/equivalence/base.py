"""What an equivalence is, and greedy clustering by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Equivalence(Protocol):
    """Judges pairs of answers to one question. Symmetric and reflexive; it need not be transitive."""

    @property
    def name(self) -> str: ...

    def same(self, pairs: Sequence[tuple[str, str]], *, question: str) -> list[bool]:
        """For each pair, whether its two texts answer *question* alike. Batch in, so that models can batch."""
        ...


def cluster(texts: Sequence[str], equivalence: Equivalence, *, question: str) -> list[int]:
    """The meaning of each text, as ids 0..K-1 in order of first appearance.

    Greedy: a text joins the first cluster whose *first* text (its seed) means the same, else it founds a new one
    (Farquhar et al. 2024 compare with the seed only, too, but let a later seed win). Equal texts are never compared.

    >>> from confroute.equivalence import TextEquivalence
    >>> cluster(["Paris", "It is Paris.", "Lyon"], TextEquivalence(), question="Capital of France?")
    [0, 0, 1]
    """
    ids: dict[str, int] = {}
    seeds: list[str] = []
    for text in texts:
        if text in ids:
            continue
        matches = equivalence.same([(seed, text) for seed in seeds], question=question) if seeds else []
        found = next((i for i, match in enumerate(matches) if match), len(seeds))
        if found == len(seeds):
            seeds.append(text)
        ids[text] = found
    return [ids[text] for text in texts]
