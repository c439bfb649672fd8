"""Which JSON schemas llama.cpp's grammars hold, and in which words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from confroute.edge.patterns import MOST_REPETITIONS, BeyondGrammars, for_grammar
from confroute.errors import UnsupportedRequestError
from confroute.subschemas import rewritten

NOT_HELD = "llama.cpp cannot hold an answer to this JSON schema."
_NO_GRAMMAR = ("title", "description", "default", "examples", "$comment")
_MOST = {"Items": 1000, "Length": (1 << 31) - 1}
"""From about twice as many items on llama.cpp refuses the bound, and writes the schema to stderr, or overlooks it. What
is more than 32 bits it takes for another number."""
_MOST_PARTS = 1500
"""Twice as many take seconds for each token, in which nobody else is answered."""
_DEEPEST = 200


def held(schema: Any) -> Any:
    """The *schema*, or a tool with one, in the words of llama.cpp: bounds that no answer comes to are left out, those
    of integers written as it holds them, and patterns in what its grammars know. Integers have at most 63 bits; other
    numbers, and those that the schema says nothing of, sixteen digits before the point (see `cut_numbers`). It still
    overlooks the bounds of a number that is no integer, those of how many properties there are, a length beside a
    pattern, and others; the model mostly keeps to them by itself.

    Raises:
        UnsupportedRequestError: no answer would be of it, or llama.cpp would work on it for very long.
    """
    try:
        if _parts(schema) > _MOST_PARTS:
            raise BeyondGrammars("it is very large")
        return rewritten(schema, _held)
    except BeyondGrammars as error:
        raise UnsupportedRequestError(f"{NOT_HELD[:-1]}: {error}.") from error


def _parts(schema: Any, depth: int = 0) -> int:
    """Of how many values it consists, those aside that no grammar is made of."""
    if depth >= _DEEPEST:
        raise BeyondGrammars("it is very large")
    if isinstance(schema, Mapping):
        parts = cast("Mapping[str, Any]", schema)
        # A mapping of that name is a property's.
        values = [parts[name] for name in parts if name not in _NO_GRAMMAR or isinstance(parts[name], Mapping)]
    elif isinstance(schema, list | tuple):
        values = cast("list[Any]", schema)
    else:
        return 1
    return 1 + sum(_parts(value, depth + 1) for value in values)


def _held(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    parts = dict(schema)
    for of, limit in _MOST.items():
        _write_counts(parts, of, limit)
    write_bounds(parts)
    if isinstance(pattern := parts.get("pattern"), str) and pattern:
        parts["pattern"] = for_grammar(pattern)
    return parts


def _write_counts(parts: dict[str, Any], of: str, limit: int) -> None:
    least = _whole(_number(parts.get(f"min{of}"), 0), math.ceil)
    most = _whole(_number(parts.get(f"max{of}"), math.inf), math.floor)
    if least > min(MOST_REPETITIONS, most):
        raise BeyondGrammars("it asks for more characters or items than it lets be, or than 2,000")
    if least < 0:
        del parts[f"min{of}"]
    if _number(parts.get(f"max{of}"), 0) > limit:
        del parts[f"max{of}"]


def write_bounds(parts: dict[str, Any]) -> None:
    """Both bounds of an integer as llama.cpp holds them: it cuts one without to sixteen digits, overlooks the zeros
    within a single bound, and takes the last integers for none. Where there is no such integer, another of the types
    has to be, or it is BeyondGrammars."""
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
