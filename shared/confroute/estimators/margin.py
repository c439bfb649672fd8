"""How far the likeliest token was ahead of the second, on average."""

from __future__ import annotations

import math
from dataclasses import dataclass

from confroute.estimators.base import SinglePass, clipped
from confroute.records import Estimate, Evidence


@dataclass(frozen=True, slots=True)
class Margin(SinglePass):
    """One less the mean lead of the likeliest token over the second.

    u = 1 - (1/T) sum_t (p_t1 - p_t2), p_t1 and p_t2 the two highest probabilities at place t. (Kuhn's "margin" is
    between two *samples*: another number under the same name.)

    In [0, 1]; higher is more uncertain. Cost: none beyond the answer itself, no samples. NaN where the engine gives
    fewer than two alternatives at some place, or the answer is empty.

    >>> from confroute.records import Sample
    >>> even = (("Paris", -0.7), ("Lyon", -0.7))
    >>> answer = Sample(text="Paris", token_logprobs=(-0.7,), alternatives=(even,))
    >>> Margin().estimate(Evidence(question="", answer=answer)).uncertainty
    1.0
    """

    name = "margin"
    unit = "share"
    quick = True

    @property
    def needs_alternatives(self) -> int:
        return 2

    def estimate(self, evidence: Evidence) -> Estimate:
        places = evidence.answer.alternatives
        if not places or not evidence.answer.text.strip() or any(len(place) < 2 for place in places):
            return Estimate(uncertainty=math.nan)
        leads = [math.exp(first) - math.exp(second) for (_, first), (_, second), *_ in places]
        return Estimate(uncertainty=clipped(1.0 - math.fsum(leads) / len(leads), high=1.0))
