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
_MOST_ITEMS = 1000
"""From about twice as many on llama.cpp refuses the bound, and writes the schema to stderr, or overlooks it."""
_MOST_PARTS = 1500
"""Twice as many take seconds for each token, in which nobody else is answered."""
_DEEPEST = 200


def held(schema: Any) -> Any:
    """The *schema*, or a tool with one, in the words of llama.cpp: bounds that no answer comes to are left out, and
    patterns written in what its grammars know. It still overlooks the bounds of a number that is no integer, those of
    how many properties there are, a length beside a pattern, and others; the model mostly keeps to them by itself.

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
    _check_bounds(schema)
    parts = dict(schema)
    if _number(parts.get("maxItems"), 0) > _MOST_ITEMS:
        del parts["maxItems"]
    if isinstance(pattern := parts.get("pattern"), str) and pattern:
        parts["pattern"] = for_grammar(pattern)
    return parts


def _check_bounds(schema: Mapping[str, Any]) -> None:
    for of in ("Length", "Items"):
        least = _number(schema.get(f"min{of}"), 0)
        if least > min(MOST_REPETITIONS, _number(schema.get(f"max{of}"), math.inf)):
            raise BeyondGrammars("it asks for more characters or items than it lets be, or than 2,000")
    least, most = _number(schema.get("minimum"), -math.inf), _number(schema.get("maximum"), math.inf)
    if schema.get("type") == "integer":
        above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        least = max(_whole(least, math.ceil), _whole(_number(above, -math.inf), math.floor) + 1, -_BEYOND)
        most = min(_whole(most, math.floor), _whole(_number(below, math.inf), math.ceil) - 1, _BEYOND - 1)
    if least > most:
        raise BeyondGrammars("its bounds exclude each other")


_BEYOND = 1 << 63
"""The first integer that is none to llama.cpp."""


def _number(value: Any, otherwise: float) -> float:
    # Others llama.cpp objects to.
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value == value else otherwise


def _whole(value: float, rounded: Any) -> float:
    return rounded(value) if isinstance(value, float) and math.isfinite(value) else value
