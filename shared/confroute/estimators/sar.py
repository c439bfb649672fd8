"""How improbable the samples are, each helped by those that resemble it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from confroute.equivalence import Equivalence, RougeL, matrix
from confroute.errors import ConfigurationError
from confroute.estimators.base import Estimator, measurable
from confroute.records import Estimate, Evidence, Sample


@dataclass(frozen=True, slots=True)
class SAR(Estimator):
    """Shifting attention to relevance (Duan et al. 2024, arXiv 2307.01379).

    u = -(1/N) sum_i ln(p_i + (1/t) sum_{j != i} sim_ij p_j), ln p_i = sum_k r_ik ln p_ik over the tokens k of sample i
    weighted by their relevance r_ik = R_ik / sum_k R_ik, R_ik = 1 - sim(y_i, y_i without token k), all alike where no
    token matters. With ``tokens=False`` ln p_i is the plain sum of logprobs: sentence-SAR. Only a graded similarity
    shows a token's relevance, hence not `TextEquivalence`.

    Any number, negative for samples that resemble each other; higher is more uncertain. Cost: N samples of the edge,
    N(N-1)/2 comparisons, and one for each token of each sample. NaN with fewer than two samples, where the served
    answer or all samples are empty, or where a sample has no logprobs or, with *tokens*, no tokens.

    >>> from confroute.records import Sample
    >>> paris, lyon = Sample(text="Paris", token_logprobs=(-1.0,)), Sample(text="Lyon", token_logprobs=(-3.0,))
    >>> SAR(tokens=False).score(paris, [paris, lyon])  # nothing alike: the mean of 1 and 3
    2.0
    """

    name = "sar"
    unit = "score"
    equivalence: Equivalence = field(default_factory=RougeL)
    tokens: bool = True
    t: float = 0.001

    def __post_init__(self) -> None:
        if not self.t > 0:
            raise ConfigurationError(f"t must be above 0, not {self.t}.")

    def estimate(self, evidence: Evidence) -> Estimate:
        samples, n = evidence.samples, len(evidence.samples)
        if n < 2 or not measurable(evidence):
            return Estimate(uncertainty=math.nan)
        logs = [self._log_probability(sample, evidence.question) for sample in samples]
        if not all(map(math.isfinite, logs)):
            return Estimate(uncertainty=math.nan)
        alike = matrix([sample.text for sample in samples], self.equivalence, question=evidence.question)
        helped: list[float] = []
        for i in range(n):
            others = [logs[j] + math.log(alike[i][j] / self.t) for j in range(n) if j != i and alike[i][j] > 0]
            terms = [logs[i], *others]
            # In log space: probabilities of long samples underflow.
            helped.append(max(terms) + math.log(math.fsum(math.exp(term - max(terms)) for term in terms)))
        return Estimate(uncertainty=0.0 - math.fsum(helped) / n)

    def _log_probability(self, sample: Sample, question: str) -> float:
        logprobs, tokens = sample.token_logprobs, sample.tokens
        if not logprobs or (self.tokens and not tokens):
            return math.nan
        if not self.tokens or tokens is None:
            return math.fsum(logprobs)
        whole = "".join(tokens)
        without = ["".join(tokens[:k] + tokens[k + 1 :]) for k in range(len(tokens))]
        grades = self.equivalence.similarity([(whole, rest) for rest in without], question=question)
        relevances = [1.0 - grade for grade in grades]
        total = math.fsum(relevances)
        weights = [relevance / total for relevance in relevances] if total > 0 else [1.0 / len(tokens)] * len(tokens)
        return math.fsum(weight * logprob for weight, logprob in zip(weights, logprobs, strict=True))
