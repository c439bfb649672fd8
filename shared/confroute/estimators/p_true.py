"""How true the edge says its own answer is, when asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from confroute.estimators.base import SinglePass, clipped
from confroute.estimators.option_probability import chosen_option
from confroute.records import Estimate, Evidence, FollowUp, SamplingOptions

OPTIONS = ("True", "False")


@dataclass(frozen=True, slots=True)
class PTrue(SinglePass):
    """One less P(True): the edge is shown question and answer and asked whether the answer is true (Kadavath et al.
    2022, arXiv 2207.05221), without examples and without other samples to compare.

    u = 1 - p(True) / (p(True) + p(False)), the probabilities of the reply's first token that tells the two apart.

    **Weak for small models**: PRR .03 to .13 at 12B (CoCoA paper), AUROC .46 at 7B (below chance); use it as one part
    of a `LogisticCombination`, if at all. In [0, 1]; higher is more uncertain. Cost: one more request to the edge, with
    a prompt of question and answer and a reply of a few tokens. NaN where the reply is neither True nor False or has no
    alternatives.

    >>> from confroute.records import Sample
    >>> reply = Sample(text="True", tokens=("True",), alternatives=((("True", -0.1), ("False", -2.4)),))
    >>> evidence = Evidence(question="", answer=Sample(text="Paris"), replies={"p_true": reply})
    >>> round(PTrue().estimate(evidence).uncertainty, 3)
    0.091
    """

    name = "p_true"
    unit = "share"
    quick = True

    def follow_ups(self, evidence: Evidence) -> Mapping[str, FollowUp]:
        prompt = (
            f"Question: {evidence.question}\nProposed answer: {evidence.answer.text}\n"
            "Is the proposed answer true? Reply with one word, True or False."
        )
        options = SamplingOptions(max_tokens=4, alternatives=20)
        return {self.name: FollowUp(messages=({"role": "user", "content": prompt},), options=options)}

    def estimate(self, evidence: Evidence) -> Estimate:
        reply = evidence.replies.get(self.name)
        # The verdict is to be the reply's first word: "not true" names True, too.
        begins = reply is not None and reply.text.lstrip(" \n\"'(*").casefold().startswith(("true", "false"))
        chosen = chosen_option(reply, OPTIONS) if reply and begins and evidence.answer.text.strip() else None
        if chosen is None:
            return Estimate(uncertainty=math.nan)
        option, probability = chosen
        return Estimate(uncertainty=clipped(1.0 - probability if option == "True" else probability, high=1.0))
