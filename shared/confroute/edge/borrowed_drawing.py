"""Whether a framework's model draws: samples of one that does not agree whatever it knows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from confroute.edge.borrowed_replies import Reply, said
from confroute.edge.objections import ANEW_SECONDS, may_be_of_the_request
from confroute.edge.renewals import Renewals
from confroute.edge.turns import Turns
from confroute.errors import ConfigurationError, ModelError
from confroute.records import SamplingOptions
from confroute.steps import Call, Flow, arun, run

_TRIALS = tuple(SamplingOptions(temperature=t, max_tokens=tokens) for t, tokens in ((1.0, 64), (2.0, 512), (1.0, 512)))
"""How it is found out whether a model draws: the first is enough for most, and not every service takes the second, in
place of which it has the last."""
_WAVES = (1, 3)
"""How many samples are drawn together: a cache has what the first said for the others, but nothing for what is asked
together with it."""
_Replies: TypeAlias = Callable[[int, SamplingOptions], Flow[Sequence[Reply]]]


class Drawing:
    """What is known of whether *model* draws. That samples differ is no proof that others do: those that were asked for
    together may have been before a cache had any."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._turns = Turns(1)
        self._draws: bool | None = None  # as far as known
        self._trials = Renewals()  # of a model that drew
        self._verdicts = 0
        self._copied_at = -math.inf  # by the monotonic clock

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_copied_at": -math.inf}  # another machine has another clock

    def is_tried(self, replies: _Replies) -> Flow[None]:
        """Have the model draw so many *replies* to a prompt that has no one answer, unless it is known to draw by a
        trial that is not due again.

        Raises:
            ConfigurationError: they are the same.
            ModelError: it is not known, for it failed or said nothing.
        """
        if self._draws:
            if not self._trials.is_due:
                return
            self._trials.begin()  # others go on in the meantime
        verdicts = self._verdicts
        yield Call(
            lambda: self._turns.take([lambda: run(self._trial(replies, verdicts))]),
            lambda: self._turns.on_loop(lambda: arun(self._trial(replies, verdicts))),
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

    def _trial(self, replies: _Replies, verdicts: int) -> Flow[None]:
        """Find out whether the model draws, unless another request did since there were so many *verdicts*."""
        if self._verdicts != verdicts:
            return
        told = yield from self._said(replies)
        if not told and self._draws:
            return
        if not told:
            raise ModelError(
                f'"{self._model}" said nothing in {_TRIALS[-1].max_tokens} tokens, so that it is not known whether its '
                "samples differ. If it is a reasoning model, have it show its thoughts, or turn them off."
            )
        self._verdicts += 1
        if len(told) > 1:
            self._trials.end(in_vain=bool(self._draws))
            self._trials.begin()
        else:
            self._copied_at = time.monotonic()
        self._draws = len(told) > 1

    def _said(self, replies: _Replies) -> Flow[set[object]]:
        """What the model says on trial, each once. As long as it is the same, or nothing, longer samples are drawn at a
        higher temperature. Nothing where one that drew before fails."""
        told: set[object] = set()
        for options in _TRIALS:
            answers: list[Reply] = []
            try:
                for n in _WAVES:
                    answers += yield from replies(n, options)
            except Exception as error:
                if options.temperature > 1 and told and may_be_of_the_request(error):
                    continue
                if self._draws:
                    return set()
                raise ModelError(
                    f'It is not known yet whether samples of "{self._model}" differ, for its trial failed '
                    f"({type(error).__name__}): that they agree says nothing so far. The next request tries again."
                ) from error
            told = said(answers)
            if len(told) > 1 or options.temperature > 1:
                break
        return told
