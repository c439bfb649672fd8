"""What the keyword arguments of a framework's call, in OpenAI's names, ask of the edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from confroute.tools import offered

_SAMPLING = ("temperature", "top_p", "max_tokens", "stop", "seed")


def options_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `SamplingOptions` that *arguments* set. What the edge cannot do of them is left out (see
    `obstacle`); what has no meaning to it is the cloud's alone."""
    given = {name: arguments[name] for name in _SAMPLING if arguments.get(name) is not None}
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
    if arguments.get("functions"):
        return "functions"
    if arguments.get("tools") and _tools(arguments) is None:
        return "tools that are no functions"
    if arguments.get("response_format") and asked_schema(arguments["response_format"]) is None:
        return "a response format that is no JSON schema"
    return None


def asked_schema(response_format: Any) -> Mapping[str, Any] | None:
    """The JSON schema in that parameter; None where it asks for something else."""
    asked = _mapping(_mapping(response_format).get("json_schema"))
    return _mapping(asked.get("schema")) or None


def _tools(arguments: Mapping[str, Any]) -> tuple[tuple[Mapping[str, Any], ...], bool] | None:
    return offered(arguments["tools"], arguments.get("tool_choice")) if arguments.get("tools") else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
