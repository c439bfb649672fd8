"""How much of the edge's probability lies near the served answer's meaning."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from confroute.equivalence import Equivalence, StructuredEquivalence
from confroute.estimators.base import Estimator, clipped, measurable
from confroute.records import Estimate, Evidence


@dataclass(frozen=True, slots=True)
class SemanticDensity(Estimator):
    """One less the semantic density of the served answer (Qiu and Miikkulainen 2024, arXiv 2405.13845).

    u = 1 - sum_i p_i K(y*, y_i) / sum_i p_i over the distinct texts among the served answer and the samples, p_i the
    geometric mean of the text's token probabilities and K = 1 - d^2 the similarity under *equivalence*, which with
    `NLIEquivalence` is the paper's: d^2 = p(contradiction) + p(neutral)/2. Repeated texts count once, since their
    probability is in p_i already.

    In [0, 1]; higher is more uncertain. Cost: N samples of the edge, at most N comparisons. NaN without samples, where
    the served answer or all samples are empty, or where one of the texts has no logprobs.

    >>> from confroute.records import Sample
    >>> paris, lyon = Sample(text="Paris", token_logprobs=(-0.5,)), Sample(text="Lyon", token_logprobs=(-0.5,))
    >>> SemanticDensity().score(paris, [paris, lyon, lyon])
    0.5
    """

    name = "semantic_density"
    unit = "share"
    equivalence: Equivalence = field(default_factory=StructuredEquivalence)

    def estimate(self, evidence: Evidence) -> Estimate:
        if not measurable(evidence):
            return Estimate(uncertainty=math.nan)
        answer = evidence.answer.text
        logs: dict[str, float] = {}
        # The same text may have been tokenised in two ways; its likelier one is taken, whatever the order.
        for sample in (evidence.answer, *evidence.samples):
            logs[sample.text] = max(sample.mean_logprob, logs.get(sample.text, -math.inf))
        largest = max(logs.values())
        if any(map(math.isnan, (sample.mean_logprob for sample in (evidence.answer, *evidence.samples)))):
            return Estimate(uncertainty=math.nan)
        if math.isinf(largest):
            return Estimate(uncertainty=math.nan)
        others = sorted(text for text in logs if text != answer and text.strip())
        pairs = [(answer, other) for other in others]
        grades = self.equivalence.similarity(pairs, question=evidence.question) if pairs else []
        alike = {answer: 1.0} | dict(zip(others, grades, strict=True))
        # Shifted by the largest, so that logprobs around -800 do not underflow to an empty distribution.
        masses = {text: math.exp(log - largest) for text, log in logs.items()}
        near = math.fsum(mass * alike.get(text, 0.0) for text, mass in masses.items())
        return Estimate(uncertainty=clipped(1.0 - near / math.fsum(masses.values()), high=1.0))
