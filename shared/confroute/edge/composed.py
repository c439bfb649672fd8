"""JSON schemas that are put together of several, as one.

Of an ``allOf`` llama.cpp makes an object that has to have each property of any of them, and of what stands beside a
union, or a reference, it knows nothing: an answer could not say it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import product
from typing import Any, cast

from confroute.edge.patterns import BeyondGrammars
from confroute.subschemas import listed, referred, rewritten

_Schema = Mapping[str, Any]

_OF_OBJECTS = frozenset(("properties", "patternProperties", "additionalProperties"))
_UNIONS = ("oneOf", "anyOf")
_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_READ = _OF_OBJECTS | {
    "type", "required", "$ref", "allOf", *_UNIONS, "enum", "const", "items", "prefixItems", "pattern", "format",
    *_LEAST, *_MOST,
}  # fmt: skip
"""What a grammar is made of. Others are left to whoever checks the answer."""
_MOST_WRITTEN = 10_000
"""How many parts and properties are put together. One that is put together of itself would be so for ever."""


class _NothingLeft(BeyondGrammars):
    def __init__(self) -> None:
        super().__init__("its parts exclude each other")


def composed(schema: _Schema) -> Any:
    """The *schema* without an ``allOf``, and with nothing beside its references and unions that says something of the
    same object. Answers of the one are answers of the other, but for what two of its parts both say: types, values and
    bounds are the narrower; otherwise the later holds, which is what stands beside an ``allOf``, or in a union.

    Raises:
        BeyondGrammars: it is put together of itself, or of very many, or they exclude each other.
    """
    try:
        return rewritten(schema, _Composing(schema).write)
    except RecursionError:
        raise BeyondGrammars("it is put together of itself") from None


class _Composing:
    def __init__(self, root: _Schema) -> None:
        self._root = root
        self._written = 0

    def write(self, schema: _Schema) -> _Schema:
        lone = _lone(schema)
        if lone is not None:
            return self.write(lone)
        unions = len(_unions(schema))
        of_object = bool(_OF_OBJECTS & schema.keys())
        is_several = "allOf" in schema or ((unions or "$ref" in schema) and of_object) or unions > 1
        return self._one([schema]) if is_several else schema

    def _one(self, parts: Sequence[Any]) -> _Schema:
        """What is of all the *parts*."""
        seen = set[int]()
        flat = [each for part in parts for each in self._described_by(part, seen)]
        unions = [union for part in flat for union in _unions(part)]
        whole = self._joined([{name: part[name] for name in part if name not in _UNIONS} for part in flat])
        own = {name: value for name, value in whole.items() if name in _READ}
        if not unions:
            return whole
        if len(unions) == 1 and not own:
            return {**whole, "anyOf": unions[0]}
        alternatives: list[_Schema] = []
        for chosen in product(*unions):
            try:
                alternatives.append(self._one([own, *chosen]))
            except _NothingLeft:
                continue
        if not alternatives:
            raise _NothingLeft
        return {**{name: value for name, value in whole.items() if name not in own}, "anyOf": alternatives}

    def _described_by(self, schema: Any, seen: set[int]) -> list[_Schema]:
        """It, and before it those that describe the same value with it, without their references to each other."""
        if schema is False:
            raise _NothingLeft
        if not isinstance(schema, Mapping) or id(cast("_Schema", schema)) in seen:
            return []
        whole = cast("_Schema", schema)
        seen.add(id(whole))
        found: list[_Schema] = []
        if "$ref" in whole:
            try:
                found += self._described_by(referred(whole["$ref"], self._root), seen)
            except LookupError:
                return [whole]  # llama.cpp objects to it
        for part in listed(whole.get("allOf")):
            found += self._described_by(part, seen)
        return [*found, {name: value for name, value in whole.items() if name not in ("allOf", "$ref")}]

    def _joined(self, parts: list[_Schema]) -> _Schema:
        required = list(dict.fromkeys(str(name) for part in parts for name in listed(part.get("required"))))
        whole = {**reduce(_both, parts, cast("_Schema", {})), **({"required": required} if required else {})}
        self._written += 1
        for place in ("properties", "patternProperties"):
            told: dict[str, list[Any]] = {}
            for part in parts:
                for name, schema in _mapping(part.get(place)).items():
                    told.setdefault(name, []).append(schema)
            self._written += len(told)
            if self._written > _MOST_WRITTEN:
                raise BeyondGrammars("it is put together of very many parts, or of itself")
            if told:
                whole[place] = self._properties(told, required)
        return whole

    def _properties(self, told: Mapping[str, list[Any]], required: list[str]) -> dict[str, Any]:
        """Those of which nothing may be are left out, if they may."""
        properties: dict[str, Any] = {}
        for name, schemas in told.items():
            try:
                same = all(schema == schemas[0] for schema in schemas)
                properties[name] = schemas[0] if same else self._one(schemas)
            except _NothingLeft:
                if name in required:
                    raise
        return properties


def _lone(schema: _Schema) -> _Schema | None:
    """The only one of which it is put together; it may be a reference, as Pydantic has long written one with a default
    beside it, and OpenAPI one with a description."""
    own = {name: value for name, value in schema.items() if name != "allOf"}
    parts = listed(schema.get("allOf"))
    says = [part is False or bool(_READ & _mapping(part).keys()) for part in parts]
    if sum(says) != 1 or (_READ - {"type"}) & own.keys():
        return None
    one = parts[says.index(True)]
    if one is False or "allOf" in one:
        return None
    return reduce(_both, [*map(_mapping, parts), own])


def _both(first: _Schema, second: _Schema) -> _Schema:
    both = {**first, **second}
    for name in first.keys() & second.keys():
        both[name] = _narrower(name, first[name], second[name])
    listed = [values for each in (first, second) if (values := _values(each)) is not None]
    if len(listed) == 2:
        both.pop("const", None)
        both["enum"] = [value for value in listed[0] if any(_is_same(value, other) for other in listed[1])]
        if not both["enum"]:
            raise _NothingLeft
    return both


def _narrower(name: str, one: Any, other: Any) -> Any:
    if name == "type":
        kinds = [kind for kind in _kinds(one) if kind in _kinds(other)]
        if not kinds:
            raise _NothingLeft
        if "number" in kinds:
            kinds.remove("integer")
        return kinds[0] if len(kinds) == 1 else kinds
    if name in (*_LEAST, *_MOST) and {type(one), type(other)} <= {int, float}:
        return max(one, other) if name in _LEAST else min(one, other)
    if name == "additionalProperties" and one is False:
        return one
    if name == "items" and _mapping(one) and _mapping(other) and one != other:
        return {"allOf": [one, other]}
    return other


def _kinds(kinds: Any) -> list[Any]:
    """With integers, where there are numbers."""
    known = listed(kinds) or [kinds]
    return [*known, "integer"] if "number" in known and "integer" not in known else known


def _values(schema: _Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else listed(schema["enum"]) if "enum" in schema else None


def _is_same(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _unions(schema: _Schema) -> list[list[Any]]:
    return [union for name in _UNIONS if (union := listed(schema.get(name)))]


def _mapping(value: Any) -> _Schema:
    return cast("_Schema", value) if isinstance(value, Mapping) else {}
