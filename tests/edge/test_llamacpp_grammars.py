"""What llama.cpp's grammar lets a model say that has it before its eyes. SmolLM2-135M, for real."""

from __future__ import annotations

import json
from typing import Any

import pytest

from confroute.edge.llamacpp import LlamaCppEngine
from confroute.json_schema import is_valid
from confroute.records import Message, SamplingOptions
from tests.edge.tool_template import TEMPLATE

pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.real_model

MOMENT: dict[str, Any] = {"type": "string", "format": "date-time"}
TEXT, WHOLE = {"type": "string"}, {"type": "integer"}


def record(*, required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    named = [*properties] if required is None else required
    return {"type": "object", "properties": properties, "required": named, "additionalProperties": False}


def of(at: dict[str, Any], **definitions: Any) -> dict[str, Any]:
    return {**record(at=at), "$defs": definitions}


def having(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: WHOLE}, "required": [name]}


PORTS = {"type": "object", "patternProperties": {"^[a-z]+$": WHOLE}, "additionalProperties": False}
PAIR = {**record(a={"$ref": "#/$defs/用户"}, b={"$ref": "#/$defs/商品"})}
CITY = record(required=["city"], city=TEXT, country=TEXT)


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ("2024-01-02T15:30:00", of(MOMENT)),
        ("2024-01-02T03:04:05.123456Z", of(MOMENT)),
        ("2024-01-02T15:30:00.123456+02:00", of(MOMENT)),
        ("09:05:00.250000", of({"type": "string", "format": "time"})),
        ({"http": 80, "https": 443}, of(PORTS)),
        ({"a": {"name": "Anna"}, "b": {"price": 45}}, of(PAIR, 用户=record(name=TEXT), 商品=record(price=WHOLE))),
        ({"city": "Oslo"}, of({"allOf": [{"$ref": "#/$defs/City"}], "default": None}, City=CITY)),
        ("PT30M", of({"type": "string", "format": "duration"})),
        ({"b": 1, "c": 2}, of({"allOf": [{"anyOf": [having("a"), having("b")]}, {"anyOf": [TEXT, having("c")]}]})),
        ({"kind": "cat"}, of({"allOf": [record(kind={"enum": ["dog", "cat"]}), record(kind={"const": "cat"})]})),
        (["Oslo"], of({"type": "array", "prefixItems": [TEXT, TEXT], "minItems": 1, "maxItems": 2})),
    ],
    ids=str,
)
def test_an_answer_is_not_made_another(small_llamacpp: LlamaCppEngine, value: Any, schema: dict[str, Any]) -> None:
    """All samples alike: a time got a zone and lost its digits, and the model had to make up what is optional."""
    answer = json.dumps({"at": value})
    assert is_valid(answer, schema)
    question: list[Message] = [{"role": "user", "content": f"Repeat exactly this JSON: {answer}"}]
    options = SamplingOptions(max_tokens=80, temperature=0.0, json_schema=schema)
    (sample,) = small_llamacpp.generate(question, n=1, options=options).samples
    assert json.loads(sample.text) == {"at": value}


def test_each_tool_is_called_with_values_of_its_own(small_llamacpp: LlamaCppEngine) -> None:
    """Those offered are of one grammar, and had one definition for all models of a name."""

    def tool(name: str, *units: str) -> dict[str, Any]:
        parameters = of({"$ref": "#/$defs/Unit"}, Unit={"type": "string", "enum": [*units]})
        return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}

    settings: Any = {"context_tokens": 1024, "parallel": 4, "threads": 1}
    engine = LlamaCppEngine(small_llamacpp.path, chat_template=TEMPLATE, **settings)
    tools = (tool("ban", "user", "bot"), tool("kick", "pounds", "grams"))
    options = SamplingOptions(max_tokens=100, temperature=0.0, tools=tools)
    told = set[str]()
    for name, unit in (("ban", "bot"), ("kick", "grams")):
        call = f'<tool_call>\n{{"name": "{name}", "arguments": {{"at": "{unit}"}}}}\n</tool_call>'
        question: list[Message] = [{"role": "user", "content": f"Repeat this:\n{call}"}]
        (sample,) = engine.generate(question, n=1, options=options).samples
        told |= {f"{name} {json.loads(each.arguments)['at']}" for each in sample.tool_calls}
    assert told >= {"ban bot", "kick grams"}
