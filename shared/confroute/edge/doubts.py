"""Whether a server is still the one that was probed, by what it answers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from confroute.edge.renewals import Renewals
from confroute.records import Sample, SamplingOptions

_HOT = 0.5
"""From this temperature on, and with this top_p at least, the samples of a model that is not certain differ."""
_UNLIKELY = math.log(1e-3)
"""How probable it is, by their logprobs, that samples are copies of each other by chance."""
_PROVEN_SECONDS = 10.0
"""How long a server that drew is taken for one that draws: another is not up before that."""


class Doubts:
    """A server that was started anew while nobody asked it may give no logprobs, or copies, which would pass for
    certainty. Each doubt costs a probe: there are no more of them than `Renewals` has, where they are in vain; a model
    that is certain of all that it is asked is doubted about once a day."""

    def __init__(self) -> None:
        self.renewals = Renewals()
        self._proof = Renewals()

    def proven(self, at: float | None = None) -> None:
        """The server was seen to draw, or it was told that it does not; now, or *at* this time."""
        self._proof.begin(at)

    def are_raised_by(self, samples: Sequence[Sample], options: SamplingOptions, *, untold: bool) -> bool:
        """Whether *samples* that should differ do not, or logprobs that should be told are *untold*; a probe is due
        then as its `renewals` say."""
        hot = len(samples) > 1 and options.temperature >= _HOT and options.top_p >= _HOT
        if hot and len({(sample.text, sample.tool_calls) for sample in samples}) > 1:
            self.proven()
            if not untold:
                self.renewals.end(in_vain=False)
        elif hot and not untold:
            return self._are_copies(samples)
        return untold

    def _are_copies(self, samples: Sequence[Sample]) -> bool:
        first, *others = samples
        if first.token_logprobs:
            return len(others) * sum(first.token_logprobs) < _UNLIKELY
        # Without logprobs only other samples tell that it draws: a sure model says the same ten times.
        return self._proof.age >= _PROVEN_SECONDS
