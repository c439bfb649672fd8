"""How few words the samples share, in order."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from confroute.equivalence import Equivalence, RougeL, matrix
from confroute.estimators.base import Estimator, clipped, measurable
from confroute.records import Estimate, Evidence


@dataclass(frozen=True, slots=True)
class LexicalSimilarity(Estimator):
    """One less the mean ROUGE-L of all pairs of samples (Fomicheva et al. 2020, arXiv 2005.10608).

    u = 1 - (2 / N(N-1)) sum_{i<j} sim(y_i, y_j). With another *equivalence* it is the mean dissimilarity under that
    one; unlike `DegreeMatrix` it leaves out each sample's likeness to itself.

    In [0, 1]; higher is more uncertain. Cost: N samples of the edge, at most N(N-1)/2 comparisons. NaN with fewer than
    two samples, or where the served answer or all samples are empty.

    >>> round(LexicalSimilarity().score("Paris", ["It is Paris", "It is Paris", "It is Lyon"]), 4)
    0.2222
    """

    name = "lexical_similarity"
    unit = "share"
    equivalence: Equivalence = field(default_factory=RougeL)

    def estimate(self, evidence: Evidence) -> Estimate:
        n = len(evidence.samples)
        if n < 2 or not measurable(evidence):
            return Estimate(uncertainty=math.nan)
        return Estimate(uncertainty=clipped(1.0 - self._total(evidence) / (n * (n - 1))))

    def bounds(self, evidence: Evidence, remaining: int) -> tuple[float, float] | None:
        drawn = len(evidence.samples)
        n = drawn + remaining
        if n < 2 or not measurable(evidence):
            return None
        known, pairs = self._total(evidence), n * (n - 1)
        unknown = pairs - drawn * (drawn - 1)
        return clipped(1.0 - (known + unknown) / pairs), clipped(1.0 - known / pairs)

    def _total(self, evidence: Evidence) -> float:
        """The sum over ordered pairs."""
        texts = [sample.text for sample in evidence.samples]
        alike = matrix(texts, self.equivalence, question=evidence.question)
        return math.fsum(alike[i][j] for i in range(len(texts)) for j in range(len(texts)) if i != j)
