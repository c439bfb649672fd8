"""What a JSON schema refers to, under names that llama.cpp tells apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from confroute.subschemas import referred, rewritten

_MERGED = re.compile(r"[^a-zA-Z0-9-]+")
_PLACES = ("$defs", "definitions")


class Names:
    """The names that llama.cpp has for what the schemas of one request refer to. It has one for those that differ in
    other characters than ASCII's letters and digits, for those of several tools, and for a definition ``User_name``
    and the property ``name`` of ``User``: all but one of them would be held to another's schema."""

    def __init__(self) -> None:
        self._taken: list[str] = []

    def told_apart(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """The *schema* with such definitions again, under names of their own. So are those that llama.cpp does not
        find: the schema itself, and those with a ``/`` or in percent signs."""
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
        sent = [f"{pointer}/" for pointer in pointers.values()]
        left = {place: _begun(f"#/{place}/", schema.get(place), sent) for place in _PLACES if place in schema}
        return rewritten({**schema, **left, "$defs": {**left.get("$defs", {}), **again}}, write)

    def _taking(self, pointer: str, schema: Mapping[str, Any], again: dict[str, Any]) -> str:
        try:
            target = referred(pointer, schema)
        except LookupError:
            return pointer  # llama.cpp objects to it
        is_plain = len(pointer) > 1 and not set("~%") & set(pointer)
        if is_plain and self._take(pointer):
            return pointer
        last = re.sub("[~%]", "_", pointer.lstrip("#").rpartition("/")[2])
        number = 2
        while not self._take(f"#/$defs/{number}{last}"):
            number += 1
        again[f"{number}{last}"] = _without_definitions(schema) if target is schema else target
        return f"#/$defs/{number}{last}"

    def _take(self, pointer: str) -> bool:
        """Whether it is told apart from those before: they, and the rules of their parts, have other names."""
        name = _MERGED.sub("-", pointer) + "-"
        if any(name.startswith(other) or other.startswith(name) for other in self._taken):
            return False
        self._taken.append(name)
        return True


def _begun(place: str, definitions: Any, pointers: list[str]) -> dict[str, Any]:
    """Those that one of the *pointers* still leads to, or through: all count for the size of the schema."""
    known: Mapping[str, Any] = cast("Mapping[str, Any]", definitions) if isinstance(definitions, Mapping) else {}
    return {name: known[name] for name in known if any(each.startswith(f"{place}{name}/") for each in pointers)}


def _without_definitions(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in schema.items() if name not in _PLACES}
