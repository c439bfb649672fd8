"""How little the samples resemble each other, on average."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from confroute.equivalence import Equivalence, StructuredEquivalence, matrix
from confroute.estimators.base import Estimator, clipped, measurable
from confroute.records import Estimate, Evidence


@dataclass(frozen=True, slots=True)
class DegreeMatrix(Estimator):
    """One less the mean similarity of the samples, "DegMat" (Lin et al. 2024, arXiv 2305.19187).

    u = trace(N I - D) / N^2 = 1 - (1/N^2) sum_ij W_ij, W_ij the similarity of samples i and j, D its row sums. The
    diagonal is part of the sum, as published, so that u is at most 1 - 1/N.

    In [0, 1]; higher is more uncertain. Cost: N samples of the edge, at most N(N-1)/2 comparisons. NaN with fewer than
    two samples, or where the served answer or all samples are empty.

    >>> DegreeMatrix().score("Paris", ["Paris", "Paris", "Lyon", "Lyon"])
    0.5
    """

    name = "deg_mat"
    unit = "share"
    equivalence: Equivalence = field(default_factory=StructuredEquivalence)

    def estimate(self, evidence: Evidence) -> Estimate:
        n = len(evidence.samples)
        if n < 2 or not measurable(evidence):
            return Estimate(uncertainty=math.nan)
        return Estimate(uncertainty=clipped(1.0 - self._total(evidence) / n**2))

    def bounds(self, evidence: Evidence, remaining: int) -> tuple[float, float] | None:
        drawn = len(evidence.samples)
        n = drawn + remaining
        if n < 2 or not measurable(evidence):
            return None
        known = self._total(evidence) + remaining
        unknown = n**2 - drawn**2 - remaining
        return clipped(1.0 - (known + unknown) / n**2), clipped(1.0 - known / n**2)

    def _total(self, evidence: Evidence) -> float:
        texts = [sample.text for sample in evidence.samples]
        return math.fsum(math.fsum(row) for row in matrix(texts, self.equivalence, question=evidence.question))
