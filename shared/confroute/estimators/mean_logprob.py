"""How improbable the served answer's tokens are on average."""

from __future__ import annotations

import math
from dataclasses import dataclass

from confroute.estimators.base import SinglePass
from confroute.records import Estimate, Evidence


@dataclass(frozen=True, slots=True)
class MeanLogprob(SinglePass):
    """The negative mean log probability of the served answer's tokens: the log of its perplexity.

    u = -(1/T) sum_t ln p(y_t | y_<t, x), T tokens, the end-of-turn token excluded.

    In nats, 0 to infinity; higher is more uncertain. Cost: none beyond the answer itself, no samples. NaN where the
    engine gives no logprobs or the answer is empty.

    >>> from confroute.records import Sample
    >>> answer = Sample(text="Paris", token_logprobs=(-0.5, -1.5))
    >>> MeanLogprob().estimate(Evidence(question="", answer=answer)).uncertainty
    1.0
    """

    name = "mean_logprob"
    unit = "nats"
    quick = True

    def estimate(self, evidence: Evidence) -> Estimate:
        if not evidence.answer.text.strip():
            # Its one token, the end of turn, may well be probable.
            return Estimate(uncertainty=math.nan)
        # 0.0 - x rather than -x: a certain answer has uncertainty 0.0, not -0.0.
        return Estimate(uncertainty=0.0 - evidence.answer.mean_logprob)
