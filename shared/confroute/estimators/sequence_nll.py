"""How improbable the served answer is as a whole."""

from __future__ import annotations

import math
from dataclasses import dataclass

from confroute.estimators.base import SinglePass
from confroute.records import Estimate, Evidence


@dataclass(frozen=True, slots=True)
class SequenceNLL(SinglePass):
    """The negative log probability of the served answer: "maximum sequence probability" (MSP), as an uncertainty.

    u = -sum_t ln p(y_t | y_<t, x), over the answer's T tokens, the end-of-turn token excluded. Of a greedy answer it
    is G-NLL (arXiv 2412.15176), there the best of the single-pass scores. It grows with the answer's length: good for
    answers of a few tokens, not for comparing short ones with long ones.

    In nats, 0 to infinity; higher is more uncertain. Cost: none beyond the answer itself, no samples. NaN where the
    engine gives no logprobs or the answer is empty.

    >>> from confroute.records import Sample
    >>> answer = Sample(text="Paris", token_logprobs=(-0.5, -1.5))
    >>> SequenceNLL().estimate(Evidence(question="", answer=answer)).uncertainty
    2.0
    """

    name = "sequence_nll"
    unit = "nats"
    quick = True

    def estimate(self, evidence: Evidence) -> Estimate:
        logprobs = evidence.answer.token_logprobs
        if not logprobs or not evidence.answer.text.strip():
            return Estimate(uncertainty=math.nan)
        return Estimate(uncertainty=0.0 - math.fsum(logprobs))
