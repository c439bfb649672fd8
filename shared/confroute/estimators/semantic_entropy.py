"""How widely the samples' meanings are spread."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from confroute.equivalence import Equivalence, TextEquivalence, cluster
from confroute.estimators.base import Estimator
from confroute.records import Estimate, Evidence


@dataclass(frozen=True, slots=True)
class SemanticEntropy(Estimator):
    """The entropy of the distribution over meanings among the samples (Farquhar et al. 2024, Nature 630).

    u = -sum_c p_c ln p_c over the clusters c of samples with the same meaning. With ``weighting="discrete"`` p_c is
    the share of the N samples in c, and no logprobs are needed. With ``weighting="likelihood"`` each sample i weighs
    exp(l_i), l_i its mean token logprob (length-normalised), and p_c = sum_{i in c} exp(l_i) / sum_i exp(l_i), which
    is the reference code's `predictive_entropy_rao`. The served answer is not among the samples.

    In nats: 0 where all samples mean the same, ln N where no two do (discrete; so a threshold belongs to one N);
    higher is more uncertain. Cost: N samples of the edge and at most N(N-1)/2 comparisons. NaN with fewer than two
    samples, where the served answer or all samples are empty, and, for "likelihood", where a sample has no logprobs.

    >>> from confroute.records import Sample
    >>> says = lambda text: Sample(text=text)
    >>> samples = (says("Paris"), says("Paris."), says("Rome"), says("Rome"))
    >>> evidence = Evidence(question="", answer=says("Paris"), samples=samples)
    >>> round(SemanticEntropy().estimate(evidence).uncertainty, 4)  # two equiprobable meanings: ln 2
    0.6931
    """

    name = "semantic_entropy"
    unit = "nats"
    weighting: Literal["discrete", "likelihood"] = "discrete"
    equivalence: Equivalence = field(default_factory=TextEquivalence)

    def estimate(self, evidence: Evidence) -> Estimate:
        # Sorted, because greedy clustering depends on the order where the equivalence is not transitive.
        samples = sorted(evidence.samples, key=lambda sample: sample.text)
        texts = [sample.text for sample in samples]
        if len(texts) < 2 or not evidence.answer.text.strip() or not any(text.strip() for text in texts):
            return Estimate(uncertainty=math.nan)
        ids = cluster(texts, self.equivalence, question=evidence.question)
        if self.weighting == "discrete":
            log_weights = [0.0] * len(texts)
        else:
            log_weights = [sample.mean_logprob for sample in samples]
        return Estimate(uncertainty=_entropy(ids, log_weights), clusters=len(set(ids)))


def _entropy(ids: Sequence[int], log_weights: Sequence[float]) -> float:
    """The entropy in nats of clusters *ids* weighted by exp(*log_weights*); NaN if any weight is unknown."""
    # Shifted by the largest, so that logprobs around -800 do not underflow to an empty distribution.
    largest = max(log_weights)
    if any(math.isnan(weight) for weight in log_weights) or math.isinf(largest):
        return math.nan
    mass: defaultdict[int, float] = defaultdict(float)
    for i, weight in zip(ids, log_weights, strict=True):
        mass[i] += math.exp(weight - largest)
    total = math.fsum(mass.values())
    return abs(math.fsum(-(m / total) * math.log(m / total) for m in mass.values() if m > 0))
