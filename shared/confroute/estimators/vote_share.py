"""How few of the samples vote for the served answer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from confroute.equivalence import Equivalence, StructuredEquivalence, cluster
from confroute.estimators.base import Estimator
from confroute.records import Estimate, Evidence


@dataclass(frozen=True, slots=True)
class VoteShare(Estimator):
    """One less the share of samples in the served answer's cluster (self-consistency, arXiv 2203.11171, as a score).

    u = 1 - n_c / N: the N samples are clustered by meaning, c is the first cluster whose seed means the same as the
    served answer, n_c its size, 0 if there is none. Where the equivalence is transitive this is `Disagreement`; where
    it is not, a sample counts that agrees with the cluster, not with the served answer itself. The largest cluster's
    share would be the usual vote, but is high also where all samples agree on another answer than the one served.

    In [0, 1]; higher is more uncertain. Cost: N samples of the edge, at most N(N+1)/2 comparisons. NaN without samples
    or with an empty answer.

    >>> VoteShare().score("Paris", ["Paris", "It is Paris.", "Lyon", "Rome"], question="Capital of France?")
    0.5
    """

    name = "vote_share"
    unit = "share"
    quick = True
    equivalence: Equivalence = field(default_factory=StructuredEquivalence)

    def estimate(self, evidence: Evidence) -> Estimate:
        n = len(evidence.samples)
        if not n or not evidence.answer.text.strip():
            return Estimate(uncertainty=math.nan)
        votes, clusters = self._votes(evidence)
        return Estimate(uncertainty=(n - votes) / n, clusters=clusters)

    def bounds(self, evidence: Evidence, remaining: int) -> tuple[float, float] | None:
        n = len(evidence.samples) + remaining
        if not n or not evidence.answer.text.strip():
            return None
        votes, _ = self._votes(evidence)
        return (n - votes - remaining) / n, (n - votes) / n

    def _votes(self, evidence: Evidence) -> tuple[int, int]:
        texts = [sample.text for sample in evidence.samples]
        ids = cluster(texts, self.equivalence, question=evidence.question)
        seeds = [texts[ids.index(i)] for i in range(len(set(ids)))]
        pairs = [(evidence.answer.text, seed) for seed in seeds]
        matches = self.equivalence.same(pairs, question=evidence.question) if pairs else []
        found = next((i for i, same in enumerate(matches) if same), -1)
        return ids.count(found), len(seeds)
