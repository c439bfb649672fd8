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
    of integers written as it holds them, and patterns in what its grammars know. Integers have at most sixteen digits
    where no bound asks for more, and never more than 63 bits. It still overlooks the bounds of a number that is no
    integer, those of how many properties there are, a length beside a pattern, and others; the model mostly keeps to
    them by itself.

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
    _write_bounds(parts)
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


def _write_bounds(parts: dict[str, Any]) -> None:
    least, most = _number(parts.get("minimum"), -math.inf), _number(parts.get("maximum"), math.inf)
    kinds: Any = parts.get("type")
    is_integer = kinds == "integer" or (isinstance(kinds, list | tuple) and "integer" in kinds)
    if is_integer:
        above, below = parts.get("exclusiveMinimum"), parts.get("exclusiveMaximum")
        least = max(_whole(least, math.ceil), _whole(_number(above, -math.inf), math.floor) + 1)
        most = min(_whole(most, math.floor), _whole(_number(below, math.inf), math.ceil) - 1)
    if least > most:
        raise BeyondGrammars("its bounds exclude each other")
    if is_integer and (least, most) != (-math.inf, math.inf):
        for name in _BOUNDS:
            parts.pop(name, None)
        parts |= _of_integers(least, most)


def _of_integers(least: float, most: float) -> dict[str, Any]:
    """The bounds as llama.cpp holds them. It takes the last integers for no bound. Of a single one it overlooks the
    zeros within, and of more than fifteen digits it makes repetitions without end."""
    if least > _LAST or most < -_LAST:
        raise BeyondGrammars("it asks for an integer of more than 64 bits")
    if least > 9 and most > _LAST:
        most = _WIDEST if least < _WIDE else _LAST
    elif most < 0 and least < -_LAST:
        least = -_WIDEST if most > -_WIDE else -_LAST
    return {
        **({"minimum": least} if least >= -_LAST else {}),
        **({"maximum": most} if most <= _LAST else {}),
    }


_BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
_LAST = (1 << 63) - 2
"""The greatest integer that is no limit of a type to llama.cpp, with either sign."""
_WIDE, _WIDEST = 10**15, 10**16 - 1
"""The least and the greatest of the most digits that llama.cpp lets an integer without bounds have."""


def _number(value: Any, otherwise: float) -> float:
    # Others llama.cpp objects to.
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value == value else otherwise


def _whole(value: float, rounded: Any) -> float:
    return rounded(value) if isinstance(value, float) and math.isfinite(value) else value
