"""How improbable the served answer's least probable tokens are."""

from __future__ import annotations

import math
from dataclasses import dataclass

from confroute.errors import ConfigurationError
from confroute.estimators.base import SinglePass
from confroute.records import Estimate, Evidence


@dataclass(frozen=True, slots=True)
class LogprobQuantile(SinglePass):
    """The negative *q* quantile of the served answer's token logprobs: with q = 0 its least probable token.

    u = -Q_q(ln p_1, ..., ln p_T), linearly interpolated. One weak token in a fluent sentence is what a mean hides; low
    quantiles show it and do not grow with length as a sum does (Gupta et al. 2024, "Chow-Quantile",
    arXiv 2404.10136).

    In nats, 0 to infinity; higher is more uncertain. Cost: none beyond the answer itself, no samples. NaN where the
    engine gives no logprobs, the answer is empty, or the quantile lies between a token of probability 0 and another.

    >>> from confroute.records import Sample
    >>> answer = Sample(text="Paris", token_logprobs=(-0.5, -2.5, -0.1))
    >>> LogprobQuantile().estimate(Evidence(question="", answer=answer)).uncertainty
    2.5
    """

    name = "logprob_quantile"
    unit = "nats"
    quick = True
    q: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.q <= 1:
            raise ConfigurationError(f"q must be from 0 (the least probable token) to 1, not {self.q}.")

    def estimate(self, evidence: Evidence) -> Estimate:
        logprobs = sorted(evidence.answer.token_logprobs or ())
        if not logprobs or not evidence.answer.text.strip() or any(map(math.isnan, logprobs)):
            return Estimate(uncertainty=math.nan)
        place = self.q * (len(logprobs) - 1)
        below, above = logprobs[math.floor(place)], logprobs[math.ceil(place)]
        # Equal ends are not interpolated: of two infinite ones that would be NaN.
        quantile = below if below == above else below + (place - math.floor(place)) * (above - below)
        return Estimate(uncertainty=0.0 - quantile)
