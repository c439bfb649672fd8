"""How widely the samples' meanings are spread."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from confroute.equivalence import Equivalence, StructuredEquivalence, cluster
from confroute.errors import ConfigurationError
from confroute.estimators.base import Estimator, clipped
from confroute.records import Estimate, Evidence

WEIGHTINGS = ("discrete", "likelihood", "cluster_mean")


@dataclass(frozen=True, slots=True)
class SemanticEntropy(Estimator):
    """The entropy of the distribution over meanings among the samples (Farquhar et al. 2024, Nature 630).

    u = -sum_c p_c ln p_c over the clusters c of samples with the same meaning. With ``weighting="discrete"`` p_c is
    the share of the N samples in c, and no logprobs are needed. With ``weighting="likelihood"`` each sample i weighs
    exp(l_i), l_i its mean token logprob (length-normalised), and p_c = sum_{i in c} exp(l_i) / sum_i exp(l_i), which
    is the reference code's `predictive_entropy_rao`. ``weighting="cluster_mean"`` is u = -(1/K) sum_c ln p_c over the
    K clusters with the same p_c: eq. 2 of arXiv 2502.11021 (there without the normalisation, which lets it become
    negative). The served answer is not among the samples. Texts are clustered greedily in the order they were drawn;
    *match* is which cluster takes a text that fits several, see `cluster`.

    In nats: 0 where all samples mean the same, ln N where no two do (discrete; so a threshold belongs to one N);
    higher is more uncertain. Cost: N samples of the edge and at most N(N-1)/2 comparisons. NaN with fewer than two
    samples, where the served answer or all samples are empty, and, unless "discrete", where a sample has no logprobs.

    >>> from confroute.records import Sample
    >>> says = lambda text: Sample(text=text)
    >>> samples = (says("Paris"), says("Paris."), says("Rome"), says("Rome"))
    >>> evidence = Evidence(question="", answer=says("Paris"), samples=samples)
    >>> round(SemanticEntropy().estimate(evidence).uncertainty, 4)  # two equiprobable meanings: ln 2
    0.6931
    """

    name = "semantic_entropy"
    version = 2
    unit = "nats"
    quick = True
    weighting: Literal["discrete", "likelihood", "cluster_mean"] = "discrete"
    equivalence: Equivalence = field(default_factory=StructuredEquivalence)
    match: Literal["first", "last"] = "first"

    def __post_init__(self) -> None:
        if self.weighting not in WEIGHTINGS:
            raise ConfigurationError(f"weighting must be one of {', '.join(WEIGHTINGS)}, not {self.weighting!r}.")
        if self.match not in ("first", "last"):
            raise ConfigurationError(f'match must be "first" or "last", not {self.match!r}.')

    def estimate(self, evidence: Evidence) -> Estimate:
        texts = [sample.text for sample in evidence.samples]
        if len(texts) < 2 or not evidence.answer.text.strip() or not any(text.strip() for text in texts):
            return Estimate(uncertainty=math.nan)
        ids = cluster(texts, self.equivalence, question=evidence.question, match=self.match)
        if self.weighting == "discrete":
            # As the bounds are computed, to the last digit.
            return Estimate(uncertainty=_entropy(sorted(Counter(ids).values())), clusters=len(set(ids)))
        masses = _masses(ids, [sample.mean_logprob for sample in evidence.samples])
        if not masses:
            uncertainty = math.nan
        elif self.weighting == "cluster_mean":
            uncertainty = math.fsum(-log_p for log_p in masses) / len(masses)
        else:
            uncertainty = math.fsum(-math.exp(log_p) * log_p for log_p in masses)
        return Estimate(uncertainty=clipped(uncertainty), clusters=len(set(ids)))

    def bounds(self, evidence: Evidence, remaining: int) -> tuple[float, float] | None:
        texts = [sample.text for sample in evidence.samples]
        total = len(texts) + remaining
        # The weights of samples yet to come can be anything; and without a text so far the estimate may become NaN.
        if self.weighting != "discrete" or self.match != "first" or total < 2 or not evidence.answer.text.strip():
            return None
        if not any(text.strip() for text in texts):
            return None
        # Clustering in the order drawn, against seeds only, never moves an earlier text, so counts can only grow.
        ids = cluster(texts, self.equivalence, question=evidence.question)
        counts = sorted(ids.count(i) for i in set(ids))
        # Entropy is concave in the counts: least when all join the largest cluster, greatest when each is alone.
        return _entropy([*counts[:-1], counts[-1] + remaining]), _entropy([*counts, *[1] * remaining])


def _entropy(counts: Sequence[int]) -> float:
    total = sum(counts)
    return clipped(math.fsum(-(count / total) * math.log(count / total) for count in counts))


def _masses(ids: Sequence[int], log_weights: Sequence[float]) -> list[float]:
    """The log share of each cluster of *ids*, its texts weighing exp(*log_weights*); none if a weight is unknown."""
    largest = max(log_weights)
    if any(math.isnan(weight) for weight in log_weights) or math.isinf(largest):
        return []
    members: defaultdict[int, list[float]] = defaultdict(list)
    for i, weight in zip(ids, log_weights, strict=True):
        # Shifted by the largest, so that logprobs around -800 do not underflow to an empty distribution.
        members[i].append(weight - largest)
    log_total = _log_sum([weight for weights in members.values() for weight in weights])
    masses = [_log_sum(weights) - log_total for weights in members.values()]
    return [mass for mass in masses if mass > -math.inf]


def _log_sum(logs: Sequence[float]) -> float:
    largest = max(logs)
    return largest if math.isinf(largest) else largest + math.log(math.fsum(math.exp(log - largest) for log in logs))
