"""What an estimator is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal

from confroute.identity import Identified
from confroute.records import Estimate, Evidence, FollowUp, Sample


class Estimator(Identified, ABC):
    """Measures how uncertain the edge is about the answer it would serve. **Higher is more uncertain**; NaN means
    that it could not be measured, and NaN always escalates.

    A subclass writes `estimate` and says in class attributes what it is: `name`; `version`, raised whenever the same
    evidence would get another number, since a threshold belongs to one version; `unit`, "nats" (0 to infinity) or
    "share" (0 to 1); `needs_samples`, whether it looks at samples besides the served answer; `needs_alternatives`,
    how many of each token's most probable alternatives it wants of the served answer.
    """

    __slots__ = ()

    unit: ClassVar[Literal["nats", "share"]]
    needs_samples: bool = True
    needs_alternatives: int = 0

    @abstractmethod
    def estimate(self, evidence: Evidence) -> Estimate:
        """The uncertainty of ``evidence.answer``. Pure: the same evidence gives the same number."""

    def bounds(self, evidence: Evidence, remaining: int) -> tuple[float, float]:  # noqa: ARG002
        """The least and the greatest uncertainty that *remaining* further samples could still lead to.

        Where both lie on one side of the threshold the rest is not drawn (exact curtailment). An estimator that cannot
        tell says nothing: (-inf, inf).
        """
        return -math.inf, math.inf

    def follow_ups(self, evidence: Evidence) -> Mapping[str, FollowUp]:  # noqa: ARG002
        """What to ask the edge about its answer, by a name of the estimator's choice. The replies come in
        ``evidence.replies`` under the same names."""
        return {}

    def estimate_all(self, evidence: Iterable[Evidence]) -> list[Estimate]:
        """`estimate` for each."""
        return [self.estimate(item) for item in evidence]

    def score(self, answer: str | Sample, samples: Sequence[str | Sample] = (), *, question: str = "") -> float:
        """The uncertainty of an answer that was generated before, anywhere; see `estimate` for more detail.

        >>> from confroute import Disagreement
        >>> Disagreement().score("Paris", ["Paris", "It is Paris.", "Lyon", "Rome"], question="Capital of France?")
        0.5
        """
        evidence = Evidence(question=question, answer=_sample(answer), samples=tuple(map(_sample, samples)))
        return self.estimate(evidence).uncertainty

    def confidence(self, uncertainty: float) -> float:
        """A confidence in [0, 1] without calibration: 1 - u for a share, exp(-u) for nats, NaN for NaN.

        It orders answers as the uncertainty does, reversed, and reads well (an agreement share, a geometric mean
        token probability, one over the effective number of meanings), but it is **not** the probability of being
        right.
        """
        if math.isnan(uncertainty):
            return math.nan
        confidence = 1.0 - uncertainty if self.unit == "share" else math.exp(min(0.0, -uncertainty))
        # Rounded, so that one agreeing sample of ten is 0.1 and reaches a threshold of 0.1; 1 - 0.9 is less.
        return round(min(1.0, max(0.0, confidence)), 12)


def _sample(answer: str | Sample) -> Sample:
    return Sample(text=answer) if isinstance(answer, str) else answer
