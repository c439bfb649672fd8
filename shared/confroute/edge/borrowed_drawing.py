"""Whether a framework's model draws: samples of one that does not agree whatever it knows."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from confroute.edge.borrowed_replies import Reply, said
from confroute.edge.objections import ANEW_SECONDS, may_be_for_want_of_room
from confroute.edge.renewals import Renewals
from confroute.edge.turns import Turns
from confroute.errors import ConfigurationError, ModelError
from confroute.records import SamplingOptions
from confroute.steps import Call, Flow, arun, run

_TRIALS = tuple(SamplingOptions(temperature=t, max_tokens=tokens) for t, tokens in ((1.0, 64), (2.0, 512), (1.0, 512)))
"""How it is found out whether a model draws: the first is enough for most. Not every service takes the second, and a
model may hide its thoughts and come to no answer in it: in its place there is the last, of as many tokens as any
answer might have, if these are more."""
_WAVES = (1, 3)
"""How many samples are drawn together: a cache has what the first said for the others, but nothing for what is asked
together with it; and what joins equal requests has one answer for those. So the last have to differ."""
_FAILED_SECONDS = 5.0
"""How long the next trial waits for after one that failed; each further time twice as long."""
_APART, _STEP = 100, 1e-4
"""How many temperatures samples are given in place of one, and how far from each other, as a share of it: enough for a
cache to tell them apart, and too little for the answers."""
_Replies: TypeAlias = Callable[[int, SamplingOptions], Flow[Sequence[Reply]]]

logger = logging.getLogger("confroute")


class Drawing:
    """What is known of whether *model* draws. That samples differ is no proof that others do: those that were asked for
    together may have been before a cache had any.

    It is tried the first time that samples of a request agree, and then after two minutes at the earliest, ever more
    seldom: four short samples of a prompt that has no one answer are drawn, the first of them alone. Where the others
    are the same, four longer and hotter ones; where those are, too, four at temperatures of their own, as all samples
    have from then on, for a cache may be there.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._turns = Turns(1)
        self._draws: bool | None = None  # as far as known
        self._trials = Renewals()  # of a model that drew
        self._failures = Renewals(_FAILED_SECONDS)
        self._failed = ""  # why it is not known
        self._room = math.inf  # tokens of the trial that failed; with more of them, one may not
        self._most = 0
        self._verdicts = 0
        self._copied_at = -math.inf  # by the monotonic clock
        self._samples_differed = self._trials_differed = False
        self.is_apart = False
        """Whether samples have temperatures of their own, for a cache may be there."""
        self._asked = itertools.count()

    def __getstate__(self) -> dict[str, Any]:
        # Another machine has another clock, and Python has no copies of counters any more.
        return {**self.__dict__, "_copied_at": -math.inf, "_asked": None}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state, _asked=itertools.count())

    def temperature(self, asked_for: float) -> float:
        """The next sample's, at most 1 % below the one *asked_for*."""
        return round(asked_for * (1 - next(self._asked) % _APART * _STEP), 8) if self.is_apart else asked_for

    def have_differed(self) -> None:
        """Samples of a request did, which tells a model that says the same on trial, such as one that gives labels,
        from one that says the same each time."""
        self._samples_differed = True

    def may_say(self, tokens: int) -> None:
        """An answer had so much room. Its samples are given less, as they need no more: a trial may."""
        self._most = max(self._most, tokens)

    def is_tried(self, replies: _Replies, can_be_apart: Callable[[], bool]) -> Flow[None]:
        """Have the model draw so many *replies* to a prompt that has no one answer, unless it is known to draw by a
        trial that is not due again. Where they are the same, samples *is_apart* from then on, if it *can_be*.

        Raises:
            ConfigurationError: they are the same.
            ModelError: it is not known, for it failed or said nothing.
        """
        if self._draws:
            if not self._trials.is_due:
                return
            self._trials.begin()  # others go on in the meantime
        elif self._has_failed and not self._failures.is_due:
            # Not before samples are drawn: such as differ need no trial.
            raise ModelError(self._failed)
        verdicts = self._verdicts
        yield Call(
            lambda: self._turns.take([lambda: run(self._trial(replies, can_be_apart, verdicts))]),
            lambda: self._turns.on_loop(lambda: arun(self._trial(replies, can_be_apart, verdicts))),
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
            "model knows. Have it draw: give its class a field called temperature that its answers heed at each call, "
            "not where it loads, a pipeline of Hugging Face's do_sample=True, a server no seed of its own and no cache "
            "before it; see docs/scale.md."
        )

    @property
    def _has_failed(self) -> bool:
        """Whether it is not known for a trial failed that had no less room than the next."""
        return bool(self._failed) and self._most <= self._room

    def _trial(self, replies: _Replies, can_be_apart: Callable[[], bool], verdicts: int) -> Flow[None]:
        """Find out whether the model draws, unless another request did since there were so many *verdicts*."""
        if self._verdicts != verdicts:
            if self._draws is not None:
                return
            if self._has_failed:
                raise ModelError(self._failed)
        *trials, longest = _TRIALS
        trials.append(replace(longest, max_tokens=max(longest.max_tokens, self._most)))
        try:
            differ, last = yield from self._differ(replies, trials)
            if not differ and not self.is_apart and can_be_apart():
                self.is_apart = True
                differ, _ = yield from self._differ(replies, [last])
                self._say_apart(differ)
        except ModelError as error:
            if self._draws:
                return
            self._verdicts += 1
            self._failures.begin()
            self._failures.end(in_vain=bool(self._failed))
            self._failed = f"{error} It is tried again after a few seconds, then ever more seldom."
            raise ModelError(self._failed) from error.__cause__
        self._verdicts += 1
        self._failed, self._failures = "", Renewals(_FAILED_SECONDS)
        draws = differ or (self.is_apart and self._samples_differed and not self._trials_differed)
        if draws:
            self._trials.end(in_vain=bool(self._draws))
            self._trials.begin()
        else:
            self._copied_at = time.monotonic()
            self.is_apart = False
        self._trials_differed = self._trials_differed or differ
        self._draws = draws

    def _say_apart(self, differ: bool) -> None:
        if differ:
            logger.warning(
                '"%s" gives equal requests the same answer, as a cache does: its samples are asked for at temperatures '
                "of their own from now on, at most 1 %% below yours.",
                self._model,
            )

    def _differ(self, replies: _Replies, trials: Sequence[SamplingOptions]) -> Flow[tuple[bool, SamplingOptions]]:
        """Whether what the model says on trial differs, and the last that it was asked for so. As long as it is the
        same, longer samples are drawn at a higher temperature; as long as it is nothing, still longer ones."""
        told: list[object] = []
        last, differ = trials[0], False
        for options in trials:
            try:
                first, others = (yield from replies(_WAVES[0], options)), (yield from replies(_WAVES[1], options))
            except Exception as error:
                for_room = may_be_for_want_of_room(error)
                if for_room and options is not trials[-1]:
                    continue
                self._room, self._most = (options.max_tokens, 0) if for_room else (math.inf, self._most)
                raise ModelError(self._failure(error, options.max_tokens if for_room else None)) from error
            told, last = [each for answer in (*first, *others) for each in said([answer])], options
            differ = len(said(others)) > 1
            if differ or (options.temperature > 1 and len(told) == sum(_WAVES)):
                break
        if not differ and len(told) < sum(_WAVES):
            self._room = last.max_tokens
            raise ModelError(
                f'"{self._model}" said nothing in {last.max_tokens} tokens, or did once of several times, so that it '
                "is not known whether its samples differ. If it is a reasoning model, raise max_tokens above "
                f"{last.max_tokens}, have it show its thoughts, or turn them off."
            )
        return differ, last

    def _failure(self, error: Exception, tokens: int | None) -> str:
        """What is told of an *error* on trial, where more than so many *tokens* may help."""
        told = (
            f'It is not known yet whether samples of "{self._model}" differ, for its trial failed '
            f"({type(error).__name__}): that they agree says nothing so far."
        )
        if tokens is None:
            return told
        return f"{told} If it is a reasoning model, raise max_tokens above {tokens}, or turn its thoughts off."
