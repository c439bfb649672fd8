"""How many of the samples say something else than the served answer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from confroute.equivalence import Equivalence, StructuredEquivalence
from confroute.estimators.base import Estimator
from confroute.records import Estimate, Evidence


@dataclass(frozen=True, slots=True)
class Disagreement(Estimator):
    """The share of samples whose meaning differs from the served answer's.

    u = (1/N) sum_i (1 - same(y*, y_i)), y* the served answer and y_i the N samples: the consistency term of CoCoA
    (arXiv 2502.04964, eq. 5) with a yes-or-no similarity. It judges the answer that is served, where entropy judges
    the distribution: a model that says ten times "Lyon" after having served "Paris" is sure, but not of its answer.

    In [0, 1]; higher is more uncertain. Cost: N samples of the edge, N comparisons. NaN without samples or with an
    empty answer; samples that are empty disagree.

    >>> from confroute.records import Sample
    >>> says = lambda text: Sample(text=text)
    >>> samples = (says("Paris"), says("Paris."), says("Lyon"), says("Rome"))
    >>> Disagreement().estimate(Evidence(question="", answer=says("Paris"), samples=samples)).uncertainty
    0.5
    """

    name = "disagreement"
    unit = "share"
    quick = True
    equivalence: Equivalence = field(default_factory=StructuredEquivalence)

    def estimate(self, evidence: Evidence) -> Estimate:
        n = len(evidence.samples)
        if not n or not evidence.answer.text.strip():
            return Estimate(uncertainty=math.nan)
        return Estimate(uncertainty=self._disagreeing(evidence) / n)

    def bounds(self, evidence: Evidence, remaining: int) -> tuple[float, float] | None:
        total = len(evidence.samples) + remaining
        if not total or not evidence.answer.text.strip():
            return None
        disagreeing = self._disagreeing(evidence)
        return disagreeing / total, (disagreeing + remaining) / total

    def _disagreeing(self, evidence: Evidence) -> int:
        answer, samples = evidence.answer.text, evidence.samples
        others = sorted({sample.text for sample in samples if sample.text.strip() and sample.text != answer})
        pairs = [(answer, other) for other in others]
        verdicts = self.equivalence.same(pairs, question=evidence.question) if pairs else []
        agreeing = {answer} | {other for other, same in zip(others, verdicts, strict=True) if same}
        return sum(sample.text not in agreeing for sample in samples)
