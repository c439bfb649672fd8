"""Requests for JSON of a schema: the edge serves what is of it, and nothing else."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from confroute import Router, SamplingOptions
from confroute.arguments import asked_schema
from confroute.edge.choices import response_format
from confroute.errors import UnsupportedRequestError
from confroute.json_schema import is_valid
from confroute.records import Sample, ToolCall
from confroute.testing import ScriptedEngine
from confroute.tools import objection

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "rank": {"type": "integer", "minimum": 1}},
    "required": ["city", "rank"],
    "additionalProperties": False,
}
ASK = [{"role": "user", "content": "Largest city of Peru?"}]
LIMA = '{"city": "Lima", "rank": 1}'
OPTIONS = SamplingOptions(json_schema=SCHEMA)


def edge(answer: str, *samples: str, json_schema: bool = True) -> ScriptedEngine:
    return ScriptedEngine({str(ASK[0]["content"]): (answer, samples or [answer])}, json_schema=json_schema)


@pytest.mark.parametrize(
    ("text", "schema", "valid"),
    [
        (LIMA, SCHEMA, True),
        (LIMA[:-1], SCHEMA, False),
        ('{"city": "Lima", "rank": 0}', SCHEMA, False),
        ('{"city": "Lima"}', SCHEMA, False),
        (f"Here it is: {LIMA}", SCHEMA, False),
        ("1", {}, True),
        ("1e30", {"type": "number", "minimum": 1}, True),
        ("NaN", {"type": "number", "minimum": 0, "maximum": 5}, False),
        ("[-Infinity]", {}, False),
        ("1e400", {"type": "number"}, False),  # Python writes it as Infinity
        ("1", {"type": "nonsense"}, False),
        ("1", {"$ref": "#/nowhere"}, False),
        ("1", {"$ref": "http://localhost:9/schema.json"}, False),  # not fetched: the tests have no network
    ],
)
def test_validity(text: str, schema: dict[str, Any], valid: bool) -> None:
    """JSON of the schema and nothing around it; a schema that cannot be read allows nothing."""
    assert is_valid(text, schema) is valid


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("b", "abc", True),
        ("^b", "abc", False),
        ("^b$", "b\n", False),
        (r"^\p{Lu}\p{L}+$", "Anna", True),
        (r"^\p{Lu}\p{L}+$", "anna", False),
        ("^(?i:anna)$", "ANNA", True),
        (r"^\w+@\w+\.\w+$", "é@example.com", True),
        ("", "", True),
        (".", "\ud800", False),
    ],
)
def test_patterns_are_those_of_pydantic(pattern: str, text: str, matches: bool) -> None:
    """Found anywhere in the text, as JSON Schema has it; in a value, in a name, and where other names are excluded."""
    assert is_valid(json.dumps(text), {"pattern": pattern}) is matches
    assert is_valid(json.dumps({text: 1}), {"propertyNames": {"pattern": pattern}}) is matches
    assert is_valid(json.dumps({text: 1}), {"patternProperties": {pattern: {"type": "string"}}}) is not matches
    named = {"patternProperties": {pattern: {}, "^never$": False}, "properties": {"a": {}}}
    assert is_valid(json.dumps({text: 1}), {**named, "additionalProperties": False}) is matches
    assert is_valid(json.dumps({text: 1, "a": 1}), {**named, "additionalProperties": {"type": "string"}}) is matches


EVIL = "^([A-Za-z]+[ -]?)+$"
LONG = "a" * 40 + "!"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": EVIL}, LONG),
        ({"properties": {"a": {"anyOf": [{"pattern": EVIL}, {"type": "null"}]}}}, {"a": LONG}),
        ({"patternProperties": {EVIL: {}}, "additionalProperties": False}, {LONG: 1}),
        ({"propertyNames": {"pattern": EVIL}}, {LONG: 1}),
        ({"properties": {"a": {"$ref": "#"}}, "pattern": EVIL}, {"a": LONG}),
        ({"properties": {"a": {"$schema": "http://json-schema.org/draft-07/schema#", "pattern": EVIL}}}, {"a": LONG}),
    ],
)
@pytest.mark.parametrize("draft", ["2020-12/schema", "2019-09/schema", "draft-07", "draft-04", None])
def test_no_pattern_takes_for_ever(schema: dict[str, Any], value: Any, draft: str | None) -> None:
    """What a model writes kept Python's own expressions busy, and every thread of the process waiting."""
    if draft:
        uri = f"draft/{draft}" if "/" in draft else f"{draft}/schema#"
        schema = {"$schema": f"http{'s' * ('/' in draft)}://json-schema.org/{uri}", **schema}
    started = time.perf_counter()
    told = is_valid(json.dumps(value), schema)
    assert time.perf_counter() - started < 2
    assert told is (draft == "draft-04" and "propertyNames" in schema)  # that draft knows no such word


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "(?=a)a"}, "a"),
        ({"pattern": r"(a)\1"}, "aa"),
        ({"pattern": "["}, "a"),
        ({"patternProperties": {"(?!b)a": {}}}, {"a": 1}),
        ({"patternProperties": {"(?!b)a": {}}, "additionalProperties": False}, {"a": 1}),
        ({"patternProperties": {EVIL: {}}, "unevaluatedProperties": False}, {LONG: 1}),
    ],
)
def test_a_pattern_that_could_take_for_ever_escalates(schema: dict[str, Any], value: Any) -> None:
    """Whether it would is not tried. Told in words, without the pattern."""
    with pytest.raises(UnsupportedRequestError, match="Answers cannot be checked by") as caught:
        is_valid(json.dumps(value), schema)
    assert not any(word in str(caught.value) for word in ("(a)", "(?", LONG))
    record = Router(edge(json.dumps(value))).decide(ASK, SamplingOptions(json_schema=schema)).record
    assert (record.route, record.reason) == ("cloud", "unsupported")
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": schema}}}}
    call = Sample(text="", tool_calls=(ToolCall(name="f", arguments=json.dumps({"a": value})),))
    with pytest.raises(UnsupportedRequestError):
        objection(call, SamplingOptions(tools=(tool,)))


def test_an_answer_of_the_schema_is_served() -> None:
    """Judged by its values against those of the samples, which are held to the schema as well."""
    engine = edge(LIMA, '{"rank": 1, "city": "Lima"}')
    record = Router(engine, curtail=False).decide(ASK, OPTIONS).record
    assert (record.route, record.confidence) == ("edge", 1.0)
    assert {options.json_schema == SCHEMA for _, _, options in engine.requests} == {True}


def test_a_schema_nested_too_deeply_escalates() -> None:
    """No answer can be checked by it."""
    deep: dict[str, Any] = {"type": "integer"}
    for _ in range(400):
        deep = {"type": "array", "items": deep}
    record = Router(edge("[" * 400 + "1" + "]" * 400)).decide(ASK, SamplingOptions(json_schema=deep)).record
    assert (record.route, record.reason) == ("cloud", "unsupported")


def test_samples_of_other_values_escalate() -> None:
    """Two objects with the same keys are not the same answer, however many words they share."""
    engine = edge(LIMA, '{"city": "Cusco", "rank": 1}')
    record = Router(engine).decide(ASK, OPTIONS).record
    assert (record.reason, record.confidence) == ("uncertain", 0.0)


@pytest.mark.parametrize("answer", [LIMA[:-1], "Lima", '{"city": "Lima", "rank": 0}'])
def test_an_answer_that_is_not_of_the_schema_is_never_served(answer: str) -> None:
    """Cut short, or from an engine that overlooks a part of the schema: escalated, also where the cloud fails later."""
    decision = Router(edge(answer)).decide(ASK, OPTIONS)
    assert (decision.record.reason, decision.record.error) == ("edge_error", "ModelError")
    assert decision.answer is None


def test_an_engine_that_holds_to_no_schema_is_not_asked() -> None:
    """The request is beyond the edge, as tools are."""
    engine = edge(LIMA, json_schema=False)
    record = Router(engine).decide(ASK, OPTIONS).record
    assert (record.route, record.reason, engine.requests) == ("cloud", "unsupported", [])


@pytest.mark.parametrize("asked", [None, "json", {"type": "json_object"}, {"type": "json_schema"}, {"json_schema": {}}])
def test_what_is_no_json_schema_is_told_apart(asked: Any) -> None:
    """Only a schema is something to hold an answer to."""
    assert asked_schema(asked) is None
    assert asked_schema(response_format(SCHEMA)) == SCHEMA
