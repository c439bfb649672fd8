"""JSON schemas whose objects have the properties that they name, and no others.

Most schemas do not say whether there may be others, Pydantic's among them, and mean that there are not: what reads the
answer ignores them. A small model left free writes nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from confroute.subschemas import listed, referred, rewritten

_Schema = Mapping[str, Any]

_OF_OBJECTS = (
    "properties", "patternProperties", "additionalProperties", "unevaluatedProperties", "propertyNames", "required",
    "minProperties", "dependentRequired", "dependentSchemas", "dependencies", "const", "enum",
)  # fmt: skip
"""What says something of an object by itself: beside other schemas of it, none knows all of its properties."""
_KNOWS_OTHERS = frozenset(_OF_OBJECTS) - {"properties", "propertyNames", "required", "minProperties"}
_TURNS = ("not", "if", "contains", "$dynamicRef", "$recursiveRef")
"""Fewer objects of the schemas within these may be more of the whole."""


def closed(schema: _Schema) -> _Schema:
    """The *schema* with each of its objects closed that leaves it open whether there are other properties, but for
    those that several schemas describe together. Answers of it are answers of the *schema*, which has some others; but
    not all, where it has a oneOf of schemas that exclude each other only so."""
    schemas: list[_Schema] = []

    def see(each: _Schema) -> _Schema:
        schemas.append(each)
        return each

    rewritten(schema, see)
    if any(word in each for each in schemas for word in _TURNS) or any("$id" in each for each in schemas[1:]):
        return schema
    try:
        left = {id(part) for each in schemas if _is_composed(each) for part in _described_with(each, schema)}
    except LookupError:  # it refers to what is not within it
        return schema

    def close(each: _Schema) -> _Schema:
        return {**each, "additionalProperties": False} if id(each) not in left and _names_all(each) else each

    return rewritten(schema, close)


def _names_all(schema: _Schema) -> bool:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or _KNOWS_OTHERS & schema.keys():
        return False
    named = cast("_Schema", properties)
    least = schema.get("minProperties", 0)
    return all(name in named for name in listed(schema.get("required"))) and least in range(len(named) + 1)


def _is_composed(schema: _Schema) -> bool:
    """Whether more than one schema describes the same object."""
    own, refers = any(name in schema for name in _OF_OBJECTS), "$ref" in schema
    # A oneOf is one of those that exclude each other: others llguidance refuses, open or closed.
    unions = bool(listed(schema.get("anyOf"))) + bool(listed(schema.get("oneOf")))
    return own + refers + unions + len(listed(schema.get("allOf"))) > 1


def _described_with(schema: _Schema, root: _Schema) -> list[_Schema]:
    """*schema* and all those that describe the same object."""
    found: dict[int, _Schema] = {}
    waiting: list[Any] = [schema]
    while waiting:
        part: Any = waiting.pop()
        if not isinstance(part, Mapping) or id(cast("_Schema", part)) in found:
            continue
        part = cast("_Schema", part)
        found[id(part)] = part
        for name in ("allOf", "anyOf", "oneOf"):
            waiting += listed(part.get(name))
        if "$ref" in part:
            waiting.append(referred(part["$ref"], root))
    return list(found.values())
