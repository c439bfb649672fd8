"""OpenAI's chat completions as servers of open models speak them: what they can, refuse and mean by an error."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, TypeVar, cast

from confroute.edge.choices import read_choice, response_format
from confroute.errors import ConfigurationError, ConfrouteError, ContextLengthError, ModelError
from confroute.records import Sample

T = TypeVar("T")

_CONTEXT = re.compile(r"context (?:length|size|window)\D*?(\d+)", re.IGNORECASE)
_PROMPT = re.compile(
    r"(\d+) (?:in the messages|input tokens|tokens in the (?:messages|prompt))|"
    r"(?:input|prompt)(?: contains| has)?(?: at least)? \(?(\d+)",
    re.IGNORECASE,
)


PROBE = ({"role": "user", "content": "Make up a name for a boat."},)
# No model says that unless it is held to it.
_HELD = {"response_format": response_format({"enum": ["zanzibarland"]}), "temperature": 0.0}
# No server has a tool called for this that does not show its model the tools; some take no other choice than "auto".
CALLED: Mapping[str, Any] = {
    "messages": ({"role": "user", "content": "What is the weather in Paris now? Look it up."},),
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "Look up what the weather in a city is now.",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}},
                    "required": ["city"],
                },
            },
        }
    ],
    "temperature": 0.0,
    "max_tokens": 64,
}


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


class Connection:
    """A client of one server and model, whose errors are confroute's. Belongs to one event loop."""

    def __init__(self, client: Any, model: str, host: str, extra: Mapping[str, Any]) -> None:
        self._client = client
        self._model = model
        self._host = host
        self._extra = extra

    async def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The raw reply to a chat completion *request*.

        Raises:
            ConfigurationError: the server refused the key or does not have the model.
            ContextLengthError: the prompt does not fit.
            RefusedError: it refused the request for another reason.
            ModelError: it failed, was too slow or out of reach, or replied with something else.
        """
        openai: Any = import_module("openai")
        try:
            raw = await self._client.chat.completions.with_raw_response.create(
                model=self._model, **request, extra_body=self._extra
            )
            reply: Any = raw.http_response.json()
        except openai.APIStatusError as error:
            raise await self._explained(error, int(request["max_tokens"])) from error
        except openai.APITimeoutError as error:
            raise ModelError(
                f'The server at {self._host} did not answer "{self._model}" in time; see timeout_seconds.'
            ) from error
        except openai.APIConnectionError as error:
            raise ModelError(f"The server at {self._host} cannot be reached, or broke off. Is it running?") from error
        except ValueError as error:
            raise self._strange() from error
        if not isinstance(reply, dict) or not cast("dict[str, Any]", reply).get("choices"):
            raise self._strange()
        return cast("dict[str, Any]", reply)

    async def samples(self, request: Mapping[str, Any], *, alternatives: int) -> tuple[list[Sample], int]:
        """The samples in the reply to *request*, as many as the server gave, and the prompt's tokens."""
        reply = await self.create(request)
        choices: list[dict[str, Any]] = reply["choices"]
        usage: dict[str, Any] = reply.get("usage") or {}
        # Without logprobs only the sum is known, which is shared out.
        total = int(usage.get("completion_tokens") or 0)
        shares = [total // len(choices) + (i < total % len(choices)) for i in range(len(choices))]
        stop: Sequence[str] = request.get("stop", ())
        try:
            samples = [
                _before(stop, read_choice(choice, alternatives=alternatives, output_tokens=share))
                for choice, share in zip(choices, shares, strict=True)
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise self._strange() from error
        return samples, int(usage.get("prompt_tokens") or 0)

    async def capabilities(self) -> Capabilities:
        """Asks for two short samples with all that there is; if that is refused, for the parts."""
        several, telling = {"n": 2}, {"logprobs": True, "top_logprobs": 2}
        try:
            many = told = await self._probe({**several, **telling})
        except RefusedError:
            many, told = await self._try(several), await self._try(telling)
        again, held, called = await together([self._try({}), self._try(_HELD), self._try(CALLED)])
        return Capabilities(
            n=len(many) > 1,
            logprobs=any(sample.token_logprobs for sample in told),
            alternatives=any(sample.alternatives for sample in told),
            draws=len({sample.text for sample in (*many, *told, *again)}) > 1,
            json_schema=any(sample.text.startswith('"zan') for sample in held),
            tools=any(sample.tool_calls for sample in called),
        )

    async def close(self) -> None:
        await self._client.close()

    async def _probe(self, part: Mapping[str, Any]) -> list[Sample]:
        request = {"messages": PROBE, "max_tokens": 8, "temperature": 2.0, "top_p": 1.0, **part}
        samples, _ = await self.samples(request, alternatives=2)
        return samples

    async def _try(self, part: Mapping[str, Any]) -> list[Sample]:
        try:
            return await self._probe(part)
        except RefusedError:
            return []

    async def _explained(self, error: Any, max_tokens: int) -> ConfrouteError:
        """What an error status means. The server's own text may quote the prompt and is left out."""
        status = int(error.status_code)
        if status in (401, 403):
            return ConfigurationError(f"The server at {self._host} refused the api_key.")
        body: Any = error.body
        details = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
        text = next((given for key in ("message", "detail") if isinstance(given := details.get(key), str)), "")
        if status == 404 or (status == 400 and await self._misnamed(text)):
            return ConfigurationError(
                f'The server at {self._host} has no model "{self._model}", or its API begins at another base_url. '
                f"{await self._served()}"
            )
        context = details.get("n_ctx") or _number(_CONTEXT, text)
        prompt = details.get("n_prompt_tokens") or _number(_PROMPT, text)
        if context and prompt:
            return ContextLengthError(prompt, max_tokens, context, at_least=f"at least {prompt}" in text)
        if status in (400, 413, 422):
            what = "the prompt may be too long for its context" if context else f"status {status}"
            return RefusedError(f'The server at {self._host} refused a request to "{self._model}" ({what}).')
        return ModelError(f'The server at {self._host} failed on a request to "{self._model}" (status {status}).')

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
            return [model.id async for model in self._client.models.list()]
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


def _before(stop: Sequence[str], sample: Sample) -> Sample:
    """The sample up to the first of the *stop* strings, which transformers serve leaves at the end of the text."""
    cut = min((at for at in (sample.text.find(string) for string in stop if string) if at >= 0), default=None)
    if cut is None:
        return sample
    return replace(sample, text=sample.text[:cut].strip(), finish_reason="stop")


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    return int(next(group for group in found.groups() if group)) if found else None
