"""What a JSON schema refers to, under names that llama.cpp tells apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, cast

from confroute.subschemas import referred, rewritten, steps

_MERGED = re.compile(r"[^a-zA-Z0-9-]+")
_PLACES = ("$defs", "definitions")
_PLAIN = re.compile(f"#/({'|'.join(map(re.escape, _PLACES))})/[^/~%]*")


def used(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The *schema* without the definitions that no answer is held to: nothing refers to them but others of these."""
    kept = _reached(schema)

    def without_others(each: Mapping[str, Any]) -> Mapping[str, Any]:
        parts = dict(each)
        for place in _PLACES:
            if isinstance(told := each.get(place), Mapping):
                definitions = cast("Mapping[str, Any]", told)
                parts[place] = {name: definitions[name] for name in definitions if id(definitions[name]) in kept}
                if not parts[place]:
                    del parts[place]
        return parts

    return rewritten(schema, without_others)


def _reached(schema: Mapping[str, Any]) -> set[int]:
    """Which definitions, by their ids, are referred to, or led through, from outside of those that are not."""
    pointers: list[Any] = []
    reached: set[int] = set()

    def see(each: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" in each:
            pointers.append(each["$ref"])
        return {name: value for name, value in each.items() if name not in _PLACES}

    rewritten(schema, see)
    while pointers:
        try:
            passed = [("", schema), *steps(pointers.pop(), schema)]
        except LookupError:
            continue  # llama.cpp objects to it
        for (place, _), (_, value) in pairwise(passed):
            if place in _PLACES and id(value) not in reached:
                reached.add(id(value))
                rewritten(value, see)
    return reached


class Names:
    """The names that llama.cpp has for what the schemas of one request refer to. It has one for those that differ in
    other characters than ASCII's letters and digits, for those of several tools, and for a definition ``User_name``
    and the property ``name`` of ``User``: all but one of them would be held to another's schema."""

    def __init__(self) -> None:
        self._taken: list[str] = []
        self._number = 1

    def told_apart(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """The *schema* with such definitions again, under names of their own. So are those that llama.cpp does not
        find, the schema itself, and those with a ``/`` or in percent signs; and what is no definition, whose place may
        be another once an ``allOf`` around it has been composed."""
        pointers: dict[str, str] = {}
        again: dict[str, Any] = {}

        def see(each: Mapping[str, Any]) -> Mapping[str, Any]:
            pointer: Any = each.get("$ref")
            if isinstance(pointer, str) and pointer not in pointers:
                pointers[pointer] = self._taking(pointer, schema, again)
            return each

        def write(each: Mapping[str, Any]) -> Mapping[str, Any]:
            pointer: Any = each.get("$ref")
            return {**each, "$ref": pointers.get(pointer, pointer)} if isinstance(pointer, str) else each

        rewritten(schema, see)
        if all(told == sent for told, sent in pointers.items()):
            return schema
        known: Any = schema.get("$defs")
        return rewritten({**schema, "$defs": {**(known if isinstance(known, Mapping) else {}), **again}}, write)

    def _taking(self, pointer: str, schema: Mapping[str, Any], again: dict[str, Any]) -> str:
        try:
            target = referred(pointer, schema)
        except LookupError:
            return pointer  # llama.cpp objects to it
        is_plain = _PLAIN.fullmatch(pointer) is not None
        if is_plain and self._take(pointer):
            return pointer
        last = re.sub("[~%]", "_", pointer.lstrip("#").rpartition("/")[2])
        while True:
            self._number += 1
            name = f"{self._number}{last}"
            if self._take(f"#/$defs/{name}"):
                again[name] = _without_definitions(schema) if target is schema else target
                return f"#/$defs/{name}"

    def _take(self, pointer: str) -> bool:
        """Whether it is told apart from those before: they, and the rules of their parts, have other names."""
        name = _MERGED.sub("-", pointer) + "-"
        if any(name.startswith(other) or other.startswith(name) for other in self._taken):
            return False
        self._taken.append(name)
        return True


def _without_definitions(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in schema.items() if name not in _PLACES}
