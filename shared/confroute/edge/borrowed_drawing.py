"""Whether a framework's model draws: samples of one that does not agree whatever it knows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from confroute.edge.borrowed_replies import Reply, said
from confroute.edge.objections import ANEW_SECONDS, may_be_of_the_request
from confroute.edge.turns import Turns
from confroute.errors import ConfigurationError, ModelError
from confroute.records import SamplingOptions
from confroute.steps import Call, Flow, arun, run

TRIED_SAMPLES = 4
_TRIALS = (SamplingOptions(temperature=1.0, max_tokens=64), SamplingOptions(temperature=2.0, max_tokens=512))
"""How it is found out whether a model draws: the first is enough for most, and not every service takes the second."""


class Drawing:
    """What is known of whether *model* draws: seen where its samples differ, or tried."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._turns = Turns(1)
        self._draws: bool | None = None  # as far as known
        self._copied_at = -math.inf  # by the monotonic clock

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_copied_at": -math.inf}  # another machine has another clock

    def is_seen(self) -> None:
        self._draws = True

    def is_tried(self, replies: Callable[[SamplingOptions], Flow[Sequence[Reply]]]) -> Flow[None]:
        """Have the model draw `TRIED_SAMPLES` *replies* to a prompt that has no one answer, unless it is known to draw.

        Raises:
            ConfigurationError: they are the same.
            ModelError: it is not known, for it failed or said nothing.
        """
        if not self._draws:
            yield Call(
                lambda: self._turns.take([lambda: run(self._trial(replies))]),
                lambda: self._turns.on_loop(lambda: arun(self._trial(replies))),
            )
            self.refuse_copies()

    def refuse_copies(self) -> None:
        if self._draws is not False:
            return
        if time.monotonic() - self._copied_at >= ANEW_SECONDS:
            self._draws = None
            return
        raise ConfigurationError(
            f'"{self._model}" says the same each time, however high the temperature: samples would agree whatever the '
            "model knows. Have it draw: give its class a field called temperature that its answers heed, a pipeline of "
            "Hugging Face's do_sample=True, a server no seed of its own and no cache before it; see docs/scale.md."
        )

    def _trial(self, replies: Callable[[SamplingOptions], Flow[Sequence[Reply]]]) -> Flow[None]:
        """Find out whether the model draws. As long as it says the same, or nothing, longer samples are drawn at a
        higher temperature. Another request may have found out before."""
        if self._draws is not None:
            return
        told: set[object] = set()
        for options in _TRIALS:
            try:
                answers = yield from replies(options)
            except Exception as error:
                if told and may_be_of_the_request(error):
                    break
                raise ModelError(
                    f'It is not known yet whether samples of "{self._model}" differ, for its trial failed '
                    f"({type(error).__name__}): that they agree says nothing so far. The next request tries again."
                ) from error
            told = said(answers)
            if len(told) > 1:
                self._draws = True
                return
        if not told:
            raise ModelError(
                f'"{self._model}" said nothing in {_TRIALS[-1].max_tokens} tokens, so that it is not known whether its '
                "samples differ. If it is a reasoning model, have it show its thoughts, or turn them off."
            )
        self._draws, self._copied_at = False, time.monotonic()
