"""An equivalence whose grades a test writes down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from confroute.equivalence import Equivalence


@dataclass(frozen=True)
class Table(Equivalence):
    """Grades looked up; texts mean the same from *threshold* on."""

    name = "table"
    grades: Mapping[frozenset[str], float] = field(default_factory=dict[frozenset[str], float])
    threshold: float = 0.5

    def same(self, pairs: Sequence[tuple[str, str]], *, question: str) -> list[bool]:
        return [grade >= self.threshold for grade in self.similarity(pairs, question=question)]

    def similarity(self, pairs: Sequence[tuple[str, str]], *, question: str) -> list[float]:
        return [1.0 if a == b else self.grades[frozenset((a, b))] for a, b in pairs]
