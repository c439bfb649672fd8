"""Tools that an answer may call: what a request offers, and what is to be said of the calls an answer makes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from confroute.json_schema import is_valid
from confroute.records import Message, Sample, SamplingOptions, ToolCall
from confroute.subschemas import rewritten

Tool = Mapping[str, Any]

_ANY_CALL = ("required", "any", True)  # OpenAI's word, and what LangChain writes for it


def offered(tools: Any, choice: Any = None) -> tuple[tuple[Tool, ...], bool] | None:
    """The tools that the edge may call for a request's ``tools`` and ``tool_choice``, and whether it has to call one.
    None where one of them is no function in OpenAI's form, as the tools that a provider runs itself are not.

    >>> tools = [{"type": "function", "function": {"name": name}} for name in ("add", "sub")]
    >>> offered(tools, "sub")
    (({'type': 'function', 'function': {'name': 'sub'}},), True)
    """
    if not isinstance(tools, Sequence) or not all(_is_function(tool) for tool in cast("Sequence[Any]", tools)):
        return None
    known = tuple(cast("Sequence[Tool]", tools))
    if choice is None or choice in ("auto", False):
        return known, False
    if choice == "none":
        return (), False
    if choice in _ANY_CALL:
        return known, bool(known)
    name = choice["function"].get("name") if _is_function(choice) else choice
    named = tuple(tool for tool in known if tool["function"]["name"] == name)
    return (named, True) if named else None


def are_wanted(messages: Sequence[Message], options: SamplingOptions) -> bool:
    """Whether the engine has to know tools: they are offered, or were called in an earlier turn."""
    return bool(options.tools) or any(
        message.get("role") == "tool" or message.get("tool_calls") for message in messages
    )


def _is_function(tool: Any) -> bool:
    """Whether it is OpenAI's ``{"type": "function", "function": {"name": ...}}``."""
    if not isinstance(tool, Mapping):
        return False
    function = cast("Tool", tool).get("function")
    return isinstance(function, Mapping) and isinstance(cast("Tool", function).get("name"), str)


def parameters(tool: Tool) -> Mapping[str, Any]:
    """The JSON schema of a tool's arguments."""
    return tool["function"].get("parameters") or {"type": "object", "properties": {}}


def with_parameters(
    tools: Sequence[Tool], written: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> tuple[Tool, ...]:
    """The *tools*, with each schema of arguments as it is *written*; those without one as they are."""
    return tuple(
        {**tool, "function": {**tool["function"], "parameters": written(parameters(tool))}}
        if tool["function"].get("parameters")
        else tool
        for tool in tools
    )


def answer_schema(options: SamplingOptions) -> Mapping[str, Any] | None:
    """What an answer's own words have to be JSON of: the schema asked for, or the call that has to be made, as an
    object of its name and arguments (see `as_call`). None where they are free."""
    if not options.must_call:
        return options.json_schema
    places = [f"/anyOf/{i}" for i in range(len(options.tools))] if len(options.tools) > 1 else [""]
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool["function"]["name"]},
                "arguments": _moved(parameters(tool), f"{place}/properties/arguments"),
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool, place in zip(options.tools, places, strict=True)
    ]
    return calls[0] if len(calls) == 1 else {"anyOf": calls}


def _moved(schema: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """The *schema* as it has to be where it stands at this *place* of another, which its references then begin at."""

    def moved(part: Mapping[str, Any]) -> Mapping[str, Any]:
        reference = part.get("$ref")
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            return part
        return {**part, "$ref": f"#{place}{reference[1:]}"}

    # One with a name of its own is what its references begin at, wherever it is.
    return schema if "$id" in schema else rewritten(schema, moved)


def as_call(sample: Sample) -> Sample:
    """*sample*, whose words are the JSON of a call, as one that calls."""
    try:
        call = read_call(json.loads(sample.text))
    except ValueError:
        call = ToolCall(name="", arguments=sample.text)
    reason = "tool_calls" if sample.finish_reason == "stop" else sample.finish_reason
    return replace(sample, text="", tool_calls=(call,), finish_reason=reason)


def read_call(function: Any) -> ToolCall:
    """The call of an object of its name and arguments, or their JSON; one without a name for anything else."""
    call: Tool = cast("Tool", function) if isinstance(function, Mapping) else {}
    arguments: Any = call.get("arguments") or {}
    name = call.get("name")
    return ToolCall(
        name=name if isinstance(name, str) else "",
        arguments=arguments if isinstance(arguments, str) else json.dumps(arguments),
    )


def objection(answer: Sample, options: SamplingOptions) -> str | None:
    """Why the calls that *answer* makes, or does not make, are not what *options* ask for; None if they are. Names
    no argument."""
    if options.tools and answer.finish_reason == "length":
        return "is cut short, maybe in the middle of a call or a number"
    if not answer.tool_calls:
        return "calls no tool, as it has to" if options.must_call else None
    if len(answer.tool_calls) > 1 and not options.parallel_calls:
        return "makes several calls at once, which it may not"
    known = {tool["function"]["name"]: parameters(tool) for tool in options.tools}
    for call in answer.tool_calls:
        if call.name not in known:
            return "calls a tool that there is not"
        if not is_valid(call.arguments, known[call.name]) or not is_valid(call.arguments, {"type": "object"}):
            return "calls a tool with arguments that are not of its JSON schema"
    return None


def comparable(sample: Sample) -> Sample:
    """*sample* with its calls as its text, in OpenAI's form, for estimators: what it says beside them is of no
    weight."""
    return replace(sample, text=json.dumps(list(map(as_openai, sample.tool_calls)))) if sample.tool_calls else sample


def as_openai(call: ToolCall) -> dict[str, Any]:
    """The call as a message's ``tool_calls`` has it, without its id."""
    return {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
