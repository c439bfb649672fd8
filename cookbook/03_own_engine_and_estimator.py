"""Your own edge engine and your own estimator: one method each."""

import math
from collections.abc import Sequence

from confroute import Estimate, Evidence, Generation, Router, Sample, SamplingOptions
from confroute.estimators import SinglePass
from confroute.testing import check_estimator


class Calculator:
    """An engine is anything with a `model` and a `generate`. This one can only add."""

    model = "calculator"

    def generate(self, messages: Sequence[dict], *, n: int, options: SamplingOptions) -> Generation:
        """Return n samples; all alike, since a calculator does not guess."""
        words = messages[-1]["content"].split()
        text = str(int(words[0]) + int(words[2])) if words[1:2] == ["+"] else ""
        return Generation(samples=(Sample(text=text, output_tokens=1),) * n, input_tokens=len(words))


class Emptiness(SinglePass):
    """Uncertain where there is no answer at all: 0 or NaN, and NaN escalates."""

    name = "emptiness"
    unit = "share"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Judge the served answer alone."""
        return Estimate(uncertainty=0.0 if evidence.answer.text.strip() else math.nan)


check_estimator(Emptiness())  # the laws that all estimators obey; put this into your tests
router = Router(Calculator(), estimator=Emptiness(), threshold=0.5)
for question in ("17 + 25", "the capital of Peru"):
    decision = router.decide([{"role": "user", "content": question}])
    print(question, "->", decision.record.route, decision.record.reason)
    assert decision.record.route == ("edge" if "+" in question else "cloud")
