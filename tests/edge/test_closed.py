"""JSON schemas whose objects have the properties that they name, and no others."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator as Validator
from pydantic import BaseModel, ConfigDict, Field

from confroute.edge.closed import closed

TEXT = {"type": "string"}
AB = {"type": "object", "properties": {"a": TEXT, "b": TEXT}}
CLOSED = {**AB, "additionalProperties": False}


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str | None = None


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Zoo(BaseModel):
    first: Cat
    other: Dog | None = None
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    any_of: Cat | str
    tree: Tree
    counts: dict[str, int]
    by_name: dict[str, Cat]


class Free(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


def is_itself(schema: Any, root: Any, within: tuple[Any, ...] = ()) -> bool:
    """Whether all that it says of a value is, at last, that the value is of it: the validator would never end."""
    if any(schema is each for each in within):
        return True
    told = [*schema.get("allOf", ()), *schema.get("anyOf", ()), *([schema["not"]] if "not" in schema else ())]
    if "$ref" in schema:
        told.append(root if schema["$ref"] == "#" else root["$defs"]["d"])
    return any(is_itself(each, root, (*within, schema)) for each in told)


def is_of(value: Any, schema: Any) -> bool:
    return Validator(schema).is_valid(value)


CAT = {"kind": "cat", "lives": 1}
ZOO: dict[str, Any] = {
    "first": CAT,
    "other": {"kind": "dog", "name": "Rex"},
    "pet": CAT,
    "any_of": CAT,
    "tree": {"name": "a", "children": [{"name": "b", "children": []}]},
    "counts": {"x": 1},
    "by_name": {"Tom": CAT},
}
MORE = {"more": 1}


def test_a_model_s_own_properties_are_all_there_are() -> None:
    """In every way that Pydantic writes a model within another; what has any keys keeps them."""
    schema = closed(Zoo.model_json_schema())
    assert is_of(ZOO, schema)
    for name in ("first", "other", "pet", "any_of", "tree"):
        assert is_of({**ZOO, name: {**ZOO[name], **MORE}}, Zoo.model_json_schema())
        assert not is_of({**ZOO, name: {**ZOO[name], **MORE}}, schema), name
    assert not is_of({**ZOO, "tree": {"name": "a", "children": [{"name": "b", **MORE}]}}, schema)
    assert not is_of({**ZOO, "by_name": {"Tom": {**CAT, **MORE}}}, schema)
    assert not is_of({**ZOO, **MORE}, schema)
    assert is_of({**ZOO, "counts": MORE}, schema)
    assert is_of({"a": 1, **MORE}, closed(Free.model_json_schema()))


@pytest.mark.parametrize("name", ["a", "properties", "additionalProperties", "const", "default", "required"])
def test_a_property_may_have_a_keyword_s_name(name: str) -> None:
    """It is a property then."""
    assert closed({"properties": {name: AB}}) == {"properties": {name: CLOSED}, "additionalProperties": False}


@pytest.mark.parametrize("word", ["const", "enum", "default", "examples"])
def test_a_value_that_looks_like_a_schema_is_none(word: str) -> None:
    """It is kept."""
    assert closed({"items": {word: [AB]}}) == {"items": {word: [AB]}}


@pytest.mark.parametrize(
    "schema",
    [
        {**AB, "additionalProperties": True},
        {**AB, "additionalProperties": TEXT},
        {**AB, "unevaluatedProperties": False},
        {**AB, "patternProperties": {"^c": TEXT}},
        {**AB, "required": ["c"]},
        {**AB, "minProperties": 3},
        {**AB, "enum": [{"c": 1}]},
        {**AB, "dependentRequired": {"a": ["c"]}},
        {**AB, "allOf": [{"properties": {"c": TEXT}}]},
        {**AB, "anyOf": [{"required": ["c"]}, {"required": ["d"]}]},
        {**AB, "$ref": "#/$defs/c", "$defs": {"c": {"properties": {"c": TEXT}, "required": ["c"]}}},
        {"allOf": [AB, {"properties": {"c": TEXT}, "required": ["c"]}]},
        {"allOf": [{"$ref": "#/$defs/ab"}, {"properties": {"c": TEXT}}], "$defs": {"ab": AB}},
        {"allOf": [{"anyOf": [{"$ref": "#/$defs/ab"}, {"$ref": "#"}]}, {"required": ["c"]}], "$defs": {"ab": AB}},
        {"$ref": "#/$defs/ab", "required": ["c"], "$defs": {"ab": AB}},
        {"allOf": [{"$ref": "#ab"}, {"required": ["c"]}], "$defs": {"ab": {**AB, "$anchor": "ab"}}},
        {"properties": {"c": {"$id": "https://example.com/c", "$ref": "#/$defs/ab", "$defs": {"ab": AB}}}},
        {"not": AB},
        {"if": AB, "then": AB},
        {"items": {"contains": {"not": AB}}},
        {"items": AB, "allOf": [{"$ref": "https://example.com/schema"}, {"$ref": "#/$defs/nowhere"}]},
        {"type": "object"},
        {"properties": 5},
        {**AB, "minProperties": "x"},
    ],
    ids=lambda schema: str(schema).replace(str(AB)[1:-1], "AB")[:70],
)
def test_what_others_may_stand_in_is_left_open(schema: dict[str, Any]) -> None:
    """Closed, it would have no answer, or not those that are meant."""
    assert closed(schema) == schema


@pytest.mark.parametrize(
    ("schema", "as_guided"),
    [
        ({**AB, "required": ["a"], "minProperties": 1}, {**CLOSED, "required": ["a"], "minProperties": 1}),
        ({"type": "object", "properties": {}}, {"type": "object", "properties": {}, "additionalProperties": False}),
        ({"allOf": [{"$ref": "#/$defs/x"}], "default": {}, "$defs": {"x": AB}},
         {"allOf": [{"$ref": "#/$defs/x"}], "default": {}, "$defs": {"x": CLOSED}}),
        ({"allOf": [{"properties": {"c": AB}}, {"required": ["d"]}]},
         {"allOf": [{"properties": {"c": CLOSED}}, {"required": ["d"]}]}),
    ],
    ids=["required", "none", "older Pydantic", "within"],
)  # fmt: skip
def test_what_no_other_schema_describes_is_closed(schema: dict[str, Any], as_guided: dict[str, Any]) -> None:
    """Also where it is referred to by an allOf of one, and within an object that is left open."""
    assert closed(schema) == as_guided


names = st.sampled_from("abc")
schemas = st.recursive(
    st.sampled_from([TEXT, {"type": "integer"}, {}, {"$ref": "#"}, {"$ref": "#/$defs/d"}]),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(names, inner, max_size=2),
            "required": st.lists(names, max_size=1),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "items": inner,
            "additionalProperties": inner,
            "patternProperties": st.dictionaries(st.just("^b"), inner, max_size=1),
            "not": inner,
        },
    ),
    max_leaves=8,
)
values = st.recursive(
    st.integers() | st.just("x"),
    lambda inner: st.dictionaries(names, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=6,
)


@given(schema=schemas, definition=schemas, value=values)
def test_an_answer_of_the_closed_schema_is_one_of_the_open(schema: Any, definition: Any, value: Any) -> None:
    """Whatever it is composed of."""
    root = {**schema, "$defs": {"d": definition}}
    assume(not is_itself(root, root) and not is_itself(definition, root))
    if is_of(value, closed(root)):
        assert is_of(value, root)
