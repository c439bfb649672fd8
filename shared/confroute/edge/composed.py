"""JSON schemas that are put together of several, as one.

Of an ``allOf`` llama.cpp makes an object that has to have each property of any of them, and of what stands beside a
union, or a reference, it knows nothing: an answer could not say it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any, cast

from confroute.edge.patterns import BeyondGrammars
from confroute.subschemas import referred, rewritten

_Schema = Mapping[str, Any]

_OF_OBJECTS = frozenset(("properties", "patternProperties", "additionalProperties"))
_READ = _OF_OBJECTS | {
    "type", "required", "$ref", "allOf", "anyOf", "oneOf", "enum", "const", "items", "prefixItems", "minItems",
    "maxItems", "pattern", "format", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum",
}  # fmt: skip
"""What a grammar is made of. Others are left to whoever checks the answer."""
_MOST = 100
"""How many are put together. One that is put together of itself would be so for ever."""


def composed(schema: _Schema) -> Any:
    """The *schema* without an ``allOf``, and with nothing beside its references and unions that says something of the
    same object. Answers of the one are answers of the other, but for what two of its parts both say: the first holds.

    Raises:
        BeyondGrammars: it is put together of itself, or of very many.
    """
    count = 0

    def write(each: _Schema) -> _Schema:
        nonlocal count
        lone = _lone(each)
        if lone is not None:
            return lone
        described = "allOf" in each or ("$ref" in each and _OF_OBJECTS & each.keys())
        union = next((name for name in ("oneOf", "anyOf") if isinstance(each.get(name), list | tuple)), None)
        if not described and not (union and _OF_OBJECTS & each.keys()):
            return each
        count += 1
        if count > _MOST:
            raise BeyondGrammars("it is put together of very many parts, or of itself")
        whole = _whole(each, schema)
        union = next((name for name in ("oneOf", "anyOf") if isinstance(whole.get(name), list | tuple)), None)
        if union is None or not _OF_OBJECTS & whole.keys():
            return whole
        own = {name: value for name, value in whole.items() if name in _READ and name != union}
        others = {name: value for name, value in whole.items() if name not in own}
        return {**others, union: [_both(own, _whole(part, schema)) for part in whole[union]]}

    try:
        return rewritten(schema, write)
    except RecursionError:
        raise BeyondGrammars("it is put together of itself") from None


def _lone(schema: _Schema) -> _Schema | None:
    """The only one of which it is put together; it may be a reference, as Pydantic has long written one with a default
    beside it."""
    own = {name: value for name, value in schema.items() if name != "allOf"}
    parts = _list(schema.get("allOf"))
    if len(parts) != 1 or (_READ - {"type"}) & own.keys() or not isinstance(parts[0], Mapping) or "allOf" in parts[0]:
        return None
    return {**parts[0], **own}


def _whole(schema: Any, root: _Schema) -> _Schema:
    return reduce(_both, _described_by(schema, root, set()), cast("_Schema", {}))


def _described_by(schema: Any, root: _Schema, seen: set[int]) -> list[_Schema]:
    """It, and those that describe the same value with it, without their references to each other."""
    if not isinstance(schema, Mapping) or id(cast("_Schema", schema)) in seen:
        return []
    whole = cast("_Schema", schema)
    seen.add(id(whole))
    found: list[_Schema] = [{name: value for name, value in whole.items() if name not in ("allOf", "$ref")}]
    if "$ref" in whole:
        try:
            found += _described_by(referred(whole["$ref"], root), root, seen)
        except LookupError:
            return [whole]  # llama.cpp objects to it
    for part in _list(whole.get("allOf")):
        found += _described_by(part, root, seen)
    return found


def _both(first: _Schema, second: _Schema) -> _Schema:
    both: dict[str, Any] = {**second, **first}
    for name in ("properties", "patternProperties"):
        if isinstance(one := first.get(name), Mapping) and isinstance(other := second.get(name), Mapping):
            both[name] = _joined(cast("_Schema", one), cast("_Schema", other))
    required = [*_list(first.get("required")), *_list(second.get("required"))]
    return both | {"required": list(dict.fromkeys(map(str, required)))} if required else both


def _joined(first: _Schema, second: _Schema) -> _Schema:
    twice = {name: {"allOf": [first[name], second[name]]} for name in first if name in second}
    same = {name: first[name] for name in twice if first[name] == second[name]}
    return {**first, **second, **twice, **same}


def _list(value: Any) -> list[Any]:
    return list(cast("list[Any]", value)) if isinstance(value, list | tuple) else []
