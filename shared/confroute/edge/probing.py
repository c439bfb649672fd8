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
    any_seed,
    read_samples,
    together,
)
from confroute.edge.replies import read_whole
from confroute.errors import ModelError
from confroute.records import Sample

PROBE = ({"role": "user", "content": "Make up a name for a boat."},)
_LIMITS = (8, 64, 512)
"""Tokens of a probe, and of those that follow while a reasoning model says nothing but thoughts, or all of them begin
in the same way."""
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
    """What a probe brought: the samples, without their thoughts and with them, and whether it had a seed."""

    samples: Sequence[Sample] = ()
    whole: Sequence[Sample] = ()
    seeded: bool = False

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
        several: Mapping[str, Any] = {**_SEVERAL, **_TELLING}
        many = told = await _probe(connection, {**several, **_seeded()})
    except (BrokenError, RefusedError):
        several = _SEVERAL
        many, told = await _try(connection, several), await _try(connection, _TELLING)
    again, held, called = await together(
        [_again(connection), _enough(connection, _HELD, _LIMITS), _enough(connection, CALLED, _LIMITS[1:])]
    )
    logprobs = any(sample.token_logprobs for sample in told.whole)
    single: Mapping[str, Any] = _TELLING if logprobs else {}
    n = len(many.samples) > 1
    requests = [many, again] if told is many else [many, told, again]
    within, apart = await _differ(connection, requests, several if n else single, single, again.seeded)
    return Capabilities(
        n=n and (within or not apart),
        logprobs=logprobs,
        alternatives=any(sample.alternatives for sample in told.whole),
        draws=apart,
        json_schema=any(sample.text.startswith('"zan') for sample in held.samples),
        tools=any(sample.tool_calls for sample in called.samples),
        seeds=again.seeded,
    )


async def _differ(
    connection: Connection, told: Sequence[_Told], pair: Mapping[str, Any], single: Mapping[str, Any], seeds: bool
) -> tuple[bool, bool]:
    """Whether the samples differ of the first request of *told*, and those of several requests. As long as they do not,
    or say nothing, longer ones are drawn."""
    within, apart = len(told[0].samples) < 2, False
    firsts: list[str] = []
    for limit in (*_LIMITS[1:], 0):
        # Compared with those of the same length only: a longer sample differs from a shorter one in any case.
        firsts = [each.said[0] for each in told if each.said]
        within = within or len(set(told[0].said)) > 1
        apart = apart or len(set(firsts)) > 1
        if (within and apart) or not limit:
            break
        longer = [{**part, **(_seeded() if seeds else {}), "max_tokens": limit} for part in (pair, single)]
        told = await together([_try(connection, part) for part in longer])
    if not apart and len(firsts) < 2:
        raise ModelError(
            f"The edge model said nothing in {_LIMITS[-1]} tokens, so that it is not known whether its samples differ. "
            "If it is a reasoning model, have its server show the thoughts, or turn them off."
        )
    return within, apart


async def _again(connection: Connection) -> _Told:
    """What comes of the plainest request, with a seed if the server takes one."""
    try:
        return await _probe(connection, _seeded())
    except (BrokenError, RefusedError):
        return await _probe(connection, {})


def _seeded() -> dict[str, Any]:
    return {"seed": any_seed()}


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
    return _Told(samples, whole, "seed" in part)
