"""What a request to a server says: that of a prompt, in as many parts as the server takes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, TypeAlias

from confroute.edge.choices import request_for_tools, response_format
from confroute.edge.cut_numbers import with_numbers_cut
from confroute.edge.grammars import held, held_tools
from confroute.edge.protocol import Capabilities, Reply, any_seed
from confroute.edge.times import with_patterns
from confroute.errors import ConfigurationError, UnsupportedRequestError
from confroute.records import Message, Sample, SamplingOptions
from confroute.tools import Tool, with_parameters

Request: TypeAlias = dict[str, Any]

_OWN = frozenset(
    "messages model n seed stream max_tokens max_completion_tokens temperature top_p stop logprobs top_logprobs "
    "response_format tools tool_choice".split()
)
"""What the engine sets itself, or counts on not to be set."""
_SEEDS = 2**32 - 1
"""How many seeds there are: some servers refuse longer ones, and to llama-server the last of 32 bits is any."""
_WITHOUT_HELD_CALLS = "Ollama"
"""It shows its model the tools, and has no grammar of them."""


def request_of(can: Capabilities, messages: Sequence[Message], options: SamplingOptions) -> Request:
    """What of the request all its parts have in common. UnsupportedRequestError where that has a schema which the
    server's grammars cannot hold."""
    options = _with_written(options, can.llamacpp)
    request: Request = {
        "messages": [dict(message) for message in messages],
        can.limit_name: options.max_tokens,
        "temperature": options.temperature,
        **request_for_tools(options),
    }
    if options.top_p < 1 or can.whole_top_p:
        request["top_p"] = options.top_p
    if options.stop:
        request["stop"] = list(options.stop)
    if options.json_schema is not None:
        request["response_format"] = response_format(options.json_schema)
    if can.logprobs:
        request["logprobs"] = True
    if can.alternatives:
        # With 0 of them llama.cpp leaves the sampled token's own logprob out, too.
        request["top_logprobs"] = min(max(1, options.alternatives), can.alternatives)
    return request


def _with_written(options: SamplingOptions, llamacpp: str | None) -> SamplingOptions:
    """With the schemas that the server holds its model to as they say the same to its grammars: in the words of
    *llamacpp*'s, or for others with patterns for times, of which they make up a zone."""
    holds_calls = options.must_call if llamacpp is None else llamacpp != _WITHOUT_HELD_CALLS
    tools = options.tools if holds_calls else ()
    if options.json_schema is None and not tools:
        return options
    try:
        # Any mapping is an object.
        told = json.dumps([options.json_schema, tools], default=dict)
    except (RecursionError, TypeError, ValueError):
        failure = UnsupportedRequestError("The JSON schema, or a tool, has no form in JSON.")
    else:
        schema, tools = _written(told, is_llamacpp=llamacpp is not None)
        return replace(options, json_schema=schema, tools=tools or options.tools)
    raise failure


@lru_cache(maxsize=32)
def _written(told: str, *, is_llamacpp: bool) -> tuple[dict[str, Any] | None, tuple[Tool, ...]]:
    """Remembered, by what is *told* of them in JSON: to write the schemas of ten large tools takes some 15 ms, in which
    nobody else is answered."""
    schema, tools = json.loads(told)
    if is_llamacpp:
        return None if schema is None else held(schema), held_tools(tools)
    tools = with_parameters(tools, partial(with_patterns, short=True))
    return None if schema is None else with_patterns(schema), tools


def seed_of(can: Capabilities, options: SamplingOptions) -> int | None:
    """The first of a prompt's seeds. Without one, those of its requests would be copies of each other where the server
    has a seed of its own; a router, too, spreads them over several."""
    drawn = options.seed is None and options.temperature > 0 and can.seeds
    return any_seed() if drawn else options.seed


def parts_of(request: Request, n: int, most: int, seed: int | None) -> list[Request]:
    """The requests for *n* samples that ask for at most *most* each, with the seeds from *seed* on."""
    return [
        {
            **request,
            **({} if seed is None else {"seed": (seed + begin) % _SEEDS}),
            # Some servers do not know an n, and some refuse what they do not know.
            **({"n": size} if (size := min(most, n - begin)) > 1 else {}),
        }
        for begin in range(0, n, most)
    ]


def size_of(part: Request) -> int:
    """How many samples this *part* of a request asks for."""
    return part.get("n", 1)


def samples_of(reply: Reply, can: Capabilities, part: Request, options: SamplingOptions) -> Sequence[Sample]:
    """Those that this *part* of a request asked for, as cut short where the server's grammar may have ended a number:
    it may be another server's by now than that which *can*, and was sent schemas in its words."""
    drawn = reply.samples[: size_of(part)]
    if reply.llamacpp is None:
        return drawn
    calls = reply.llamacpp != _WITHOUT_HELD_CALLS
    return [with_numbers_cut(one, options, held=can.llamacpp is not None, calls=calls) for one in drawn]


def checked_extra(extra: Mapping[str, Any]) -> dict[str, Any]:
    """What goes with each request. ConfigurationError for what cannot, or is the engine's to set."""
    if taken := _OWN & set(extra):
        raise ConfigurationError(
            f"extra cannot set {', '.join(sorted(taken))}: the engine does, from what each request is for."
        )
    try:
        json.dumps(extra, allow_nan=False, ensure_ascii=False).encode()
    except (RecursionError, TypeError, ValueError):
        failure = ConfigurationError("extra must be what JSON has a form for: texts, finite numbers and the like.")
    else:
        return dict(extra)
    raise failure
