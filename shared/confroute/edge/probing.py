"""What a server can, found out by short requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confroute.edge.choices import response_format
from confroute.edge.protocol import (
    BrokenError,
    Capabilities,
    Connection,
    OverdueError,
    RefusedError,
    read_samples,
    together,
)
from confroute.edge.replies import read_whole
from confroute.errors import ModelError
from confroute.records import Sample

PROBE = ({"role": "user", "content": "Make up a name for a boat."},)
_LIMITS = (8, 64, 512)
"""Tokens of a probe, and of those that follow while a reasoning model says nothing but thoughts."""
_SEVERAL: Mapping[str, Any] = {"n": 2}
_TELLING: Mapping[str, Any] = {"logprobs": True, "top_logprobs": 2}
# No model says that unless it is held to it.
_HELD: Mapping[str, Any] = {"response_format": response_format({"enum": ["zanzibarland"]}), "temperature": 0.0}
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
}


@dataclass(frozen=True, slots=True)
class _Told:
    """What a probe brought: the samples, without their thoughts and with them."""

    samples: Sequence[Sample] = ()
    whole: Sequence[Sample] = ()

    @property
    def said(self) -> list[str]:
        """What each of them said, as far as the server shows any of it."""
        said = [sample.text or "".join(sample.tokens or ()).strip() for sample in self.whole]
        return [each for each in said if each]

    @property
    def unfinished(self) -> bool:
        """Whether there was no place for an answer, after the thoughts perhaps."""
        return all(sample.is_empty and sample.finish_reason == "length" for sample in self.samples)


async def probed(connection: Connection) -> Capabilities:
    """Asks for two short samples with all that there is; if that is refused, for the parts. A ModelError if even the
    plainest request is refused."""
    try:
        many = told = await _probe(connection, {**_SEVERAL, **_TELLING})
    except RefusedError:
        many, told = await _try(connection, _SEVERAL), await _try(connection, _TELLING)
    again, held, called = await together(
        [_probe(connection, {}), _enough(connection, _HELD, _LIMITS), _enough(connection, CALLED, _LIMITS[1:])]
    )
    logprobs = any(sample.token_logprobs for sample in told.whole)
    said = [*many.said, *told.said, *again.said]
    return Capabilities(
        n=len(many.samples) > 1,
        logprobs=logprobs,
        alternatives=any(sample.alternatives for sample in told.whole),
        draws=await _draws(connection, said, _TELLING if logprobs else {}),
        json_schema=any(sample.text.startswith('"zan') for sample in held.samples),
        tools=any(sample.tool_calls for sample in called.samples),
    )


async def _draws(connection: Connection, said: Sequence[str], part: Mapping[str, Any]) -> bool:
    """Whether the samples differ that *said* something. If fewer than two did, others are drawn, and longer ones."""
    for limit in _LIMITS[1:]:
        if len(said) > 1:
            break
        # Compared with each other only: a longer sample differs from a shorter one in any case.
        longer = await together([_probe(connection, {**part, "max_tokens": limit}) for _ in range(2)])
        said = [each for told in longer for each in told.said]
    if len(said) < 2:
        raise ModelError(
            f"The edge model said nothing in {_LIMITS[-1]} tokens, so that it is not known whether its samples differ. "
            "If it is a reasoning model, have its server show the thoughts, or turn them off."
        )
    return len(set(said)) > 1


async def _enough(connection: Connection, part: Mapping[str, Any], limits: Sequence[int]) -> _Told:
    """What comes of a probe with the first of the *limits* that leaves place for an answer; nothing where the server
    refuses such requests, or breaks on them."""
    told = _Told()
    for limit in limits:
        try:
            told = await _try(connection, {**part, "max_tokens": limit})
        except BrokenError:
            return _Told()
        except OverdueError:
            if limit == limits[0]:
                raise
            # A slow server that thinks for long is not asked such things.
            return _Told()
        if not told.samples or not told.unfinished:
            break
    return told


async def _try(connection: Connection, part: Mapping[str, Any]) -> _Told:
    try:
        return await _probe(connection, part)
    except RefusedError:
        return _Told()


async def _probe(connection: Connection, part: Mapping[str, Any]) -> _Told:
    request = {"messages": PROBE, "max_tokens": _LIMITS[0], "temperature": 2.0, "top_p": 1.0, **part}
    reply = await connection.create(request)
    samples, _ = connection.understood(lambda: read_samples(reply, alternatives=2))
    whole = connection.understood(lambda: [read_whole(choice, alternatives=2) for choice in reply["choices"]])
    return _Told(samples, whole)
