"""Which JSON schemas llama.cpp's grammars hold, and in which words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from confroute.edge.composed import composed
from confroute.edge.patterns import MOST_REPETITIONS, BeyondGrammars, for_grammar
from confroute.edge.references import Names, used
from confroute.edge.times import with_pattern
from confroute.errors import UnsupportedRequestError
from confroute.subschemas import rewritten
from confroute.tools import Tool, with_parameters

NOT_HELD = "llama.cpp cannot hold an answer to this JSON schema."
_NO_GRAMMAR = ("title", "description", "default", "examples", "$comment")
_MOST = {"Items": 1000, "Length": (1 << 31) - 1}
"""From about twice as many items on llama.cpp refuses the bound, and writes the schema to stderr, or overlooks it. What
is more than 32 bits it takes for another number."""
_MOST_PARTS = 1500
"""Twice as many take seconds for each token, in which nobody else is answered."""
_DEEPEST = 200
_LARGE = "it is very large"
_NO_NAMES = re.compile(r'[\]\\^"]')
"""What a name is not told apart from others by, in the names that an object may have beside it: llama.cpp writes the
schema to stderr."""


def held(schema: Mapping[str, Any], names: Names | None = None, *, shown: bool = False) -> dict[str, Any]:
    """The *schema* in the words of llama.cpp: bounds that no answer comes to are left out, those of integers written as
    it holds them, and patterns in what its grammars know. What it refers to has *names* that others of the request do
    not have. Integers have at most 63 bits; other numbers, and those that the schema says nothing of, sixteen digits
    before the point (see `cut_numbers`). It still overlooks the bounds of a number that is no integer, those of how
    many properties there are, their names where these have a pattern, a length beside a pattern, and others; the model
    mostly keeps to them by itself. Of one that the model is *shown*, patterns of times are short, and integers without
    bounds have none: these would be most of a prompt with tools.

    Raises:
        UnsupportedRequestError: no answer would be of it, or llama.cpp would work on it for very long.
    """
    try:
        told = used(schema)
        _check_size(told)
        whole = used(composed(used((names or Names()).told_apart(told))))
        _check_size(whole)
        return rewritten(whole, lambda part: _held(part, shown=shown))
    except RecursionError:
        raise UnsupportedRequestError(f"{NOT_HELD[:-1]}: {_LARGE}.") from None
    except BeyondGrammars as error:
        raise UnsupportedRequestError(f"{NOT_HELD[:-1]}: {error}.") from error


def held_tools(tools: Sequence[Tool]) -> tuple[Tool, ...]:
    """The *tools* that a request offers, with the schemas of their arguments `held`, as the model is shown them."""
    names = Names()
    return with_parameters(tools, lambda schema: held(schema, names, shown=True))


def _check_size(schema: Any) -> None:
    if _parts(schema) > _MOST_PARTS:
        raise BeyondGrammars(_LARGE)


def _parts(schema: Any, depth: int = 0) -> int:
    """Of how many values it consists, those aside that no grammar is made of."""
    if depth >= _DEEPEST:
        raise BeyondGrammars(_LARGE)
    if isinstance(schema, Mapping):
        parts = cast("Mapping[str, Any]", schema)
        # A mapping of that name is a property's.
        values = [parts[name] for name in parts if name not in _NO_GRAMMAR or isinstance(parts[name], Mapping)]
    elif isinstance(schema, list | tuple):
        values = cast("list[Any]", schema)
    else:
        return 1
    return 1 + sum(_parts(value, depth + 1) for value in values)


def _held(schema: Mapping[str, Any], *, shown: bool) -> Mapping[str, Any]:
    parts = with_pattern(schema, short=shown)
    for of, limit in _MOST.items():
        _write_counts(parts, of, limit)
    write_bounds(parts, shown=shown)
    _write_names(parts)
    _write_tuple(parts)
    if isinstance(pattern := parts.get("pattern"), str) and pattern:
        parts["pattern"] = for_grammar(pattern)
    return parts


def _write_names(parts: dict[str, Any]) -> None:
    """Properties whose names have a pattern, as others than those named: llama.cpp knows no such patterns, and lets
    none be where the object has no others. Where it has named ones that are enough, they are left out: others would be
    of any name."""
    others: Any = parts.get("additionalProperties", False)
    patterned: Any = parts.get("patternProperties")
    named: Any = parts.get("properties")
    if named and parts.get("additionalProperties") is False and _names_required(parts):
        return
    if isinstance(patterned, Mapping) and others is not True and {"properties", "additionalProperties"} & parts.keys():
        values = [*cast("Mapping[str, Any]", patterned).values(), others]
        values = [value for value in values if value is not False]
        if values:
            parts["additionalProperties"] = others = _any_of(values)
    if others is not False and any(map(_NO_NAMES.search, map(str, parts.get("properties") or ()))):
        raise BeyondGrammars("an object that may have others has a property with a bracket, quotation mark or the like")


def _names_required(parts: Mapping[str, Any]) -> bool:
    required: Any = parts.get("required")
    names = cast("Sequence[Any]", required) if isinstance(required, list | tuple) else ()
    return all(name in parts["properties"] for name in names)


def _write_tuple(parts: dict[str, Any]) -> None:
    """An array whose items have schemas of their own by their places: llama.cpp lets it have just as many, and
    overlooks them beside a schema of the others."""
    first: Any = parts.get("prefixItems")
    if not isinstance(first, list | tuple):
        return
    places = list(cast("Sequence[Any]", first))
    most = _number(parts.get("maxItems"), len(places))
    least = _number(parts.get("minItems"), min(len(places), most))
    others: Any = parts.pop("items", max(least, most) > len(places))
    lengths = [length for length in range(len(places) + 1) if least <= length <= most]
    if others is not False or (len(lengths) > 1 and isinstance(parts.get("type"), list | tuple)):
        del parts["prefixItems"]
        parts["items"] = _any_of([*places, *([] if others is False else [others])])
    elif len(lengths) > 1:
        del parts["prefixItems"]
        parts["anyOf"] = [_tuple_of(places[:length]) for length in lengths]
    else:
        parts["prefixItems"] = places[: lengths[0]] if lengths else places


def _tuple_of(places: list[Any]) -> dict[str, Any]:
    return {"type": "array", "prefixItems": places} if places else {"type": "array", "items": {}, "maxItems": 0}


def _any_of(schemas: list[Any]) -> dict[str, Any]:
    """One of them, where True is any."""
    told: list[dict[str, Any]] = [{} if schema is True else schema for schema in schemas]
    return told[0] if all(schema == told[0] for schema in told) else {"anyOf": told}


def _write_counts(parts: dict[str, Any], of: str, limit: int) -> None:
    least = _whole(_number(parts.get(f"min{of}"), 0), math.ceil)
    most = _whole(_number(parts.get(f"max{of}"), math.inf), math.floor)
    if least > min(MOST_REPETITIONS, most):
        raise BeyondGrammars("it asks for more characters or items than it lets be, or than 2,000")
    if least < 0:
        del parts[f"min{of}"]
    if _number(parts.get(f"max{of}"), 0) > limit:
        del parts[f"max{of}"]


def write_bounds(parts: dict[str, Any], *, shown: bool = False) -> None:
    """Both bounds of an integer as llama.cpp holds them: it cuts one without to sixteen digits, overlooks the zeros
    within a single bound, and takes the last integers for none. Where there is no such integer, another of the types
    has to be, or it is BeyondGrammars. Where the model is *shown* it, one without any is left so."""
    if shown and parts.keys().isdisjoint(BOUNDS):
        return
    least, most = _number(parts.get("minimum"), -math.inf), _number(parts.get("maximum"), math.inf)
    kinds = _kinds(parts)
    if not may_be_integer(parts):
        if least > most and kinds == ["number"]:
            raise BeyondGrammars(_NOTHING_WITHIN)
        return
    above, below = parts.get("exclusiveMinimum"), parts.get("exclusiveMaximum")
    least = max(_whole(least, math.ceil), _whole(_number(above, -math.inf), math.floor) + 1)
    most = min(_whole(most, math.floor), _whole(_number(below, math.inf), math.ceil) - 1)
    if least > most or least > LAST or most < -LAST:
        others = [kind for kind in kinds if kind != "integer"]
        if not others:
            raise BeyondGrammars(_NOTHING_WITHIN if least > most else "it asks for an integer of more than 64 bits")
        parts["type"] = others
        return
    for name in BOUNDS:
        parts.pop(name, None)
    parts |= {"minimum": max(least, -LAST), "maximum": min(most, LAST)}


def may_be_integer(parts: Mapping[str, Any]) -> bool:
    """Whether integers are among the types that it lists."""
    return "integer" in _kinds(parts)


def _kinds(parts: Mapping[str, Any]) -> list[Any]:
    kinds: Any = parts.get("type")
    return list(cast("list[Any]", kinds)) if isinstance(kinds, list | tuple) else [kinds]


BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
LAST = (1 << 63) - 2
"""The greatest integer that is no limit of a type to llama.cpp, with either sign."""
_NOTHING_WITHIN = "its bounds exclude each other"


def _number(value: Any, otherwise: float) -> float:
    # Others llama.cpp objects to.
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value == value else otherwise


def _whole(value: float, rounded: Any) -> float:
    return rounded(value) if isinstance(value, float) and math.isfinite(value) else value
