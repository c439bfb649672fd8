"""How improbable the served answer is, times how little its samples resemble it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from confroute.equivalence import Equivalence, StructuredEquivalence
from confroute.errors import ConfigurationError
from confroute.estimators.base import Estimator
from confroute.estimators.mean_logprob import MeanLogprob
from confroute.records import Estimate, Evidence


@dataclass(frozen=True, slots=True)
class CoCoA(Estimator):
    """Confidence times consistency (Vashurin et al. 2025, arXiv 2502.04964, eq. 6).

    u = c(y*) (1/N) sum_i (1 - sim(y*, y_i)), c the served answer's own uncertainty (*own*: `MeanLogprob`, that is
    CoCoA-PPL; `SequenceNLL`, CoCoA-MSP; or `TokenEntropy`, CoCoA-MTE), sim the similarity under *equivalence*, y_i the
    N samples. The second factor is at most 1, so an answer whose c is below the threshold is kept without a sample.

    In nats, 0 to infinity; higher is more uncertain. Cost: N samples of the edge or fewer, at most N comparisons. NaN
    where *own* is, without samples, or with an empty answer; samples that are empty are unlike.

    >>> from confroute.records import Sample
    >>> answer = Sample(text="Paris", token_logprobs=(-0.5, -1.5))
    >>> CoCoA().score(answer, ["Paris", "Lyon"])
    0.5
    """

    name = "cocoa"
    unit = "nats"
    quick = True
    equivalence: Equivalence = field(default_factory=StructuredEquivalence)
    own: Estimator = field(default_factory=MeanLogprob)

    def __post_init__(self) -> None:
        if self.own.needs_samples or self.own.unit != "nats":
            raise ConfigurationError(
                f"own must be an estimator in nats that needs no samples, such as MeanLogprob, not {self.own.identity}."
            )

    @property
    def needs_alternatives(self) -> int:
        return self.own.needs_alternatives

    @property
    def settles_alone(self) -> bool:
        return True

    def estimate(self, evidence: Evidence) -> Estimate:
        n = len(evidence.samples)
        own = self.own.estimate(evidence).uncertainty
        if not n or not evidence.answer.text.strip() or not math.isfinite(own):
            return Estimate(uncertainty=math.nan)
        return Estimate(uncertainty=own * self._dissimilarity(evidence) / n)

    def bounds(self, evidence: Evidence, remaining: int) -> tuple[float, float] | None:
        total = len(evidence.samples) + remaining
        own = self.own.estimate(evidence).uncertainty
        if not total or not evidence.answer.text.strip() or not math.isfinite(own):
            return None
        dissimilarity = self._dissimilarity(evidence)
        return own * dissimilarity / total, own * (dissimilarity + remaining) / total

    def _dissimilarity(self, evidence: Evidence) -> float:
        """The sum over the samples."""
        answer, texts = evidence.answer.text, [sample.text for sample in evidence.samples]
        others = sorted({text for text in texts if text.strip() and text != answer})
        pairs = [(answer, other) for other in others]
        grades = self.equivalence.similarity(pairs, question=evidence.question) if pairs else []
        alike = {answer: 1.0} | dict(zip(others, grades, strict=True))
        return math.fsum(1.0 - alike.get(text, 0.0) for text in texts)
