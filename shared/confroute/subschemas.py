"""Where the schemas stand within a JSON schema: not in its values, and not where a property has a keyword's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import unquote

_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_VALUES = ("const", "enum", "default", "examples")


def rewritten(schema: Any, rewrite: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Any:
    """The *schema*, or a tool with one, of what *rewrite* makes of each, the outer before those within it."""
    if isinstance(schema, list | tuple):
        return [rewritten(part, rewrite) for part in cast("list[Any]", schema)]
    if not isinstance(schema, Mapping):
        return schema
    parts = rewrite(cast("Mapping[str, Any]", schema))
    return {name: _part(name, value, rewrite) for name, value in parts.items()}


def listed(value: Any) -> list[Any]:
    """The schemas or values in it; none where it is no list."""
    return list(cast("list[Any]", value)) if isinstance(value, list | tuple) else []


def referred(reference: Any, root: Mapping[str, Any]) -> Any:
    """What a ``$ref`` stands for. Raises LookupError where that is not in *root*."""
    return [(None, root), *steps(reference, root)][-1][1]


def steps(reference: Any, root: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The names of which a ``$ref`` consists, each with what it leads to. Raises LookupError where that is not in
    *root*."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise LookupError
    at: Any = root
    found: list[tuple[str, Any]] = []
    for name in unquote(reference[1:]).split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        if isinstance(at, list):
            at = cast("list[Any]", at)[int(name) if name.isdecimal() else len(cast("list[Any]", at))]
        elif isinstance(at, Mapping):
            at = cast("Mapping[str, Any]", at)[name]
        else:
            raise LookupError
        found.append((name, at))
    return found


def _part(name: str, value: Any, rewrite: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Any:
    if name in _VALUES:
        return value
    if name in _NAMED and isinstance(value, Mapping):
        return {each: rewritten(part, rewrite) for each, part in cast("Mapping[str, Any]", value).items()}
    return rewritten(value, rewrite)
