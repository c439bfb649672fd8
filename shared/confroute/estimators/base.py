"""What an estimator is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, Final, Literal

from confroute.identity import Identified
from confroute.records import Estimate, Evidence, FollowUp, Sample


class Estimator(Identified, ABC):
    """Measures how uncertain the edge is about the answer it would serve. **Higher is more uncertain**; NaN means
    that it could not be measured, and NaN always escalates.

    A subclass writes `estimate` and says what it is: `name`; `version`, raised whenever the same evidence would get
    another number, since a threshold belongs to one version; `unit`, "nats" (natural logarithms, 0 to infinity),
    "share" (0 to 1), "count" (from 1) or "score" (any number);
    `needs_samples`, whether it looks at samples besides the served answer; `needs_alternatives`, how many of each
    token's most probable alternatives it wants of the served answer; `quick = True`, if `estimate` and `bounds` take
    microseconds and ask no model, so that an event loop need not call them in a thread.
    `confroute.testing.check_estimator` tests the contract.
    """

    __slots__ = ()

    unit: ClassVar[Literal["nats", "share", "count", "score"]]

    @property
    def needs_samples(self) -> bool:
        return True

    @property
    def needs_alternatives(self) -> int:
        return 0

    @property
    def settles_alone(self) -> bool:
        """Whether `bounds` may settle a decision by the served answer before there are samples. Where they may not,
        the samples can be asked for together with the answer."""
        return False

    @abstractmethod
    def estimate(self, evidence: Evidence) -> Estimate:
        """The uncertainty of ``evidence.answer``. Pure: the same evidence gives the same number."""

    def bounds(self, evidence: Evidence, remaining: int) -> tuple[float, float] | None:  # noqa: ARG002
        """The least and the greatest uncertainty that *remaining* further samples could still lead to.

        Where both lie on one side of the threshold the rest is not drawn (exact curtailment). None where the estimator
        cannot tell, or where the estimate could still become NaN. The estimate of *evidence* as it is lies between
        the two, if it is a number. Called between waves of samples, also before the first one.
        """
        return None

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
        """A confidence in [0, 1] without calibration: 1 - u for a share, exp(-u) for nats, 1/u for a count and
        1/(1 + exp(u)) for a score; NaN for NaN.

        It orders answers as the uncertainty does, reversed, and reads well (an agreement share, a geometric mean
        token probability, one over the effective number of meanings), but it is **not** the probability of being
        right.
        """
        if math.isnan(uncertainty):
            return math.nan
        confidence = _CONFIDENCE[self.unit](uncertainty)
        # Rounded, so that one agreeing sample of ten is 0.1 and reaches a threshold of 0.1; 1 - 0.9 is less. By its
        # digits, since those of long answers are small, and in order.
        return float(f"{min(1.0, max(0.0, confidence)):.12g}")


_CONFIDENCE: Final[dict[str, Callable[[float], float]]] = {
    "share": lambda u: 1.0 - u,
    "nats": lambda u: math.exp(-max(0.0, u)),
    "count": lambda u: 1.0 / max(1.0, u),
    # Two forms, so that neither overflows nor is 0 where another is less.
    "score": lambda u: 1.0 / (1.0 + math.exp(u)) if u < 0 else math.exp(-u) / (1.0 + math.exp(-u)),
}


def clipped(uncertainty: float, low: float = 0.0, high: float = math.inf) -> float:
    """*uncertainty* without what rounding put beyond its range. NaN stays NaN, which ``max(0.0, nan)`` would not."""
    return uncertainty if math.isnan(uncertainty) else min(max(uncertainty, low), high)


def measurable(evidence: Evidence) -> bool:
    """Whether the served answer and at least one sample say anything: no text, no meaning to compare."""
    return bool(evidence.answer.text.strip()) and any(sample.text.strip() for sample in evidence.samples)


class SinglePass(Estimator):
    """An estimator that looks at the served answer's own tokens only; it costs nothing beyond the answer."""

    __slots__ = ()

    @property
    def needs_samples(self) -> bool:
        return False

    def bounds(self, evidence: Evidence, remaining: int) -> tuple[float, float] | None:  # noqa: ARG002
        uncertainty = self.estimate(evidence).uncertainty
        return None if math.isnan(uncertainty) else (uncertainty, uncertainty)


def _sample(answer: str | Sample) -> Sample:
    return Sample(text=answer) if isinstance(answer, str) else answer
