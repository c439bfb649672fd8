"""How undecided the edge was between tokens, on average."""

from __future__ import annotations

import math
from dataclasses import dataclass

from confroute.errors import ConfigurationError
from confroute.estimators.base import SinglePass, clipped
from confroute.records import Alternatives, Estimate, Evidence


@dataclass(frozen=True, slots=True)
class TokenEntropy(SinglePass):
    """The mean entropy of the served answer's token distributions, as far as their *k* likeliest tokens show it.

    u = (1/T) sum_t H(q_t), q_t the probabilities of the k likeliest tokens at place t, renormalised to 1, and
    H(q) = -sum_j q_j ln q_j. Servers tell only the likeliest tokens; ten are enough to rank answers as the whole
    vocabulary would (arXiv 2509.04492), but the number itself is lower and belongs to one k.

    In nats, 0 to ln k; higher is more uncertain. Cost: none beyond the answer itself, no samples. NaN where the engine
    gives fewer than two alternatives at some place, or the answer is empty.

    >>> from confroute.records import Sample
    >>> even = (("Paris", -0.7), ("Lyon", -0.7))
    >>> answer = Sample(text="Paris", token_logprobs=(-0.7,), alternatives=(even,))
    >>> round(TokenEntropy().estimate(Evidence(question="", answer=answer)).uncertainty, 4)  # ln 2
    0.6931
    """

    name = "token_entropy"
    unit = "nats"
    quick = True
    k: int = 10

    def __post_init__(self) -> None:
        if self.k < 2:
            raise ConfigurationError(f"k must be at least 2, not {self.k}: one token has no entropy.")

    @property
    def needs_alternatives(self) -> int:
        return self.k

    def estimate(self, evidence: Evidence) -> Estimate:
        places = evidence.answer.alternatives
        if not places or not evidence.answer.text.strip():
            return Estimate(uncertainty=math.nan)
        return Estimate(uncertainty=math.fsum(_entropy(place[: self.k]) for place in places) / len(places))


def _entropy(place: Alternatives) -> float:
    logprobs = [logprob for _, logprob in place]
    if len(logprobs) < 2 or not math.isfinite(max(logprobs)):
        return math.nan
    # Shifted by the largest: of logprobs around -800 nothing would be left.
    weights = [math.exp(logprob - max(logprobs)) for logprob in logprobs]
    total = math.fsum(weights)
    return clipped(math.fsum(-(w / total) * math.log(w / total) for w in weights if w > 0))
