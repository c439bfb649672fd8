"""Which JSON schemas llama.cpp's grammars hold, and in which words."""

from __future__ import annotations

import functools
import itertools
import json
import math
import re
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from confroute.edge.grammars import held, held_tools
from confroute.edge.times import with_pattern
from confroute.errors import UnsupportedRequestError
from confroute.json_schema import is_valid


def with_one(schema: dict[str, Any], name: str = "a") -> dict[str, Any]:
    return {"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": False}


def integer(**bounds: Any) -> dict[str, Any]:
    return {"type": "integer", **bounds}


TEXT = {"type": "string"}
FIELDS = [f"f{i}" for i in range(20)]


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": [f"value number {i}" for i in range(5000)]},
        {"type": "object", "properties": {f"p{i}": integer() for i in range(1000)}},
        {"anyOf": [{"type": "object", "properties": dict.fromkeys(FIELDS, TEXT), "required": FIELDS}] * 60},
        functools.reduce(lambda inner, _: {"items": inner}, range(300), TEXT),
    ],
    ids=["enum", "optional", "union", "deep"],
)
def test_a_large_schema_is_refused(schema: dict[str, Any]) -> None:
    """llama.cpp works on it for seconds a token, and answers nobody else."""
    with pytest.raises(UnsupportedRequestError, match="very large"):
        held(with_one(schema))


def test_what_no_grammar_is_made_of_does_not_count() -> None:
    """Descriptions may be long, and examples many; a property of that name is one."""
    schema = with_one({"type": "string", "title": "A", "description": "x" * 10_000, "examples": ["x"] * 5000})
    assert held(schema) == schema
    with pytest.raises(UnsupportedRequestError):
        held(with_one({"enum": [*range(5000)]}, "examples"))


@pytest.mark.parametrize(
    "bounds",
    [
        {"minimum": 5, "maximum": 3},
        {"exclusiveMinimum": 5, "exclusiveMaximum": 6},
        {"exclusiveMinimum": 6, "exclusiveMaximum": 5},
        {"minimum": 1.5, "maximum": 1.6},
        {"minimum": 5, "exclusiveMaximum": 5},
        {"minimum": 10**30, "maximum": 10**20},
    ],
    ids=str,
)
def test_integers_that_there_are_not(bounds: dict[str, Any]) -> None:
    """llama.cpp fails on them, or writes others."""
    with pytest.raises(UnsupportedRequestError, match="exclude each other"):
        held(with_one(integer(**bounds)))


@pytest.mark.parametrize(
    "bounds",
    [
        {"minimum": 10**30},
        {"maximum": -(10**30)},
        {"minimum": 10**400},
        {"minimum": math.inf},
        {"minimum": 2**63 - 1},
        {"exclusiveMinimum": 2**63 - 2, "maximum": 2**64},
        {"maximum": -(2**63) + 1},
    ],
    ids=str,
)
def test_integers_that_are_none_to_llama_cpp(bounds: dict[str, Any]) -> None:
    """It has 64 bits for them, and takes the last ones for no bound."""
    with pytest.raises(UnsupportedRequestError, match="more than 64 bits"):
        held(with_one(integer(**bounds)))


LAST = 2**63 - 2


@pytest.mark.parametrize(
    ("bounds", "sent"),
    [
        ({}, (-LAST, LAST)),
        ({"minimum": 0}, (0, LAST)),
        ({"minimum": 10}, (10, LAST)),
        ({"exclusiveMinimum": 1_600_000_000_000}, (1_600_000_000_001, LAST)),
        ({"minimum": 76561197960265728}, (76561197960265728, LAST)),
        ({"minimum": 1e17}, (10**17, LAST)),
        ({"minimum": 2**63 - 8, "maximum": 2**63 - 1}, (2**63 - 8, LAST)),
        ({"minimum": 10**18, "maximum": 2**64 - 1}, (10**18, LAST)),
        ({"maximum": -1}, (-LAST, -1)),
        ({"maximum": 0}, (-LAST, 0)),
        ({"minimum": -(2**63), "maximum": -(2**62)}, (-LAST, -(2**62))),
        ({"minimum": -(2**63), "maximum": 2**63 - 1}, (-LAST, LAST)),
        ({"minimum": 3, "exclusiveMinimum": 6, "maximum": None}, (7, LAST)),
        ({"minimum": 1.5, "maximum": 2.5}, (2, 2)),
        ({"minimum": -5, "exclusiveMinimum": True}, (-5, LAST)),
        ({"minimum": "5", "maximum": None}, (-LAST, LAST)),
        ({"minimum": -math.inf, "maximum": math.inf}, (-LAST, LAST)),
    ],
    ids=str,
)
def test_integers_as_llama_cpp_holds_them(bounds: dict[str, Any], sent: tuple[int, int]) -> None:
    """With both bounds, or it cuts them to sixteen digits and overlooks the zeros within one; and none is one that it
    takes for no bound."""
    both = {"minimum": sent[0], "maximum": sent[1]}
    assert held(with_one(integer(**bounds))) == with_one(integer(**both))
    either = {"type": ["integer", "null"]}
    assert held(with_one({**either, **bounds})) == with_one({**either, **both})


@pytest.mark.parametrize(
    ("told", "sent"),
    [
        (
            {"type": ["number", "integer"], "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            {"type": ["number"], "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        ),
        ({"type": ["integer", "null"], "minimum": 3, "maximum": 2}, {"type": ["null"], "minimum": 3, "maximum": 2}),
        (
            {"type": ["number", "null"], "minimum": 3, "maximum": 2},
            {"type": ["number", "null"], "minimum": 3, "maximum": 2},
        ),
        ({"type": ["integer", "string"], "minimum": 2**63}, {"type": ["string"], "minimum": 2**63}),
        ({"minimum": 3, "maximum": 2},) * 2,
    ],
    ids=str,
)
def test_other_answers_than_integers_stay_possible(told: dict[str, Any], sent: dict[str, Any]) -> None:
    """Where there is no integer within the bounds, or none of 64 bits."""
    assert held(with_one(told)) == with_one(sent)


@pytest.mark.parametrize("of", ["Length", "Items"])
def test_counts_are_no_others_when_cut_to_32_bits(of: str) -> None:
    """A least that came to be more than the most kept llama.cpp at work for ever."""
    told = {f"min{of}": 5, f"max{of}": 2**32 + 1}
    assert held(with_one(told)) == with_one({f"min{of}": 5})
    told = {f"min{of}": -(2**32) + 5, f"max{of}": 1}
    assert held(with_one(told)) == with_one({f"max{of}": 1})
    told = {f"min{of}": 2.5, f"max{of}": 2.6}
    with pytest.raises(UnsupportedRequestError, match="more characters or items"):
        held(with_one(told))


@pytest.mark.parametrize(
    "schema",
    [
        integer(minimum=5, maximum=7),
        {"type": "number", "exclusiveMinimum": 5, "exclusiveMaximum": 6},
        {"type": "number", "minimum": 0, "maximum": 1},
        {"const": {"pattern": r"\d", "minimum": 5, "maximum": 3}},
        {"enum": [{"pattern": r"\d"}]},
        {"type": "string", "pattern": ""},
    ],
    ids=str,
)
def test_what_is_sent_as_it_is(schema: dict[str, Any]) -> None:
    """Where there are such answers, where the model mostly keeps to it by itself, and a value that looks like a
    schema."""
    assert held(with_one(schema)) == with_one(schema)


def test_a_bound_that_no_answer_comes_to_is_not_sent() -> None:
    """llama.cpp would refuse it, and write the schema to stderr."""
    items = {"type": "array", "items": TEXT}
    assert held(with_one({**items, "maxItems": 2000})) == with_one(items)
    assert held(with_one({**items, "maxItems": 50})) == with_one({**items, "maxItems": 50})
    assert held(with_one(TEXT, "maxItems")) == with_one(TEXT, "maxItems")


@pytest.mark.parametrize("name", ["a", "const", "enum", "pattern", "properties", "description"])
def test_a_pattern_is_written_anew_wherever_it_stands(name: str) -> None:
    """In properties of any name, and in the parameters of tools."""
    told, written = ({"type": "string", "pattern": pattern} for pattern in (r"^\d$", "^[0-9]$"))
    assert held(with_one(told, name)) == with_one(written, name)
    also = {"$ref": f"#/$defs/{name}"}
    assert held({"anyOf": [told, also], "$defs": {name: told}}) == {"anyOf": [written, also], "$defs": {name: written}}
    tool, as_sent = (
        {"type": "function", "function": {"name": "x", "parameters": with_one(schema)}} for schema in (told, written)
    )
    assert held_tools([tool]) == (as_sent,)
    assert held_tools([without := {"type": "function", "function": {"name": "x"}}]) == (without,)


class Listed(BaseModel):
    since: datetime
    at: time
    every: timedelta
    page: int
    least: int = Field(ge=1)


def test_a_tool_says_little_more_than_was_told() -> None:
    """It is in the prompt: with bounds of each integer and long patterns, eight tools took three times as many tokens.
    One bound needs the other."""
    told = Listed.model_json_schema()
    tool = {"type": "function", "function": {"name": "x", "parameters": told}}
    (sent,) = held_tools([tool])
    shown = sent["function"]["parameters"]
    assert shown["properties"]["page"] == told["properties"]["page"]
    assert shown["properties"]["least"]["maximum"] == 2**63 - 2
    assert len(json.dumps(shown)) < len(json.dumps(told)) + 150
    for zone in ZONES:
        moment = DAY.replace(microsecond=987654, tzinfo=zone)
        value = Listed(since=moment, at=moment.timetz(), every=timedelta(days=-1, seconds=1.5), page=1, least=1)
        assert is_valid(value.model_dump_json(), shown)
    assert not is_valid('{"since": "soon", "at": "15:30:00", "every": "PT1S", "page": 1, "least": 1}', shown)
    assert not is_valid('{"since": "2024-01-02T15:30:00", "at": "now", "every": "PT1S", "page": 1, "least": 1}', shown)


def test_pydantic_s_common_fields_are_held() -> None:
    """Bounds of numbers and lengths are no reason to ask nothing of the edge."""

    class Rating(BaseModel):
        score: float = Field(ge=0, le=1)
        stars: int = Field(ge=1, le=5)
        why: str = Field(max_length=300, min_length=1)
        tags: list[str] = Field(max_length=10)
        code: str = Field(pattern=r"^[A-Z]{2}\d{3}$")

    assert held(Rating.model_json_schema())["properties"]["code"]["pattern"] == "^[A-Z]{2}[0-9]{3}$"


DAY = datetime(2024, 1, 2, 15, 30)
ZONES = (None, UTC, timezone(timedelta(hours=-10)), timezone(timedelta(hours=5, minutes=30)))


@pytest.mark.parametrize("microsecond", [0, 987654, 250000, 1])
@pytest.mark.parametrize("zone", ZONES, ids=str)
def test_times_have_a_zone_and_parts_of_seconds_where_they_have_some(zone: Any, microsecond: int) -> None:
    """llama.cpp held them to a zone, which the model then made up, and to three digits, the others being cut: each
    sample was wrong in the same way, with confidence."""
    moment = DAY.replace(microsecond=microsecond, tzinfo=zone)
    kinds: tuple[tuple[Any, Any], ...] = ((datetime, moment), (time, moment.timetz()))
    for kind, value in kinds:
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        sent = held(adapter.json_schema())
        for written in (json.loads(adapter.dump_json(value)), value.isoformat()):
            assert re.search(sent["pattern"], written), written
        assert adapter.validate_python(json.loads(adapter.dump_json(value))) == value


@pytest.mark.parametrize(
    "text", ["2024-13-02T15:30:00", "2024-01-02T24:30:00", "2024-01-02", "soon", "2024-01-02T15:30"]
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert not re.search(held({"type": "string", "format": "date-time"})["pattern"], text)


PARTS = (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1), timedelta(microseconds=1))
DURATIONS = [
    sum((part * times for part, times in zip(PARTS, counts, strict=True)), timedelta())
    for counts in itertools.product((0, 400), (0, 23), (0, 59), (0, 7), (0, 250_000))
]


@pytest.mark.parametrize("sign", [1, -1])
def test_durations_are_as_pydantic_writes_them(sign: int) -> None:
    """llama.cpp knows nothing of them, and llguidance neither parts of seconds nor negative ones: an answer of 30
    minutes in words was taken, and read by nobody."""
    adapter = TypeAdapter(timedelta)
    sent = held(adapter.json_schema())
    for duration in (*DURATIONS, timedelta.max, timedelta.min):
        value = duration if duration in (timedelta.max, timedelta.min) else duration * sign
        written = json.loads(adapter.dump_json(value))
        assert re.search(sent["pattern"], written), written
        assert adapter.validate_python(written) == value


@pytest.mark.parametrize("text", ["PT30M", "P1DT2H", "P2W", "PT0.5S", "-P1D", "P1Y2M", "P1Y2M3DT4H5M6.789S", "PT1H5S"])
def test_a_duration_may_have_any_of_its_parts(text: str) -> None:
    assert re.search(held({"type": "string", "format": "duration"})["pattern"], text)
    TypeAdapter(timedelta).validate_python(text)


@pytest.mark.parametrize(
    "text", ["30 minutes", "30", "P", "PT", "-P", "P1DT", "P1H", "PT1D", "P1M1Y", "PT1.S", "P1W2D", "00:30:00", "PT5"]
)
def test_what_is_no_duration_is_none(text: str) -> None:
    assert not re.search(held({"type": "string", "format": "duration"})["pattern"], text)


@pytest.mark.parametrize("form", ["date-time", "time", "duration"])
def test_a_pattern_of_times_is_sent_without_their_format(form: str) -> None:
    """xgrammar, by which vLLM and SGLang hold answers, overlooks a pattern beside a format, and asks for a zone."""
    written = with_pattern({"type": "string", "format": form})
    assert "format" not in written
    assert with_pattern({"format": form, "pattern": "^2024.*$"}) == {"pattern": "^2024.*$"}
    assert with_pattern({"type": "string", "format": "date"}) == {"type": "string", "format": "date"}


def test_a_format_beside_a_pattern_or_of_others_is_sent_as_it_is() -> None:
    """llama.cpp takes the pattern; dates and UUIDs it writes as others do, and of other formats it knows nothing."""
    own = {"type": "string", "format": "date-time", "pattern": "^2024.*$"}
    assert held(own)["pattern"].startswith("^2024")
    for form in ("date", "uuid", "uuid4", "email", "uri", "binary"):
        assert held({"type": "string", "format": form}) == {"type": "string", "format": form}
    either = held({"type": ["string", "null"], "format": "time"})
    assert is_valid("null", either)
    assert is_valid('"15:30:00.5"', either)


WHOLE = {"type": "integer", "minimum": -LAST, "maximum": LAST}


NAMED: dict[str, Any] = {"properties": {"a": TEXT}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("told", "others"),
    [
        ({"patternProperties": {"^[a-z]+$": integer()}, "additionalProperties": False}, WHOLE),
        ({"patternProperties": {"^a": TEXT, "^b": TEXT}, "additionalProperties": False}, TEXT),
        (
            {"patternProperties": {"^a": TEXT, "^b": {"type": "null"}}, "additionalProperties": False},
            {"anyOf": [TEXT, {"type": "null"}]},
        ),
        (
            {"patternProperties": {"^a": TEXT}, "additionalProperties": {"type": "null"}},
            {"anyOf": [TEXT, {"type": "null"}]},
        ),
        ({"patternProperties": {"^x-": True}, "properties": {"a": TEXT}}, {}),
        ({"patternProperties": {"^x-": False}, "additionalProperties": False}, False),
        ({"patternProperties": {"^x-": TEXT}, "additionalProperties": True}, True),
        ({"patternProperties": {"^x-": TEXT}}, None),
        ({**NAMED, "patternProperties": {"^x-": {}}}, False),
        ({**NAMED, "patternProperties": {"^x-": {}}, "required": ["a"]}, False),
        ({**NAMED, "patternProperties": {"^x-": TEXT}, "required": ["a", "x-b"]}, TEXT),
        ({**NAMED, "properties": {}, "patternProperties": {"^x-": TEXT}}, TEXT),
        ({**NAMED, "patternProperties": {"^x-": TEXT}, "required": True}, False),
    ],
)
def test_properties_whose_names_have_a_pattern(told: dict[str, Any], others: Any) -> None:
    """llama.cpp knows no patterns of names: a closed object of them could only be {}, with confidence. One that names
    some, too, had any other names, which are not of the schema."""
    assert held({"type": "object", **told}).get("additionalProperties") == others


def test_names_that_llama_cpp_cannot_tell_from_others_are_refused() -> None:
    """It fails, and writes the whole schema to stderr."""
    for name in ("a]b", "a\\b", "^a", 'a"b'):
        open_one = {"type": "object", "properties": {name: TEXT}, "additionalProperties": True}
        with pytest.raises(UnsupportedRequestError, match="bracket") as raised:
            held(open_one)
        assert name not in str(raised.value)
        assert held({**open_one, "additionalProperties": False})["properties"] == {name: TEXT}


class Point(NamedTuple):
    x: str
    label: str = "none"
    colour: str = "red"


TUPLES: list[tuple[dict[str, Any], list[Any], list[Any]]] = [
    (TypeAdapter(Point).json_schema(), [["1"], ["1", "a"], ["1", "a", "b"]], [[], ["1", "2", "3", "4"]]),
    (TypeAdapter(tuple[str, None]).json_schema(), [["1", None]], [["1"], ["1", None, 2]]),
    ({"type": "array", "prefixItems": [TEXT], "items": integer()}, [["a"], ["a", 1, 2]], [["a", None]]),
    ({"type": "array", "prefixItems": [TEXT], "minItems": 2}, [["a", None]], [["a"]]),
    ({"type": "array", "prefixItems": [TEXT, TEXT], "items": False, "minItems": 0}, [[], ["a"]], [["a", "b", "c"]]),
    ({"type": ["array", "null"], "prefixItems": [TEXT, TEXT], "minItems": 1, "maxItems": 2}, [["a"], None], [[]]),
    ({"type": "array", "prefixItems": [TEXT, TEXT], "maxItems": 1, "minItems": 1}, [["a"]], []),
    ({"type": "array", "prefixItems": [TEXT, TEXT], "maxItems": 1}, [["a"]], [["a", "b"]]),
]


@pytest.mark.parametrize(("told", "valid", "others"), TUPLES, ids=str)
def test_a_tuple_has_as_many_items_as_it_may(told: dict[str, Any], valid: list[Any], others: list[Any]) -> None:
    """llama.cpp lets it have just as many as places have schemas, and overlooks these beside that of the others."""
    sent = held(told)
    tuples = [each for each in sent.get("anyOf", [sent]) if "prefixItems" in each]
    lengths: set[int] = {len(each["prefixItems"]) for each in tuples} | ({0} if sent != told and [] in valid else set())
    assert not any("items" in each for each in tuples)
    for value in valid:
        assert is_valid(json.dumps(value), told)
        assert len(value) in lengths if tuples else is_valid(json.dumps(value), sent)
    for value in others:
        assert not is_valid(json.dumps(value), told)
        assert not tuples or len(value) not in lengths or value is None
