"""Whether a server is still the one that was probed, by what it answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from confroute.edge.renewals import Renewals
from confroute.records import Sample, SamplingOptions

_HOT = 0.5
"""From this temperature on, and with this top_p at least, the samples of a model that is not certain differ."""
_UNLIKELY = math.log(1e-3)
"""How probable it is, by their logprobs, that samples are copies of each other by chance."""
_PROVEN_SECONDS = 10.0
"""How long a server that drew is taken for one that draws: another is not up before that."""

_AGAIN_SECONDS = (1.0, 10.0)
"""After how long a server is probed for copies again, where the last probe failed: at first, and at last. So short a
time as the first is waited for, and one that was busy just then costs no escalation."""


class Doubts:
    """A server that was started anew while nobody asked it may give no logprobs, or copies, which would pass for
    certainty. Each doubt costs a probe: there are no more of them than `Renewals` has, where they are in vain; a model
    that is certain of all that it is asked is doubted about once a day. One is *open*, and this says why, from when it
    is looked into until a probe is answered: meanwhile copies do not pass for certainty."""

    def __init__(self) -> None:
        self.renewals = Renewals()
        self.open = ""
        self._looked = Renewals()
        self._again = _AGAIN_SECONDS[0] / 2  # seconds after that
        self._proof = Renewals()

    async def are_due(self, *, alike: bool) -> bool:
        """Whether the server is to be probed, for samples that are *alike* or others; waits for that where it is
        soon."""
        if not (alike and self.open):
            return self.renewals.is_due
        seconds = self._again - self._looked.age
        if 0 < seconds <= _AGAIN_SECONDS[0]:
            await asyncio.sleep(seconds + 0.01)
        return self._looked.age >= self._again

    def begin(self) -> None:
        """One is looked into."""
        self.open = "Who asked it did not wait for the answer."
        self._looked.begin()
        self.renewals.begin()

    def fail(self, why: str, *, joined: bool) -> None:
        """Who began a probe for it, or *joined* one, got no answer."""
        self.open = why
        if not joined:
            self._looked.begin()
            self._again = min(2 * self._again, _AGAIN_SECONDS[1])

    def settle(self, at: float) -> None:
        """What the server can was found out *at* this time."""
        self.open = ""
        self._again = _AGAIN_SECONDS[0] / 2
        self.proven(at)

    def proven(self, at: float | None = None) -> None:
        """The server was seen to draw, or it was told that it does not; now, or *at* this time."""
        self._proof.begin(at)

    def are_raised_by(self, samples: Sequence[Sample], options: SamplingOptions, *, untold: bool) -> bool:
        """Whether *samples* that should differ do not, or logprobs that should be told are *untold*; a probe is due
        then as its `renewals` say."""
        hot = len(samples) > 1 and options.temperature >= _HOT and options.top_p >= _HOT
        if hot and len(_different(samples)) > 1:
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


def are_alike(samples: Sequence[Sample], options: SamplingOptions) -> bool:
    """Whether *samples* that may differ do not."""
    return options.temperature > 0 and len(samples) > 1 and len(_different(samples)) == 1


def _different(samples: Sequence[Sample]) -> set[Any]:
    return {(sample.text, sample.tool_calls) for sample in samples}
