"""How sure the edge says it is, in words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from confroute.estimators.base import SinglePass
from confroute.records import Estimate, Evidence, FollowUp, SamplingOptions

_SCALE = re.compile(r"(?<![\d.])0\s*(?:to|-|–)\s*100(?!\.?\d)|(?:\bof|/)\s*100(?!\.?\d)", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Verbalized(SinglePass):
    """One less the probability that the edge names when it is asked how likely its answer is right (Tian et al. 2023,
    arXiv 2305.14975, two-stage form).

    u = 1 - p / 100, p the first number of the reply that is not of its scale ("0 to 100", "out of 100").

    **Weak for small models**, which name round numbers or none: the worst of 8 methods on 12 small models (arXiv
    2502.04428). In [0, 1]; higher is more uncertain. Cost: one more request to the edge, with a prompt of question and
    answer and a reply of a few tokens. NaN where the reply holds no number from 0 to 100.

    >>> from confroute.records import Sample
    >>> evidence = Evidence(question="", answer=Sample(text="Paris"), replies={"verbalized": Sample(text="About 90%.")})
    >>> round(Verbalized().estimate(evidence).uncertainty, 3)
    0.1
    """

    name = "verbalized"
    version = 2
    unit = "share"
    quick = True

    def follow_ups(self, evidence: Evidence) -> Mapping[str, FollowUp]:
        prompt = (
            f"Question: {evidence.question}\nProposed answer: {evidence.answer.text}\n"
            "How likely is it that the proposed answer is right? Reply with a number from 0 to 100 only."
        )
        options = SamplingOptions(max_tokens=8)
        return {self.name: FollowUp(messages=({"role": "user", "content": prompt},), options=options)}

    def estimate(self, evidence: Evidence) -> Estimate:
        reply = evidence.replies.get(self.name)
        found = _NUMBER.search(_SCALE.sub(" ", reply.text)) if reply and evidence.answer.text.strip() else None
        percent = float(found[1]) if found else math.nan
        return Estimate(uncertainty=1.0 - percent / 100 if 0 <= percent <= 100 else math.nan)
