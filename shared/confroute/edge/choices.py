"""What OpenAI-style chat completions ask for and answer with, in the core's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confroute.errors import ModelError
from confroute.records import Alternatives, Sample, SamplingOptions
from confroute.tools import read_call

_BROKEN_OFF = ("abort", "error", "content_filter")


def read_choice(choice: Mapping[str, Any], *, alternatives: int = 0, output_tokens: int = 0) -> Sample:
    """The sample, with this many *alternatives* of each token where the choice tells them. A choice without token
    logprobs, or with null ones, has None for them, and *output_tokens* is what it is counted as. One that is not all
    that the model would have said, for another reason than its length, is a ModelError."""
    reason: Any = choice.get("finish_reason") or "stop"
    if reason in _BROKEN_OFF:
        raise ModelError(f'The edge model\'s answer was broken off, "{reason}" is told as the reason.')
    logprobs: Mapping[str, Any] = choice.get("logprobs") or {}
    tokens: list[dict[str, Any]] = logprobs.get("content") or []
    if any(token.get("logprob") is None for token in tokens):
        tokens = []
    # The end-of-turn token of llama.cpp comes along as a token without text; it is no part of the answer.
    if len(tokens) > 1 and not tokens[-1]["token"]:
        tokens = tokens[:-1]
    message: Mapping[str, Any] = choice["message"]
    return Sample(
        text=(message.get("content") or "").strip(),
        tool_calls=tuple(read_call(call["function"]) for call in message.get("tool_calls") or ()),
        token_logprobs=tuple(float(token["logprob"]) for token in tokens) or None,
        tokens=tuple(str(token["token"]) for token in tokens) or None,
        alternatives=tuple(_likeliest(token["top_logprobs"], alternatives) for token in tokens)
        if alternatives and tokens and all(token.get("top_logprobs") for token in tokens)
        else None,
        output_tokens=len(tokens) or output_tokens,
        finish_reason=reason,
    )


def _likeliest(told: Sequence[Mapping[str, Any]], most: int) -> Alternatives:
    # vLLM tells the drawn token first, whatever its probability.
    ordered = sorted(told, key=lambda other: -other["logprob"])
    return tuple((str(other["token"]), float(other["logprob"])) for other in ordered[:most])


def request_for_tools(options: SamplingOptions) -> dict[str, Any]:
    """The parameters that offer the tools of *options*."""
    if not options.tools:
        return {}
    if not options.must_call:
        return {"tools": list(options.tools)}
    # vLLM holds the arguments to their schema only where the tool says so.
    strict = [{**tool, "function": {**tool["function"], "strict": True}} for tool in options.tools]
    return {"tools": strict, "tool_choice": "required"}


def response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The parameter of that name that holds an answer to a JSON *schema*."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema), "strict": True}}
