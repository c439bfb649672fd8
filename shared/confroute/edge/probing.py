"""What a server can, found out by short requests."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confroute.edge.choices import response_format
from confroute.edge.protocol import Capabilities, Connection, any_seed, llamacpp_of, read_samples, together
from confroute.edge.refusals import BrokenError, OverdueError, RefusedError, StrangeError, UnfitError
from confroute.edge.replies import read_whole
from confroute.errors import ContextLengthError, ModelError
from confroute.records import Sample

# Some servers refuse what they do not know, some break on it, and some answer it with the status 200 and an error.
_UNTAKEN = (BrokenError, RefusedError, StrangeError)
PROBE = ({"role": "user", "content": "Make up a name for a boat."},)
LONGEST = 512
_LIMITS = (8, 64, LONGEST)
"""Tokens of a probe, and of those that follow while a reasoning model says nothing but thoughts, or all of them begin
in the same way."""
_ALTERNATIVES = (20, 10, 5, 2)
"""How many alternatives of each token are tried for: no estimator of ours wants more."""
MOST_ALTERNATIVES = _ALTERNATIVES[0]
_CERTAIN = -1e-6
"""The logprob of a token that could have been no other, but for rounding."""
# No model says that unless it is held to it; some servers take no schema but of an object with properties.
_HELD: Mapping[str, Any] = {
    "response_format": response_format(
        {
            "type": "object",
            "properties": {"x": {"enum": ["zanzibarland"]}},
            "required": ["x"],
            "additionalProperties": False,
        }
    ),
    "temperature": 0.0,
}
_HELD_LIMITS = (16, *_LIMITS[1:])
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
class _Manner:
    """How the server has requests written: what they may say beside the messages, and how hot a probe may be."""

    temperature: float = 2.0
    top_p: bool = True
    seed: bool = True
    limit_name: str = "max_tokens"

    def without(self, *parameters: str) -> _Manner:
        """The manner of a server that refused these *parameters*, or speaks of them where it refused a request."""
        return _Manner(
            temperature=1.0 if "temperature" in parameters else self.temperature,
            top_p=self.top_p and "top_p" not in parameters,
            seed=self.seed and "seed" not in parameters,
            limit_name="max_completion_tokens" if "max_completion_tokens" in parameters else self.limit_name,
        )

    def request(self, part: Mapping[str, Any], limit: int) -> dict[str, Any]:
        """A probe of so many tokens with this *part*, and a seed where it is not a greedy one."""
        request = {"messages": PROBE, self.limit_name: limit, "temperature": self.temperature, **part}
        if self.top_p:
            request["top_p"] = 1.0
        if self.seed and "temperature" not in part:
            request["seed"] = any_seed()
        return request


@dataclass(frozen=True, slots=True)
class _Told:
    """What a probe brought: the samples, without their thoughts and with them, and which of the servers on *llamacpp*
    gave them."""

    samples: Sequence[Sample] = ()
    whole: Sequence[Sample] = ()
    llamacpp: str | None = None

    @property
    def said(self) -> list[str]:
        """What each of them said, as far as the server shows any of it."""
        said = [sample.text or "".join(sample.tokens or ()).strip() for sample in self.whole]
        return [each for each in said if each]

    @property
    def unfinished(self) -> bool:
        """Whether there was no place for an answer, after the thoughts perhaps."""
        return all(sample.is_empty and sample.finish_reason == "length" for sample in self.samples)

    @property
    def logprobs(self) -> bool:
        return any(sample.token_logprobs for sample in self.whole)

    @property
    def certain(self) -> bool:
        """Whether no token could have been another, by its logprob."""
        return all(logprob > _CERTAIN for sample in self.whole for logprob in sample.token_logprobs or ())

    @property
    def alternatives(self) -> int:
        """The most that there are of a token."""
        return max((len(place) for sample in self.whole for place in sample.alternatives or ()), default=0)


@dataclass(frozen=True, slots=True)
class Known:
    """What a server *can*, found out *at* this time, by the monotonic clock; it had been lost so often before."""

    can: Capabilities
    at: float
    losses: int


async def dated(connection: Connection) -> Known:
    """What the server can, and when that was found out: a probe may have lingered for long."""
    losses = connection.losses
    return Known(await probed(connection), time.monotonic(), losses)


async def probed(connection: Connection) -> Capabilities:
    """Asks for two short samples with all that there is; if that is refused, for the parts. A ModelError if even the
    plainest request is refused."""
    prober = _Prober(connection, _Manner())
    again: _Told | None = None
    several: Mapping[str, Any] = {"n": 2, **_telling(_ALTERNATIVES[0])}
    try:
        many = told = await prober.told(several, tentative=True)
    except _UNTAKEN:
        manner, again = await _plainest(connection)
        many = told = _Told() if manner == prober.manner else await _Prober(connection, manner).told_if_taken(several)
        prober = _Prober(connection, manner)
        if not told.samples:
            several = {"n": 2}
            many, told = await prober.told_if_taken(several), await prober.most_telling()
    single: Mapping[str, Any] = _telling(told.alternatives or 1) if told.logprobs else {}
    n = len(many.samples) > 1
    # Without an n the requests for a prompt differ by their seeds alone, or by nothing, and a cache may answer for them
    # that takes no heed of a seed: so are those compared.
    alike = not n
    held, called, *plain = await together(
        [
            prober.enough(_HELD, _HELD_LIMITS),
            prober.enough(CALLED, _LIMITS[1:]),
            *([prober.told({})] if again is None or alike else []),
        ]
    )
    least = 0.0 if held.samples or called.samples else await prober.least_temperature()
    if least:
        # Both were greedy.
        held, called = await together(
            [
                prober.enough({**_HELD, "temperature": least}, _HELD_LIMITS),
                prober.enough({**CALLED, "temperature": least}, _LIMITS[1:]),
            ]
        )
    if again is not None:
        plain.append(again)
    elif alike:
        plain.append(await prober.told({}))  # a cache has only what was answered before
    telling = [many] if told is many else [many, told]
    compared = plain if alike else [*telling, *plain]
    within, apart = await prober.differ(compared, several if n else single, single, alike=alike)
    # Samples that differ cannot all be certain.
    said = {each for one in (*telling, *plain) for each in one.said}
    logprobs = told.logprobs and not (told.certain and len(said) > 1)
    return Capabilities(
        n=n and (within or not apart),
        logprobs=logprobs,
        alternatives=told.alternatives if logprobs else 0,
        draws=apart,
        json_schema=any('"zan' in sample.text for sample in held.samples),
        tools=any(sample.tool_calls for sample in called.samples),
        seeds=prober.manner.seed,
        whole_top_p=prober.manner.top_p,
        least_temperature=least,
        limit_name=prober.manner.limit_name,
        llamacpp=held.llamacpp or called.llamacpp,
    )


def _telling(alternatives: int) -> Mapping[str, Any]:
    return {"logprobs": True, "top_logprobs": alternatives}


async def _plainest(connection: Connection) -> tuple[_Manner, _Told]:
    """The manner in which the server takes the plainest request, and what comes of it. What it does not like it may
    name; else all is left out that may be, and what it takes of that found out."""
    manner = _Manner()
    failure: ModelError | None = None
    while True:
        try:
            return manner, await _Prober(connection, manner).told({})
        except _UNTAKEN as error:
            failure = failure or error
            named = manner.without(*(error.named if isinstance(error, RefusedError) else ()))
        if named == manner:
            break
        manner = named
    barest = manner.without("seed", "top_p", "temperature")
    told = await _Prober(connection, barest).told_if_taken({})
    if not told.samples:
        raise failure
    for one in ("seed", "top_p", "temperature"):
        other = await _Prober(connection, manner.without(one)).told_if_taken({})
        if other.samples:
            return manner.without(one), other
    return barest, told


@dataclass(frozen=True, slots=True)
class _Prober:
    """Asks in one manner."""

    connection: Connection
    manner: _Manner

    async def told(self, part: Mapping[str, Any], limit: int = _LIMITS[0], *, tentative: bool = False) -> _Told:
        """What comes of a probe of so many tokens, with this *part*."""
        reply = await self.connection.create(self.manner.request(part, limit), tentative=tentative)
        most = _ALTERNATIVES[0]
        try:
            samples, _ = self.connection.understood(lambda: read_samples(reply, alternatives=most))
            whole = self.connection.understood(
                lambda: [read_whole(each, alternatives=most) for each in reply["choices"]]
            )
        except ModelError as error:
            # An answer that was broken off, too.
            raise StrangeError(str(error)) from None
        return _Told(samples, whole, llamacpp_of(reply))

    async def told_if_taken(self, part: Mapping[str, Any], limit: int = _LIMITS[0]) -> _Told:
        """Nothing where the server refuses such requests, breaks on them, or has no place for so many tokens."""
        try:
            return await self.told(part, limit, tentative=True)
        except (*_UNTAKEN, ContextLengthError, UnfitError):
            return _Told()

    async def most_telling(self) -> _Told:
        """What comes of a request for logprobs and as many alternatives as it takes."""
        most, *fewer, least = _ALTERNATIVES
        told = await self.told_if_taken(_telling(most))
        if told.samples:
            return told
        told = await self.told_if_taken(_telling(least))
        for number in fewer if told.alternatives else ():
            more = await self.told_if_taken(_telling(number))
            if more.samples:
                return more
        return told

    async def least_temperature(self) -> float:
        """The lowest temperature that it takes, of those that tell the kinds of servers apart."""
        for temperature in (0.0, 0.01):
            if (await self.told_if_taken({"temperature": temperature})).samples:
                return temperature
        return 1.0

    async def enough(self, part: Mapping[str, Any], limits: Sequence[int]) -> _Told:
        """What comes of a probe with the first of the *limits* that leaves place for an answer; nothing where the
        server refuses such requests, or breaks on them."""
        told = _Told()
        for limit in limits:
            try:
                told = await self.told_if_taken(part, limit)
            except OverdueError:
                if limit == limits[0]:
                    raise
                # A slow server that thinks for long is not asked such things.
                return _Told()
            if not told.samples or not told.unfinished:
                break
        return told

    async def differ(
        self, told: Sequence[_Told], pair: Mapping[str, Any], single: Mapping[str, Any], *, alike: bool
    ) -> tuple[bool, bool | None]:
        """Whether the samples differ of the first request of *told*, and those of several requests, None where they say
        nothing. As long as they do not, or say nothing, longer ones are drawn; of *alike* requests one after the other,
        for a cache has only what was answered before."""
        within, apart = len(told[0].samples) < 2, False
        firsts: list[str] = []
        for limit in (*_LIMITS[1:], 0):
            # Compared with those of the same length only: a longer sample differs from a shorter one in any case.
            firsts = [each.said[0] for each in told if each.said]
            within = within or len(set(told[0].said)) > 1
            apart = apart or len(set(firsts)) > 1
            if (within and apart) or not limit:
                break
            parts = [self.told_if_taken(part, limit) for part in (pair, single)]
            longer = [await part for part in parts] if alike else await together(parts)
            if not any(each.samples for each in longer):
                break
            told = longer
        return within, (apart if apart or len(firsts) > 1 else None)
