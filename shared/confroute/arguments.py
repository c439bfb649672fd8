"""What the keyword arguments of a framework's call ask of the edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from confroute.errors import ConfigurationError
from confroute.records import SamplingOptions
from confroute.tools import offered
from confroute.wording import foreign_word, in_openai_words

_SAMPLING = {  # in the core's names
    "temperature": "temperature",
    "top_p": "top_p",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "stop": "stop",
    "seed": "seed",
}


def options_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `SamplingOptions` that *arguments* set. What the edge cannot do of them is left out (see
    `obstacle`); what has no meaning to it is the cloud's alone."""
    arguments = in_openai_words(arguments)
    given = {ours: arguments[name] for name, ours in _SAMPLING.items() if arguments.get(name) is not None}
    if isinstance(given.get("stop"), str):
        given["stop"] = [given["stop"]]
    given["stop"] = tuple(given.get("stop", ()))
    if schema := asked_schema(arguments.get("response_format")):
        given["json_schema"] = schema
    if tools := _tools(arguments):
        given["tools"], given["must_call"] = tools
        given["parallel_calls"] = arguments.get("parallel_tool_calls") is not False
    return given


def obstacle(arguments: Mapping[str, Any]) -> str | None:
    """What in *arguments* no edge can do, named; None if there is nothing."""
    arguments = in_openai_words(arguments)
    if arguments.get("functions"):
        return "functions"
    if arguments.get("tools") and _tools(arguments) is None:
        return "tools that are no functions"
    asked = arguments.get("response_format")
    if asked and asked_schema(asked) is None and _mapping(asked).get("type") != "text":
        return "a response format that is no JSON schema"
    if (arguments.get("n") or 1) != 1:
        return "several answers"
    if arguments.get("logprobs"):
        return "logprobs"
    if word := foreign_word(arguments):
        return word
    if any(arguments.get(name) is not None for name in _SAMPLING):
        try:
            SamplingOptions(**options_of(arguments))
        except (ConfigurationError, TypeError):
            # The cloud may know what they mean, such as -1 for no limit of tokens.
            return "sampling options of another kind"
    return None


def asked_schema(response_format: Any) -> Mapping[str, Any] | None:
    """The JSON schema in that parameter; None where it asks for something else."""
    asked = _mapping(_mapping(response_format).get("json_schema"))
    return _mapping(asked.get("schema")) or None


def _tools(arguments: Mapping[str, Any]) -> tuple[tuple[Mapping[str, Any], ...], bool] | None:
    return offered(arguments["tools"], arguments.get("tool_choice")) if arguments.get("tools") else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
