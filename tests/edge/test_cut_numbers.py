"""Which numbers llama.cpp's grammars may have cut."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from confroute.edge.cut_numbers import has_cut_number, with_numbers_cut
from confroute.records import Sample, SamplingOptions, ToolCall

INTEGER: dict[str, Any] = {"type": "integer"}
NUMBER: dict[str, Any] = {"type": "number"}
FREE: list[dict[str, Any]] = [
    NUMBER,
    {},
    {"type": ["number", "null"]},
    {"type": "number", "minimum": 0, "maximum": 1e17},
    {"anyOf": [INTEGER, NUMBER, {"type": "string"}]},
]
LAST = 2**63 - 2


def within(schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema, "b": {}}, "required": ["a"]}


def is_cut(number: str, schema: Any) -> bool:
    return has_cut_number(f'{{"b": ["1{"0" * 15}"], "a": {number}}}', within(schema))


@pytest.mark.parametrize("schema", FREE, ids=str)
@pytest.mark.parametrize(
    ("number", "cut"),
    [
        ("7656119796026572", True),
        ("-7656119796026572", True),
        ("7656119796026572.8", True),
        ("7656119796026572e3", True),
        ("765611979602657", False),
        ("0.1234567890123456", False),
        ("1e1000000000000000", False),
    ],
)
def test_a_free_number_of_sixteen_digits_may_be_cut(schema: dict[str, Any], number: str, cut: bool) -> None:
    """Decimals that are lacking are no matter."""
    assert is_cut(number, schema) == cut


@pytest.mark.parametrize(
    ("number", "schema", "cut"),
    [
        (10**15, INTEGER, False),
        (123456789012345678, INTEGER, False),
        (922337203685477580, INTEGER, False),
        (922337203685477581, INTEGER, True),
        (1234567890123456789, INTEGER, True),
        (-1234567890123456789, INTEGER, True),
        (1234567890123456789, {"type": ["integer", "null"]}, True),
        (1234567890123456789, {**INTEGER, "minimum": 0}, True),
        (1234567890123456789, {**INTEGER, "minimum": 0, "maximum": 2**63 - 1}, False),
        (1234567890123456789, {**INTEGER, "minimum": 0, "maximum": 2**64 - 1}, True),
        (5234567890123456789, {**INTEGER, "minimum": 0, "maximum": 2**64 - 1}, False),
        (1234567890123456, {**INTEGER, "minimum": 0, "maximum": 2**63 - 1}, False),
        (1234567890123456, {**INTEGER, "maximum": 10**16}, False),
        (-1234567890123456, {**NUMBER, "maximum": 0}, True),
        (-1234567890123456, {**NUMBER, "minimum": -(2**63) - 1, "maximum": 0}, True),
        (-1234567890123456789, {**INTEGER, "maximum": 0}, True),
        (1234567890123456, {"enum": [1234567890123456]}, False),
        (1234567890123456, {"const": 1234567890123456}, False),
        (1234567890123456789, {"enum": [1234567890123456789]}, False),
    ],
)  # fmt: skip
def test_an_integer_may_be_cut_where_its_schema_lets_it_be_greater_than_the_grammar(
    number: int, schema: dict[str, Any], cut: bool
) -> None:
    """Of what it bounds itself the end is known."""
    assert is_cut(str(number), schema) == cut


@pytest.mark.parametrize(
    ("number", "schema", "cut"),
    [
        (1234567890123456, INTEGER, True),
        (1234567890123456, NUMBER, True),
        (1234567890123456, {**INTEGER, "minimum": 0}, True),
        (1234567890123456, {**INTEGER, "minimum": 0, "maximum": 2**63 - 1}, True),
        (1234567890123456, {**INTEGER, "exclusiveMinimum": -(2**63), "exclusiveMaximum": 2**63}, True),
        (1234567890123456, {**INTEGER, "minimum": 0, "maximum": LAST}, False),
        (1234567890123456, {**INTEGER, "maximum": 10**17}, False),
        (-1234567890123456, {**INTEGER, "maximum": 0}, True),
        (-1234567890123456, {**INTEGER, "minimum": -(2**63) - 1, "maximum": 0}, True),
        (-1234567890123456, {**INTEGER, "minimum": -LAST, "maximum": 0}, False),
        (12345678901234567, INTEGER, False),  # of no grammar
        (1234567890123456789, INTEGER, False),
        (123456789012345, INTEGER, False),
    ],
)
def test_of_a_schema_that_was_sent_as_it_is_its_own_bounds_count(
    number: int, schema: dict[str, Any], cut: bool
) -> None:
    """Of which the last integers are none to llama.cpp."""
    assert has_cut_number(f'{{"a": {number}}}', within(schema), held=False) == cut


def test_numbers_are_judged_by_the_place_that_they_stand_at() -> None:
    """The same digits, where a schema bounds them and where it does not."""
    schema = {"type": "object", "properties": {"bounded": {**INTEGER, "minimum": 0, "maximum": LAST}, "free": {}}}
    assert not has_cut_number('{"bounded": 1234567890123456, "free": 12}', schema)
    assert not has_cut_number('{"bounded": 1234567890123456, "free": "1234567890123456"}', schema)
    assert has_cut_number('{"bounded": 1234567890123456, "free": {"x": [1234567890123456]}}', schema)
    assert has_cut_number('{"bounded": 1234567890123456, "free": 1234567890123456}', schema)


@pytest.mark.parametrize("text", ["", "{", "NaN", '{"a": 1234567890123456', "1" * 5000, "[" * 100_000])
def test_what_is_no_json_has_none(text: str) -> None:
    """It is told as what it is elsewhere."""
    assert not has_cut_number(text, {})


def test_what_cannot_be_checked_may_be_cut() -> None:
    """By a pattern that no answer is checked by, say."""
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(?=x)x$"}, "b": {}}}
    assert has_cut_number('{"a": "x", "b": 1234567890123456}', schema)


@pytest.mark.parametrize("held", [False, True])
def test_of_a_schema_too_deep_to_check_it_may_be_cut(held: bool) -> None:
    """The request does not fail for it."""
    schema: dict[str, Any] = {}
    for _ in range(sys.getrecursionlimit()):
        schema = {"items": schema}
    assert has_cut_number("[1234567890123456]", schema, held=held)


@pytest.mark.parametrize(
    ("called", "number", "ends"),
    [
        ("save", "1234567890123456", "length"),
        ("save", "123456789012345", "tool_calls"),
        ("drop", "1234567890123456", "tool_calls"),
        ("find", "1234567890123456", "length"),
        ("find", "123456789012345", "tool_calls"),
    ],
)
def test_a_call_is_cut_by_the_schema_of_its_tool(called: str, number: str, ends: Any) -> None:
    """One by a name that was not offered has none. An integer without bounds is sent so: the model is shown it."""
    tools = tuple(
        {"type": "function", "function": {"name": name, "parameters": within(schema)}}
        for name, schema in (("count", {**INTEGER, "minimum": 1}), ("save", NUMBER), ("find", INTEGER))
    )
    calls = (
        ToolCall(name="count", arguments='{"a": 1234567890123456}'),
        ToolCall(name=called, arguments=f'{{"a": {number}}}'),
    )
    sample = Sample(text="", tool_calls=calls, finish_reason="tool_calls")
    told = with_numbers_cut(sample, SamplingOptions(tools=tools), held=True)
    assert (told.finish_reason, told.tool_calls) == (ends, calls)
    assert with_numbers_cut(sample, SamplingOptions(tools=tools), held=True, calls=False) is sample


def test_many_numbers_are_judged_in_seconds() -> None:
    """As many as an answer may have."""
    numbers = json.dumps([1_700_000_000_000_000_000 + i for i in range(200)])
    assert has_cut_number(numbers, {"type": "array", "items": INTEGER})
    assert not has_cut_number(numbers, {"type": "array", "items": {**INTEGER, "minimum": 0, "maximum": LAST}})
