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


def kind(*kinds: str, **others: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"kind": {"enum": [*kinds]}, **others}, "required": ["kind", *others]}


NUMBER = {"type": "number", "minimum": 1, "maximum": 5}


@pytest.mark.parametrize(
    ("schema", "one"),
    [
        ({"allOf": [{"enum": ["a", "b", 1]}, {"enum": ["b", 1, "c", True]}]}, {"enum": ["b", 1]}),
        ({"allOf": [{"enum": ["a", "b"]}, {"const": "b"}]}, {"enum": ["b"]}),
        ({"allOf": [TEXT, {"const": "b"}]}, {"type": "string", "const": "b"}),
        ({"allOf": [{"type": "number"}, WHOLE]}, WHOLE),
        ({"allOf": [{"type": "number", "minimum": 1}, {"type": ["null", "number"], "maximum": 5}]}, NUMBER),
        ({"allOf": [{"type": ["null", "integer", "number"]}, {"type": "number"}]}, {"type": "number"}),
        ({"allOf": [WHOLE, {"type": ["number", "null"]}]}, WHOLE),
        ({"allOf": [WHOLE], "type": "number", "title": "A"}, {**WHOLE, "title": "A"}),
        (
            {"allOf": [{"type": ["string", "integer", "null"]}, {"type": ["number", "null"]}]},
            {"type": ["integer", "null"]},
        ),
        (
            {"allOf": [{"minimum": 1, "maximum": 9}, {"minimum": 0, "maximum": 5, "exclusiveMaximum": 4}]},
            {"minimum": 1, "maximum": 5, "exclusiveMaximum": 4},
        ),
        (
            {"allOf": [{"minLength": 1, "maxLength": 9, "maxItems": 3}, {"minLength": 2, "maxLength": 12}]},
            {"minLength": 2, "maxLength": 9, "maxItems": 3},
        ),
        ({"allOf": [{"pattern": "^a$"}], "pattern": "^b$", "minLength": 1}, {"pattern": "^b$", "minLength": 1}),
        ({"allOf": [{"items": {"type": "number"}}, {"items": WHOLE}]}, {"items": WHOLE}),
        ({"allOf": [kind("cat", "dog"), kind("dog", "cow")]}, kind("dog")),
        ({"allOf": [kind("cat", lives={"type": "number"}), kind("cat", lives=WHOLE)]}, kind("cat", lives=WHOLE)),
        ({"allOf": [{"additionalProperties": True}, {"additionalProperties": False}]}, {"additionalProperties": False}),
        ({"allOf": [{"additionalProperties": False}, {"additionalProperties": True}]}, {"additionalProperties": False}),
        ({"allOf": [{"minItems": 3, "maxItems": 4}, {"minItems": 1, "maxItems": 5}]}, {"minItems": 3, "maxItems": 4}),
        ({**kind("cat", "dog"), "anyOf": [kind("cat", lives=WHOLE)]}, {"anyOf": [kind("cat", lives=WHOLE)]}),
        ({"allOf": [{"anyOf": [TEXT, {"type": "null"}]}, TEXT]}, {"anyOf": [TEXT]}),
        ({"type": "object", **kind("cat"), "anyOf": [False, {}, {"type": "null"}]}, {"anyOf": [kind("cat")]}),
    ],
    ids=str,
)  # fmt: skip
def test_the_narrower_of_two_holds(schema: dict[str, Any], one: dict[str, Any]) -> None:
    """With the wider one answers were of no kind that the schema knows, all alike."""
    assert composed(schema) == one


def test_of_two_unions_both_hold() -> None:
    """The second was lost. Those of its pairs that exclude each other are none."""
    contact = {"anyOf": [kind("a", email=TEXT), kind("b", phone=TEXT)]}
    age = {"anyOf": [{"properties": {"age": WHOLE}, "required": ["age"]}, kind("b", year=WHOLE)]}
    sent = composed(told := {"allOf": [contact, age]})
    assert [sorted(each["properties"]) for each in sent["anyOf"]] == [
        ["age", "email", "kind"], ["age", "kind", "phone"], ["kind", "phone", "year"]
    ]  # fmt: skip
    for answer in ({"kind": "a", "email": "x", "age": 1}, {"kind": "b", "phone": "x", "year": 1}):
        assert is_valid(json.dumps(answer), sent)
        assert is_valid(json.dumps(answer), told)
    assert not is_valid('{"kind": "a", "email": "x"}', sent)
    assert composed({"anyOf": [TEXT, WHOLE], "oneOf": [WHOLE, {"type": "null"}]}) == {"anyOf": [WHOLE]}


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [kind("cat"), kind("dog")]},
        {"allOf": [TEXT, WHOLE]},
        {"allOf": [{"enum": [True]}, {"enum": [1]}]},
        {**kind("cat"), "anyOf": [kind("dog"), kind("cow")]},
    ],
    ids=str,
)
def test_parts_that_exclude_each_other_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedRequestError, match="exclude each other"):
        held(schema)


def test_an_optional_property_that_there_cannot_be_is_left_out() -> None:
    first, second = ({"type": "object", "properties": {"a": each, "b": TEXT}} for each in (TEXT, WHOLE))
    assert composed({"allOf": [first, second]})["properties"] == {"b": TEXT}


def test_very_many_pairs_are_refused_at_once() -> None:
    many = {"anyOf": [kind(str(i), **{f"p{i}": TEXT}) for i in range(60)]}
    with pytest.raises(UnsupportedRequestError, match="very many parts"):
        held({"allOf": [many, {"anyOf": [{"properties": {f"q{i}": WHOLE}} for i in range(60)]}]})


def test_many_that_lie_beside_each_other_are_put_together() -> None:
    """A hundred models that all inherit, or a hundred fields."""
    base = {"type": "object", "properties": {"x": WHOLE}}
    models = {f"E{i}": {"allOf": [base, {"properties": {"v": WHOLE}}]} for i in range(110)}
    fields = {f"a{i}": {"$ref": f"#/$defs/E{i}"} for i in range(110)}
    assert held({"type": "object", "properties": fields, "$defs": models})["properties"] == fields
    level = {"allOf": [{"$ref": "#/$defs/Level"}, {"maximum": 3}]}
    assert held({"type": "object", "properties": {f"a{i}": level for i in range(110)}, "$defs": DEFINITIONS})


@pytest.mark.parametrize("silent", [{"description": "the next"}, {"nullable": True}, {}, True])
def test_a_reference_beside_what_says_nothing_stays_one(silent: Any) -> None:
    """As OpenAPI has to write a property's description; also of what refers to itself."""
    node = {"type": "object", "properties": {"next": {"allOf": [{"$ref": "#/$defs/Node"}, silent]}}}
    sent = composed({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    assert sent["$defs"]["Node"]["properties"]["next"]["$ref"] == "#/$defs/Node"


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
