"""JSON schemas that are put together of several, as one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from confroute.edge.composed import composed
from confroute.edge.grammars import held
from confroute.errors import UnsupportedRequestError
from confroute.json_schema import is_valid

TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
DEFINITIONS: dict[str, Any] = {
    "Base": {"type": "object", "properties": {"x": WHOLE, "y": TEXT}, "required": ["x"]},
    "Other": {"type": "object", "properties": {"z": WHOLE, "kin": {"$ref": "#/$defs/Other"}}},
    "Again": {"allOf": [{"$ref": "#/$defs/Base"}, {"$ref": "#/$defs/Other"}]},
    "Level": {"type": "integer", "enum": [1, 2]},
    "Either": {"anyOf": [WHOLE, TEXT]},
}
BASE, OTHER = {"$ref": "#/$defs/Base"}, {"$ref": "#/$defs/Other"}


@pytest.mark.parametrize(
    ("schema", "answers"),
    [
        ({"allOf": [BASE], "default": {"x": 1}, "description": "a"}, [{"x": 1}, {"x": 1, "y": "a"}]),
        ({"allOf": [BASE, OTHER]}, [{"x": 1}, {"x": 1, "z": 2, "kin": {"z": 3}}]),
        ({"allOf": [BASE], "properties": {"q": WHOLE}, "required": ["q"]}, [{"x": 1, "q": 2}]),
        ({**BASE, "properties": {"q": WHOLE}}, [{"x": 1}, {"x": 1, "q": 2}]),
        ({"allOf": [{"$ref": "#/$defs/Again"}, {"properties": {"w": TEXT}}]}, [{"x": 1}, {"x": 1, "z": 1, "w": "a"}]),
        ({"allOf": [BASE, {"properties": {"x": {"maximum": 3}}}]}, [{"x": 3}]),
        ({"allOf": [{"$ref": "#/$defs/Level"}], "default": 1}, [1, 2]),
        ({"allOf": [{"$ref": "#/$defs/Either"}], "default": 1}, [5, "a"]),
        ({"allOf": [WHOLE, {"minimum": 3}]}, [3, 4]),
        ({"allOf": [{"type": "array", "items": WHOLE}]}, [[], [1]]),
        (
            {"allOf": [{"if": {"required": ["x"]}, "then": {"required": ["y"]}}], **DEFINITIONS["Base"]},
            [{"x": 1, "y": "a"}],
        ),
        (
            {
                "properties": {"k": TEXT},
                "oneOf": [{"properties": {"v": WHOLE}, "required": ["v"]}, {**OTHER, "required": ["z"]}],
            },
            [{"k": "a", "v": 1}, {"v": 1}, {"k": "a", "z": 1}],
        ),
        (
            {**DEFINITIONS["Base"], "anyOf": [{"required": ["y"]}, {"properties": {"x": {"const": 1}}}]},
            [{"x": 2, "y": "a"}],
        ),
    ],
    ids=str,
)
def test_answers_of_all_are_answers_of_the_one(schema: dict[str, Any], answers: list[Any]) -> None:
    """llama.cpp made each property of an allOf a required one, which the model then made up, and let nothing be said
    that stood beside it, or beside a union."""
    told = {"type": "object", "properties": {"a": schema}, "required": ["a"], "$defs": DEFINITIONS}
    sent = composed(told)
    one = sent["properties"]["a"]
    assert "allOf" not in json.dumps(one)
    alternatives = one.get("oneOf") or one.get("anyOf") or [one]
    for answer in answers:
        text = json.dumps({"a": answer})
        assert is_valid(text, told)
        assert is_valid(text, sent)
        if isinstance(answer, dict) and "$ref" not in one:
            # llama.cpp lets an object have what is named.
            assert any(answer.keys() <= each["properties"].keys() for each in alternatives)


def test_a_reference_alone_stays_one() -> None:
    """As Pydantic wrote a field with a default until its version 2.9, also of what refers to itself."""
    assert composed({"allOf": [BASE], "title": "A", "$defs": DEFINITIONS})["$ref"] == BASE["$ref"]
    node = {"type": "object", "properties": {"next": {"allOf": [{"$ref": "#/$defs/Node"}], "default": None}}}
    sent = composed({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    assert sent["$defs"]["Node"]["properties"]["next"] == {"$ref": "#/$defs/Node", "default": None}


def test_what_is_put_together_of_itself_is_refused() -> None:
    """It would be for ever."""
    node = {"type": "object", "properties": {"next": {"allOf": [{"$ref": "#/$defs/Node"}, OTHER]}}}
    deep: dict[str, Any] = {"$ref": "#/$defs/Node", "$defs": {**DEFINITIONS, "Node": node}}
    with pytest.raises(UnsupportedRequestError, match="of itself"):
        held(deep)
    cycle = {"$ref": "#/$defs/A", "$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}, BASE]}, **DEFINITIONS}}
    assert held(cycle)["$defs"]["A"]["properties"].keys() == {"x", "y"}


def test_what_is_not_put_together_is_sent_as_it_is() -> None:
    """References, unions and conditions alone."""
    told = {
        "$defs": DEFINITIONS | {"Again": TEXT},
        "anyOf": [BASE, {"type": "null"}],
        "title": "a",
        "if": {},
        "then": {},
    }
    assert composed(told) == told
