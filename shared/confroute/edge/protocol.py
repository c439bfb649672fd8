"""OpenAI's chat completions as servers of open models speak them: what they can, and requests to one of them."""

from __future__ import annotations

import asyncio
import math
import random
import re
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

from confroute.edge.choices import is_untold, saying
from confroute.edge.cut_prompts import input_tokens_in
from confroute.edge.refusals import BrokenError, BusyError, LoadingError, LostError, Refusals, status_in, was_cut
from confroute.edge.replies import read_reply
from confroute.edge.usage import output_tokens_in
from confroute.edge.width import Width
from confroute.errors import ConfrouteError
from confroute.records import Sample

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
"""Seconds until a failed request is made again, doubled each time, where the server asks for no other wait."""

_OVERDUE = (504, 524)
"""Statuses of a gateway that did not wait for what the server answers."""
_CROWDED = (429, 503)
"""Statuses of a server that is asked too much at a time: LiteLLM and TGI have the first, nginx the second."""

_LLAMA_SERVER = re.compile(r"b\d+-\w+")
"""Its fingerprints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a server does of what it is asked for. Some refuse what they do not know, some ignore it, and some answer
    null."""

    n: bool
    """Several samples in one request, which are no copies of each other where those of several requests are none."""
    logprobs: bool
    """The logprobs of the sampled tokens."""
    alternatives: int
    """How many of the most probable tokens it tells at each place, with their logprobs, of at most 20 asked for."""
    draws: bool | None
    """Samples of several requests at a high temperature differ. Where they do not, their agreement says nothing. None
    where the model said nothing, as one that thinks for long and does not show it."""
    json_schema: bool
    """Answers held to a JSON schema."""
    tools: bool
    """A tool is called where the question is for it: by the server's doing and the model's."""
    seeds: bool = True
    """A request may have a seed. Some servers have one of their own for those that have none, which then repeat each
    other."""
    whole_top_p: bool = True
    """A request may say that its top_p is 1. Some servers have another of their own for those that do not say so."""
    least_temperature: float = 0.0
    """The lowest of 0, 0.01 and 1 that a request may have. OpenAI's models that think take no other temperature than 1,
    and some none of 0."""
    limit_name: str = "max_tokens"
    """What a request calls the most tokens that its answer may have."""
    llamacpp: str | None = None
    """Which of "llama-server", "Ollama" and "LM Studio" it is, as far as it tells. They hold answers to a JSON schema
    by llama.cpp's grammars, in the words of which it is written."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of a request that was made once: the *reply*, or the *failure*, which *may_pass* if the request is made
    again, after *pause* seconds where the server asks for that many; but *once* where the server may have answered it
    all the same, and is paid for that. It is *crowded* where the requests beside it may be why."""

    reply: Any = None
    failure: ConfrouteError | None = None
    may_pass: bool = False
    once: bool = False
    crowded: bool = False
    pause: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a request: the *samples*, as many as the server gave, and the prompt's tokens. Its logprobs are
    *untold* where they were asked for, and an answer has none."""

    samples: Sequence[Sample]
    input_tokens: int
    untold: bool
    llamacpp: str | None
    """Which of the servers on llama.cpp gave it, as in `Capabilities`."""


class Connection:
    """A client of one server and model, whose errors are confroute's. At most *most* requests are under way at the same
    time, or as many as the server takes, each for at most *seconds*, its *retries* and the pauses before them included.
    It is known whether the server has *answered* before. Belongs to one event loop."""

    def __init__(
        self,
        client: Any,
        model: str,
        host: str,
        extra: Mapping[str, Any],
        *,
        most: int,
        seconds: float,
        retries: int,
        answered: bool = False,
        proxy: str | None = None,
    ) -> None:
        self._client = client
        self._model = model
        self._refusals = Refusals(client, model, host, proxy)
        self._answered = answered
        self._extra = extra
        self._width = Width(most)
        self._seconds = seconds
        self._retries = retries
        self.losses = 0
        """How often it was found that the server was gone, or just started: a retry may have reached another."""

    async def create(self, request: Mapping[str, Any], *, tentative: bool = False) -> dict[str, Any]:
        """The raw reply to a chat completion *request*, which is made again where that may help. Of a *tentative* one,
        which a plainer one follows, a refusal says nothing about the server.

        Raises:
            ConfigurationError: a server that has answered nothing yet refused the key, does not have the model or
                redirects to another address.
            DeniedError: one that has answered does so.
            ContextLengthError: the prompt does not fit.
            RefusedError: it refused the request for another reason, or a tentative one.
            BusyError: it has no time for it.
            BrokenError: it answered with an internal error.
            OverdueError: it was too slow.
            LostError: it was out of reach, or broke off.
            FullError: the samples do not fit together.
            StrangeError: it replied with something else.
            ModelError: it failed, or the request is none that can be sent.
        """
        seconds, retry = self._seconds, 0
        refused: ConfrouteError | None = None
        while True:
            waits_since = time.monotonic()
            try:
                # A request that pauses leaves its turn to others. Once refused, it does not wait for ever: the server
                # may take one a second.
                async with self._width.turn(None if refused is None else seconds) as turn:
                    begun = time.monotonic()
                    seconds -= 0 if refused is None else begun - waits_since
                    outcome = await self._once(request, seconds, tentative=tentative)
                    seconds -= time.monotonic() - begun
                    if outcome.failure is None:
                        self._width.count_answer(turn)
                        break
                    waits = outcome.crowded and self._width.narrow(turn)
            except TimeoutError:
                if refused is None:
                    raise
                raise refused from None
            self.losses += isinstance(outcome.failure, (LostError, LoadingError))
            pause = outcome.pause
            if pause is None:
                pause = min(_FIRST_PAUSE * 2**retry, _LONGEST_PAUSE) * random.uniform(0.75, 1.0)  # noqa: S311
            most = min(1, self._retries) if outcome.once else self._retries
            if not outcome.may_pass or (retry >= most and not waits) or pause >= seconds:
                raise outcome.failure
            refused = outcome.failure
            await asyncio.sleep(pause)
            seconds -= pause
            retry += not waits  # with fewer beside it, it is as good as new
        reply = outcome.reply
        choices: Any = cast("dict[str, Any]", reply).get("choices") if isinstance(reply, dict) else None
        if not choices or not isinstance(choices, list):
            raise self._refusals.strange()
        self._answered = True
        return cast("dict[str, Any]", reply)

    async def samples(self, request: Mapping[str, Any], *, alternatives: int) -> Reply:
        reply = await self.create(request)
        stop: Sequence[str] = request.get("stop", ())
        # Logprobs that were not asked for are none that the probe found to be any.
        telling = bool(request.get("logprobs") or request.get("top_logprobs"))

        def read() -> Reply:
            samples, tokens = read_samples(reply, alternatives=alternatives, stop=stop, telling=telling)
            return Reply(
                samples,
                tokens,
                untold=telling and any(map(is_untold, reply["choices"])),
                llamacpp=llamacpp_of(reply),
            )

        return self.understood(read)

    def understood(self, read: Callable[[], T]) -> T:
        """What *read* makes of a reply of the server, which may be JSON of any kind."""
        try:
            return read()
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            failure = self._refusals.strange()
        raise failure

    async def close(self) -> None:
        await self._client.close()

    async def _once(self, request: Mapping[str, Any], seconds: float, *, tentative: bool) -> _Outcome:
        """What comes of *request* within so many *seconds*. Its failure is not raised here: what the SDK's errors hold,
        and show as a cause, quotes prompts and keys."""
        openai: Any = import_module("openai")
        asked = self._client.chat.completions.with_raw_response.create
        begun = time.monotonic()
        try:
            raw = await asyncio.wait_for(asked(model=self._model, **request, extra_body=self._extra), seconds)
        except openai.APIStatusError as error:
            left = seconds - (time.monotonic() - begun)
            return await self._told(error, request, left, tentative=tentative)
        except (openai.APITimeoutError, TimeoutError):
            return _Outcome(failure=self._refusals.overdue())
        except openai.APIConnectionError as error:
            if (failure := self._refusals.unencrypted(error)) is not None:
                return _Outcome(failure=failure)
            return _Outcome(failure=self._refusals.lost(error), may_pass=True, once=was_cut(error))
        except (TypeError, ValueError) as error:
            return _Outcome(failure=self._refusals.unsent(error))
        try:
            reply: Any = raw.http_response.json()
        except (RecursionError, ValueError):
            return _Outcome(failure=self._refusals.strange())
        status = status_in(reply)
        if status is None:
            return _Outcome(reply=reply)
        error = openai.APIStatusError("", response=raw.http_response, body=reply["error"])
        error.status_code = status
        left = seconds - (time.monotonic() - begun)
        return await self._told(error, request, left, tentative=tentative)

    async def _told(self, error: Any, request: Mapping[str, Any], seconds: float, *, tentative: bool) -> _Outcome:
        """The failure that an error status stands for. An internal error may be one of the moment; what the server says
        it cannot do, or has no place for, it will not do the next time."""
        max_tokens = int(request.get("max_tokens") or request["max_completion_tokens"])
        failure = await self._refusals.told(
            error, max_tokens, seconds=seconds, answered=self._answered, tentative=tentative
        )
        headers: Mapping[str, str] = error.response.headers
        may_pass = isinstance(failure, (BusyError, BrokenError)) and headers.get("x-should-retry") != "false"
        pause = _asked_pause(headers) if may_pass else None
        if pause is not None:
            failure = type(failure)(
                f"{failure} It asks for {round(pause, 2):g} seconds until the next; see timeout_seconds."
            )
        once = error.status_code in _OVERDUE
        crowded = may_pass and error.status_code in _CROWDED and not isinstance(failure, LoadingError)
        return _Outcome(failure=failure, may_pass=may_pass, once=once, crowded=crowded, pause=pause)


async def together(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all; if one fails, the others are cancelled and its error raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _asked_pause(headers: Mapping[str, str]) -> float | None:
    """The seconds that a server asks for; some tell them more exactly than HTTP's own header does."""
    exact = _pause(headers.get("retry-after-ms", ""))
    return _pause(headers.get("retry-after", "")) if exact is None else exact / 1000


def _pause(retry_after: str) -> float | None:
    """The seconds that a Retry-After header asks for, which may name a date."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (OverflowError, ValueError):
            return None
    return seconds if 0 < seconds < math.inf else None


class Shared(Generic[T]):
    """A coroutine that is run once for all who wait for its result at the same time, and ends when the last of them
    leaves; where that one *lingers*, after *seconds* more, and what came of it is kept as what `lingered`. Belongs to
    one event loop."""

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, T]], *, seconds: float) -> None:
        self._begin = begin
        self._seconds = seconds
        self._task: asyncio.Task[T] | None = None
        self._waiting = 0
        self._end: asyncio.TimerHandle | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether it runs, or some who waited for its result have yet to be given it."""
        return self._task is not None and (self._waiting > 0 or not self._task.done())

    async def result(self, *, lingers: bool) -> T:
        if self._end is not None:
            self._end.cancel()
        if self._task is None:
            self._task = asyncio.create_task(self._begin())
            self._task.add_done_callback(self._ended)
        task = self._task
        self._waiting += 1
        try:
            # Awaited itself, it would be cancelled with who waits.
            await asyncio.wait([task])
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._leave(task, lingers=lingers)
        return task.result()

    def lingered(self) -> T | None:
        """The result of a run that ended after all had left; once."""
        task = self._task
        if task is None or self._waiting or not task.done() or task.cancelled() or task.exception() is not None:
            return None
        self._task = None
        return task.result()

    def _leave(self, task: asyncio.Task[T], *, lingers: bool) -> None:
        if lingers and not task.done():
            self._end = asyncio.get_running_loop().call_later(self._seconds, lambda: self._leave(task, lingers=False))
            return
        task.cancel()
        self._task = None

    def _ended(self, task: asyncio.Task[T]) -> None:
        failed = task.cancelled() or task.exception() is not None
        if self._waiting or self._task is not task:
            return
        if self._end is not None:
            self._end.cancel()
        if failed:
            # The next would be told of it as if it were new.
            self._task = None


def any_seed() -> int:
    """A seed that no other request has, as good as certainly, and from which a few more can be counted in 32 bits."""
    return secrets.randbelow(2**30)


def read_samples(
    reply: Mapping[str, Any], *, alternatives: int, stop: Sequence[str] = (), telling: bool = True
) -> tuple[list[Sample], int]:
    """The samples in a raw *reply*, with what it is *telling* of their tokens, and the prompt's tokens."""
    choices: list[dict[str, Any]] = reply["choices"]
    if not telling:
        choices = [{**choice, "logprobs": None} for choice in choices]
    usage: dict[str, Any] = reply.get("usage") or {}
    # Without logprobs only the sum is known, which is shared out.
    total = output_tokens_in(usage)
    shares = [total // len(choices) + (i < total % len(choices)) for i in range(len(choices))]
    alone = len(choices) == 1
    samples = [
        before(
            stop,
            read_reply(choice, alternatives=alternatives, output_tokens=share, alone=alone, stop=stop),
        )
        for choice, share in zip(choices, shares, strict=True)
    ]
    return samples, input_tokens_in(usage)


def llamacpp_of(reply: Mapping[str, Any]) -> str | None:
    """Which of the servers on llama.cpp gave it, as far as that is told."""
    told: Any = reply.get("system_fingerprint")
    if not told or not isinstance(told, str):
        return None
    if _LLAMA_SERVER.fullmatch(told):
        return "llama-server"
    return "Ollama" if told == "fp_ollama" else "LM Studio" if told == reply.get("model") else None


def before(stop: Sequence[str], sample: Sample) -> Sample:
    """The sample up to the first of the *stop* strings, which transformers serve leaves at the end of the text, and
    which some of a framework's models do not tell their server."""
    cut = min((at for at in (sample.text.find(string) for string in stop if string) if at >= 0), default=None)
    if cut is None:
        return sample
    return replace(saying(sample, sample.text[:cut].strip()), finish_reason="stop")
