"""What a JSON schema refers to, under names that llama.cpp tells apart."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from confroute.edge.grammars import held, held_tools
from confroute.edge.references import Names, used
from confroute.json_schema import is_valid
from confroute.records import SamplingOptions
from confroute.tools import answer_schema


def record(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def to(pointer: str) -> dict[str, Any]:
    return {"$ref": pointer}


def of_two(first: str, second: str, *, place: str = "$defs") -> dict[str, Any]:
    one, other = record(name={"type": "string"}), record(price={"type": "number"})
    return {**record(a=to(f"#/{place}/{first}"), b=to(f"#/{place}/{second}")), place: {first: one, second: other}}


ANSWER = json.dumps({"a": {"name": "Anna"}, "b": {"price": 45.5}})


def rules(schema: Any) -> list[str]:
    """What llama.cpp calls what it refers to."""
    return [re.sub("[^a-zA-Z0-9-]+", "-", found) for found in sorted(set(re.findall(r'"\$ref": "([^"]*)"', schema)))]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Покупатель", "Товар"),
        ("用户", "商品"),
        ("Acme.User", "Acme_User"),
        ("A_B", "A__B"),
        ("User", "User_name"),
        ("User_name", "User"),
        ("Item", "Item_1"),
        ("2用户", "用户"),
        ("Map<a>", "Map<a,>"),
    ],
)
@pytest.mark.parametrize("place", ["$defs", "definitions"])
def test_definitions_have_names_of_their_own(first: str, second: str, place: str) -> None:
    """llama.cpp replaces all but letters, digits and hyphens by one of these, and lets the second be of the first's
    schema; so it does where the first's properties make the name of the second."""
    told = of_two(first, second, place=place)
    sent = Names().told_apart(told)
    assert is_valid(ANSWER, sent)
    assert not is_valid(json.dumps({"a": {"name": "x"}, "b": {"name": "x"}}), sent)
    one, other = rules(json.dumps(sent, ensure_ascii=False))
    assert one != other
    assert not one.startswith(f"{other}-")
    assert not other.startswith(f"{one}-")


def test_what_is_told_apart_is_sent_as_it_is() -> None:
    """Names tell the model something where it is shown them."""
    told = of_two("User", "Users")
    assert Names().told_apart(told) is told
    assert Names().told_apart(nowhere := record(a=to("#/$defs/a"), b=to("https://a.b/c"))) is nowhere


@pytest.mark.parametrize(
    ("pointer", "name"), [("#/$defs/Page%5Bint%5D", "Page[int]"), ("#/$defs/a~1b", "a/b"), ("#/$defs/a~0b", "a~b")]
)
def test_references_may_be_written_with_escapes(pointer: str, name: str) -> None:
    """llama.cpp finds no such definition."""
    sent = Names().told_apart({**record(a=to(pointer)), "$defs": {name: record(x={"type": "integer"})}})
    (sent_pointer,) = re.findall(r'"\$ref": "([^"]*)"', json.dumps(sent))
    assert not set("~%") & set(sent_pointer)
    assert sent["$defs"][sent_pointer.removeprefix("#/$defs/")] == record(x={"type": "integer"})
    assert is_valid('{"a": {"x": 1}}', sent)


def test_a_schema_may_refer_to_itself() -> None:
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": to("#")}}, "required": ["kids"]}
    sent = Names().told_apart(tree)
    assert to("#") not in sent["properties"]["kids"].values()
    assert is_valid('{"kids": [{"kids": []}]}', sent)
    assert not is_valid('{"kids": [{"kids": [{}]}]}', sent)


def units(*names: str) -> dict[str, Any]:
    unit = {"type": "string", "enum": [*names]}
    arguments = {**record(unit=to("#/$defs/Unit")), "$defs": {"Unit": unit}}
    return {"type": "function", "function": {"name": f"in_{names[0]}", "parameters": arguments}}


def test_tools_have_definitions_of_their_own() -> None:
    """llama.cpp makes one grammar of all that are offered: with a model of the same name in two of them, all were held
    to the last one's."""
    tools = [units("C", "F"), units("kg", "lb"), units("m", "ft")]
    schemas = [tool["function"]["parameters"] for tool in held_tools(tools)]
    assert len({schema["properties"]["unit"]["$ref"] for schema in schemas}) == len(tools)
    for schema, unit in zip(schemas, ("F", "lb", "ft"), strict=True):
        assert [is_valid(json.dumps({"unit": each}), schema) for each in ("F", "lb", "ft")].count(True) == 1
        assert is_valid(json.dumps({"unit": unit}), schema)


def test_a_definition_is_sent_once() -> None:
    """Twice, a tool that is held alone would be too large beside another."""
    tools = [units(*map(str, range(least, least + 1000))) for least in (0, 1000)]
    schemas = [tool["function"]["parameters"] for tool in held_tools(tools)]
    assert [len(schema["$defs"]) for schema in schemas] == [1, 1]


def test_what_a_reference_leads_through_stays() -> None:
    inner = record(x={"type": "integer"})
    told = {**of_two("用户", "商品"), "additionalProperties": to("#/$defs/Whole/properties/part")}
    told["$defs"]["Whole"] = record(part=inner)
    assert is_valid(json.dumps({**json.loads(ANSWER), "c": {"x": 1}}), Names().told_apart(told))


def test_a_call_that_has_to_be_made_has_them_too() -> None:
    told = answer_schema(SamplingOptions(tools=(units("C", "F"), units("kg", "lb")), must_call=True))
    assert told is not None
    sent = held(told)
    assert is_valid('{"name": "in_kg", "arguments": {"unit": "lb"}}', sent)
    assert not is_valid('{"name": "in_kg", "arguments": {"unit": "C"}}', sent)


def test_what_nothing_refers_to_is_left_out() -> None:
    """It is of no grammar, and one that is put together of itself, or large, is no reason to refuse."""
    itself = record(next={"allOf": [to("#/$defs/N"), record(x={"type": "string"})]})
    large = {"enum": [f"value {i}" for i in range(5000)]}
    told = {**record(a=to("#/$defs/A")), "$defs": {"A": {"type": "string"}, "N": itself, "Large": large}}
    assert held(told) == {**told, "$defs": {"A": {"type": "string"}}}
    assert "definitions" not in held({**record(a={"type": "string"}), "definitions": {"N": itself}})
    tools = [units(*map(str, range(10))), units("C", "F")]
    tools[0]["function"]["parameters"]["$defs"]["Large"] = large
    call = answer_schema(SamplingOptions(tools=tuple(tools), must_call=True))
    assert call is not None
    assert is_valid('{"name": "in_C", "arguments": {"unit": "F"}}', held(call))
    assert "value 7" not in json.dumps(held_tools(tools))


@pytest.mark.parametrize("pointer", ["#/$defs/a~1b", "#/$defs/a~1b/properties/x", "#/$defs/Whole/$defs/part"])
def test_what_something_refers_to_stays_with_what_that_refers_to(pointer: str) -> None:
    """llama.cpp fails on a reference to nothing, wherever it stands."""
    leaf = record(y={"type": "string"})
    kept = {"a/b": record(x=to("#/$defs/Leaf")), "Leaf": leaf, "Whole": {**record(z={}), "$defs": {"part": leaf}}}
    told = {**record(a=to(pointer)), "$defs": {**kept, "None": to("#/$defs/Leaf")}}
    sent = used(told)
    assert "None" not in sent["$defs"]
    assert is_valid('{"a": {"x": {"y": "b"}}}' if pointer == "#/$defs/a~1b" else '{"a": {"y": "b"}}', sent)


def test_what_are_no_definitions_are_no_reason_to_fail() -> None:
    for none in (None, 5, True):
        told = {"type": "object", "properties": {"kids": to("#")}, "$defs": none}
        assert held(told)["properties"].keys() == {"kids"}


def test_a_property_of_that_name_is_kept() -> None:
    told = record(definitions=record(a={"type": "string"}), **{"$defs": {"type": "integer"}})
    assert used(told) == told


ADDRESS = record(city={"type": "string"})


@pytest.mark.parametrize(
    ("schema", "value", "wrong"),
    [
        (
            {"allOf": [record(billing=ADDRESS), record(shipping=to("#/allOf/0/properties/billing"))]},
            {"billing": {"city": "Oslo"}, "shipping": {"city": "Rome"}},
            {"billing": {"city": "Oslo"}, "shipping": "Rome"},
        ),
        (
            {"type": "object", "oneOf": [record(a=ADDRESS), record(b=to("#/oneOf/0/properties/a"))]},
            {"b": {"city": "Rome"}},
            {"b": "Rome"},
        ),
        (
            {
                **record(k={"enum": ["p", "q"]}),
                "additionalProperties": True,
                "anyOf": [
                    {"properties": {"k": {"const": "z"}, "v": {"type": "string"}}},
                    {"properties": {"k": {"const": "p"}, "v": ADDRESS}, "required": ["v"]},
                    {"properties": {"k": {"const": "q"}, "v": to("#/anyOf/1/properties/v")}, "required": ["v"]},
                ],
            },
            {"k": "q", "v": {"city": "Oslo"}},
            {"k": "q", "v": 3},
        ),
    ],
)
def test_what_is_within_a_part_is_found_where_it_was(schema: Any, value: Any, wrong: Any) -> None:
    """As zod writes what two parts share: those are composed, so that it is elsewhere."""
    if "allOf" in schema:
        for part in schema["allOf"]:
            del part["additionalProperties"]
    assert is_valid(json.dumps(value), schema)
    sent = held(schema)
    assert is_valid(json.dumps(value), sent)
    assert not is_valid(json.dumps(wrong), sent)
