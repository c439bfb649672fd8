"""The laws of answers in a form: JSON of a schema, and calls of tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from confroute.conformance.holding import hold
from confroute.conformance.subject import Subject, named, refusal, user
from confroute.errors import UnsupportedRequestError
from confroute.json_schema import is_valid
from confroute.records import Message, SamplingOptions
from confroute.tools import objection

_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"kind": {"enum": ["town", "village"]}, "old": {"type": "boolean"}},
    "required": ["kind", "old"],
    "additionalProperties": False,
}
_TOOLS: Final = tuple(
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"The {name} of a country.",
            "parameters": {
                "type": "object",
                "properties": {"country": {"type": "string", "maxLength": 20}},
                "required": ["country"],
                "additionalProperties": False,
            },
        },
    }
    for name in ("capital", "language")
)
_ROOM: Final = 128
"""Tokens: more than any answer of the schema needs, or any call, with some white space."""


def is_of_its_schema(subject: Subject) -> str | None:
    if not getattr(subject.engine, "json_schema", False):
        return "It takes no JSON schema."
    question = user(f"{subject.question} Reply in JSON.")
    try:
        asked = subject.ask(question, n=2, temperature=1.0, max_tokens=subject.room(_ROOM), json_schema=_SCHEMA)
    except UnsupportedRequestError as error:
        return str(error)  # a server that cannot, which the engine found out
    ended = [sample for sample in asked.samples if sample.finish_reason != "length"]
    hold(ended, f"No answer ends in {subject.room(_ROOM)} tokens, though those of the schema are short.")
    hold(all(is_valid(sample.text, _SCHEMA) for sample in ended), "An answer is not of its schema.")
    none = {"type": "zanzibarland"}
    caught = refusal(lambda: subject.ask(question, max_tokens=4, json_schema=none))
    hold(isinstance(caught, UnsupportedRequestError), f"A schema that is none gives {named(caught)}.")
    return None


def calls_tools(subject: Subject) -> str | None:
    if not getattr(subject.engine, "tools", False):
        return "It takes no tools."
    question = user(subject.question)
    options: dict[str, Any] = {"temperature": 1.0, "max_tokens": subject.room(_ROOM), "tools": _TOOLS}
    try:
        asked = subject.ask(question, n=2, must_call=True, **options)
    except UnsupportedRequestError as error:
        return str(error)  # a model that was not made for tools
    ended = [sample for sample in asked.samples if sample.finish_reason != "length"]
    hold(ended, f"No answer that has to call a tool ends in {subject.room(_ROOM)} tokens.")
    for sample in ended:
        problem = objection(sample, SamplingOptions(must_call=True, **options))
        hold(problem is None, f"An answer that has to call a tool {problem}.")
    call = {"id": "1", "type": "function", "function": {"name": "capital", "arguments": '{"country": "Peru"}'}}
    turns: Sequence[Message] = (
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "Lima"},
    )
    options["max_tokens"] = 1
    longer, shorter = subject.ask(question, *turns, **options), subject.ask(question, **options)
    hold(longer.input_tokens > shorter.input_tokens + 2, "What a tool gave does not reach the model.")
    return None
