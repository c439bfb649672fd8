"""OpenAI's chat completions as servers of open models speak them: what they can, refuse and mean by an error."""

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

from confroute.edge.context_limits import shortage
from confroute.edge.replies import read_reply
from confroute.errors import ConfigurationError, ConfrouteError, ContextLengthError, ModelError
from confroute.records import Sample

T = TypeVar("T")

_BUSY = (408, 409, 425, 429)
"""Statuses of a server that may do later what it does not now, as those above 501 are."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
"""Seconds until a failed request is made again, doubled each time, where the server asks for no other wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a server does of what it is asked for. Some refuse what they do not know, some ignore it, and some answer
    null."""

    n: bool
    """Several samples in one request, which are no copies of each other where those of several requests are none."""
    logprobs: bool
    """The logprobs of the sampled tokens."""
    alternatives: bool
    """The most probable tokens at each place, with their logprobs."""
    draws: bool
    """Samples of several requests at a high temperature differ. Where they do not, their agreement says nothing."""
    json_schema: bool
    """Answers held to a JSON schema."""
    tools: bool
    """A tool is called where the question is for it: by the server's doing and the model's."""
    seeds: bool = True
    """A request may have a seed. Some servers have one of their own for those that have none, which then repeat each
    other."""


class RefusedError(ModelError):
    """The server takes no such request."""


class BusyError(ModelError):
    """The server has no time for the request, is starting or is not there, and says so."""


class BrokenError(ModelError):
    """The server broke on this request, as some do on what they do not know."""


class OverdueError(ModelError):
    """The server was too slow."""


class LostError(ModelError):
    """The server is out of reach, or broke off: the next at its address may be another."""


class FullError(ModelError):
    """The samples under way together outgrew the context that they share."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of a request that was made once: the *reply*, or the *failure*, which *may_pass* if the request is made
    again, after *pause* seconds where the server asks for that many."""

    reply: Any = None
    failure: ConfrouteError | None = None
    may_pass: bool = False
    pause: float | None = None


class Connection:
    """A client of one server and model, whose errors are confroute's. At most *most* requests are under way at the same
    time, each for at most *seconds*, its *retries* and the pauses before them included. Belongs to one event loop."""

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
    ) -> None:
        self._client = client
        self._model = model
        self._host = host
        self._extra = extra
        self._turns = asyncio.Semaphore(most)
        self._seconds = seconds
        self._retries = retries

    async def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The raw reply to a chat completion *request*, which is made again where that may help.

        Raises:
            ConfigurationError: the server refused the key or does not have the model.
            ContextLengthError: the prompt does not fit.
            RefusedError: it refused the request for another reason.
            BusyError: it has no time for it.
            BrokenError: it answered with an internal error.
            OverdueError: it was too slow.
            LostError: it was out of reach, or broke off.
            FullError: the samples do not fit together.
            ModelError: it failed, or replied with something else; or the request is none that can be sent.
        """
        seconds, retry = self._seconds, 0
        while True:
            # A request that pauses leaves its turn to others.
            async with self._turns:
                begun = time.monotonic()
                outcome = await self._once(request, seconds)
                seconds -= time.monotonic() - begun
            if outcome.failure is None:
                break
            pause = outcome.pause
            if pause is None:
                pause = min(_FIRST_PAUSE * 2**retry, _LONGEST_PAUSE) * random.uniform(0.75, 1.0)  # noqa: S311
            if not outcome.may_pass or retry == self._retries or pause >= seconds:
                raise outcome.failure
            await asyncio.sleep(pause)
            seconds -= pause
            retry += 1
        reply = outcome.reply
        choices: Any = cast("dict[str, Any]", reply).get("choices") if isinstance(reply, dict) else None
        if not choices or not isinstance(choices, list):
            raise self._strange()
        return cast("dict[str, Any]", reply)

    async def samples(self, request: Mapping[str, Any], *, alternatives: int) -> tuple[list[Sample], int]:
        """The samples in the reply to *request*, as many as the server gave, and the prompt's tokens."""
        reply = await self.create(request)
        stop: Sequence[str] = request.get("stop", ())
        return self.understood(lambda: read_samples(reply, alternatives=alternatives, stop=stop))

    def understood(self, read: Callable[[], T]) -> T:
        """What *read* makes of a reply of the server, which may be JSON of any kind."""
        try:
            return read()
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            failure = self._strange()
        raise failure

    async def close(self) -> None:
        await self._client.close()

    async def _once(self, request: Mapping[str, Any], seconds: float) -> _Outcome:
        """What comes of *request* within so many *seconds*. Its failure is not raised here: what the SDK's errors hold,
        and show as a cause, quotes prompts and keys."""
        openai: Any = import_module("openai")
        asked = self._client.chat.completions.with_raw_response.create
        try:
            raw = await asyncio.wait_for(asked(model=self._model, **request, extra_body=self._extra), seconds)
        except openai.APIStatusError as error:
            return await self._told(error, int(request["max_tokens"]))
        except (openai.APITimeoutError, asyncio.TimeoutError):
            return _Outcome(
                failure=OverdueError(
                    f'The server at {self._host} did not answer "{self._model}" in time; see timeout_seconds.'
                )
            )
        except openai.APIConnectionError as error:
            lost = LostError(
                f"The server at {self._host} cannot be reached, or broke off "
                f"({type(error.__cause__ or error).__name__}). Is it running?"
            )
            return _Outcome(failure=lost, may_pass=True)
        except ValueError:
            return _Outcome(
                failure=ModelError(
                    f'The messages for "{self._model}", or what goes with them, cannot be encoded and were not sent. '
                    "They may hold half of a surrogate pair, which is no text."
                )
            )
        try:
            return _Outcome(reply=raw.http_response.json())
        except ValueError:
            return _Outcome(failure=self._strange())

    async def _told(self, error: Any, max_tokens: int) -> _Outcome:
        """The failure that an error status stands for. An internal error may be one of the moment; what the server says
        it cannot do, or has no place for, it will not do the next time."""
        failure = await self._explained(error, max_tokens)
        may_pass = isinstance(failure, (BusyError, BrokenError)) and error.status_code != 501
        pause = _pause(error.response.headers.get("retry-after", "")) if may_pass else None
        if pause is not None:
            failure = type(failure)(
                f"{failure} It asks for {round(pause, 2):g} seconds until the next; see timeout_seconds."
            )
        return _Outcome(failure=failure, may_pass=may_pass, pause=pause)

    async def _explained(self, error: Any, max_tokens: int) -> ConfrouteError:
        """What an error status means. The server's own text may quote the prompt and is left out."""
        status = int(error.status_code)
        if status in (401, 403):
            return ConfigurationError(f"The server at {self._host} refused the api_key.")
        body: Any = error.body
        details = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
        # TGI and LM Studio have nothing but the text.
        told: tuple[Any, ...] = error.body, *(details.get(key) for key in ("message", "detail", "error"))
        text = next((given for given in told if isinstance(given, str)), "")
        if status == 404 or (status == 400 and await self._misnamed(text)):
            return ConfigurationError(
                f'The server at {self._host} has no model "{self._model}", or its API begins at another base_url. '
                f"{await self._served()}"
            )
        if status >= 500 and text.startswith("Context size has been exceeded"):
            return FullError(
                f'The context of "{self._model}" on the server at {self._host}, which requests under way together '
                "share, is full. Give the server a larger one, or ask it fewer things at a time."
            )
        short = shortage(details, text)
        if short is not None and short.prompt and short.context:
            return ContextLengthError(short.prompt, max_tokens, short.context, at_least=short.at_least)
        what = f'a request to "{self._model}" (status {status})'
        if status in (400, 413, 422):
            if short is not None:
                return ModelError(f"The server at {self._host} refused {what}: the prompt does not fit its context.")
            return RefusedError(f"The server at {self._host} refused {what}.")
        kind = BrokenError if status in (500, 501) else BusyError if status in _BUSY or status > 501 else ModelError
        return kind(f"The server at {self._host} failed on {what}.")

    async def _misnamed(self, text: str) -> bool:
        """Whether a refusal is one of the model's name. transformers serve, started for one model, has no status for
        it; llama-server goes by another name in its list, but takes any."""
        names = await self._names() if re.search(rf"""['"`]{re.escape(self._model)}['"`]""", text) else []
        return bool(names) and self._model not in names

    async def _served(self) -> str:
        names = await self._names()
        return f"It has: {', '.join(names[:20])}." if names else "It does not tell which models it has."

    async def _names(self) -> list[str]:
        try:
            return [model.id for model in (await asyncio.wait_for(self._client.models.list(), self._seconds)).data]
        except Exception:
            # They complete an error, which says what is wrong without them.
            return []

    def _strange(self) -> ModelError:
        return ModelError(f"The server at {self._host} did not reply with a chat completion.")


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
    leaves. Belongs to one event loop."""

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._begin = begin
        self._task: asyncio.Future[T] | None = None
        self._waiting = 0

    async def result(self) -> T:
        task = self._task = self._task or asyncio.ensure_future(self._begin())
        self._waiting += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting -= 1
            if not self._waiting:
                task.cancel()
                self._task = None


def any_seed() -> int:
    """A seed that no other request has, as good as certainly, and from which a few more can be counted in 32 bits."""
    return secrets.randbelow(2**30)


def read_samples(reply: Mapping[str, Any], *, alternatives: int, stop: Sequence[str] = ()) -> tuple[list[Sample], int]:
    """The samples in a raw *reply*, and the prompt's tokens."""
    choices: list[dict[str, Any]] = reply["choices"]
    usage: dict[str, Any] = reply.get("usage") or {}
    # Without logprobs only the sum is known, which is shared out.
    total = int(usage.get("completion_tokens") or 0)
    shares = [total // len(choices) + (i < total % len(choices)) for i in range(len(choices))]
    alone = len(choices) == 1
    samples = [
        _before(stop, read_reply(choice, alternatives=alternatives, output_tokens=share, alone=alone))
        for choice, share in zip(choices, shares, strict=True)
    ]
    return samples, int(usage.get("prompt_tokens") or 0)


def _before(stop: Sequence[str], sample: Sample) -> Sample:
    """The sample up to the first of the *stop* strings, which transformers serve leaves at the end of the text."""
    cut = min((at for at in (sample.text.find(string) for string in stop if string) if at >= 0), default=None)
    if cut is None:
        return sample
    return replace(sample, text=sample.text[:cut].strip(), finish_reason="stop")
