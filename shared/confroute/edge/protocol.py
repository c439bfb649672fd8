"""OpenAI's chat completions as servers of open models speak them: what they can, refuse and mean by an error."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

from confroute.edge.context_limits import shortage
from confroute.edge.replies import read_reply
from confroute.errors import ConfigurationError, ConfrouteError, ContextLengthError, ModelError
from confroute.records import Sample

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a server does of what it is asked for. Some refuse what they do not know, some ignore it, and some answer
    null."""

    n: bool
    """Several samples in one request."""
    logprobs: bool
    """The logprobs of the sampled tokens."""
    alternatives: bool
    """The most probable tokens at each place, with their logprobs."""
    draws: bool
    """Samples at a high temperature differ. Where they do not, their agreement says nothing."""
    json_schema: bool
    """Answers held to a JSON schema."""
    tools: bool
    """A tool is called where the question is for it: by the server's doing and the model's."""


class RefusedError(ModelError):
    """The server takes no such request."""


class BrokenError(ModelError):
    """The server broke on this request, as some do on what they do not know."""


class OverdueError(ModelError):
    """The server was too slow."""


class LostError(ModelError):
    """The server is out of reach, or broke off: the next at its address may be another."""


class FullError(ModelError):
    """The samples under way together outgrew the context that they share."""


class Connection:
    """A client of one server and model, whose errors are confroute's. At most *most* requests are under way at the same
    time, each for at most *seconds*, its retries included. Belongs to one event loop."""

    def __init__(
        self, client: Any, model: str, host: str, extra: Mapping[str, Any], *, most: int, seconds: float
    ) -> None:
        self._client = client
        self._model = model
        self._host = host
        self._extra = extra
        self._turns = asyncio.Semaphore(most)
        self._seconds = seconds

    async def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The raw reply to a chat completion *request*.

        Raises:
            ConfigurationError: the server refused the key or does not have the model.
            ContextLengthError: the prompt does not fit.
            RefusedError: it refused the request for another reason.
            BrokenError: it answered with an internal error.
            OverdueError: it was too slow.
            LostError: it was out of reach, or broke off.
            FullError: the samples do not fit together.
            ModelError: it failed, or replied with something else.
        """
        openai: Any = import_module("openai")
        asked = self._client.chat.completions.with_raw_response.create
        reply: Any = None
        # Raised below, not there: what the SDK's errors hold, and show as a cause, quotes prompts and keys.
        failure: ConfrouteError | None = None
        async with self._turns:
            try:
                raw = await asyncio.wait_for(asked(model=self._model, **request, extra_body=self._extra), self._seconds)
                reply = raw.http_response.json()
            except openai.APIStatusError as error:
                failure = await self._explained(error, int(request["max_tokens"]))
            except (openai.APITimeoutError, asyncio.TimeoutError):
                failure = OverdueError(
                    f'The server at {self._host} did not answer "{self._model}" in time; see timeout_seconds.'
                )
            except openai.APIConnectionError as error:
                failure = LostError(
                    f"The server at {self._host} cannot be reached, or broke off "
                    f"({type(error.__cause__ or error).__name__}). Is it running?"
                )
            except ValueError:
                failure = self._strange()
        if failure is not None:
            raise failure
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
        # The others from 500 on are said for a server that is busy, starting or not there.
        kind = BrokenError if status in (500, 501) else ModelError
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


def read_samples(reply: Mapping[str, Any], *, alternatives: int, stop: Sequence[str] = ()) -> tuple[list[Sample], int]:
    """The samples in a raw *reply*, and the prompt's tokens."""
    choices: list[dict[str, Any]] = reply["choices"]
    usage: dict[str, Any] = reply.get("usage") or {}
    # Without logprobs only the sum is known, which is shared out.
    total = int(usage.get("completion_tokens") or 0)
    shares = [total // len(choices) + (i < total % len(choices)) for i in range(len(choices))]
    samples = [
        _before(stop, read_reply(choice, alternatives=alternatives, output_tokens=share))
        for choice, share in zip(choices, shares, strict=True)
    ]
    return samples, int(usage.get("prompt_tokens") or 0)


def _before(stop: Sequence[str], sample: Sample) -> Sample:
    """The sample up to the first of the *stop* strings, which transformers serve leaves at the end of the text."""
    cut = min((at for at in (sample.text.find(string) for string in stop if string) if at >= 0), default=None)
    if cut is None:
        return sample
    return replace(sample, text=sample.text[:cut].strip(), finish_reason="stop")
