"""The forms of times in JSON, with a zone and parts of a second, or without; and of durations, in ISO 8601.

RFC 3339, which JSON schemas name, asks for a zone, and what holds answers to it has the model make one up. Pydantic's
datetimes have the same format, and mostly none. Its durations may be negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confroute.subschemas import rewritten

_DAY = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?"
_N = "[0-9]{1,9}"
_SECONDS = rf"{_N}(\.{_N})?S"
_HOURS = f"T({_N}H({_N}M)?({_SECONDS})?|{_N}M({_SECONDS})?|{_SECONDS})"
_DAYS = f"({_N}Y({_N}M)?({_N}D)?|{_N}M({_N}D)?|{_N}D)"
_PATTERNS = {
    "date-time": f"^{_DAY}T{_TIME}$",
    "time": f"^{_TIME}$",
    "duration": f"^-?P({_DAYS}({_HOURS})?|{_HOURS}|{_N}W)$",
}
_SHORT_ZONE = r"(Z|[+-][0-9:]+)?"
_SHORT_PATTERNS = {
    "date-time": rf"^[0-9-]+T[0-9:.]+{_SHORT_ZONE}$",
    "time": rf"^[0-9:.]+{_SHORT_ZONE}$",
    "duration": r"^-?P[0-9.YMWDTHS]+$",
}


def with_patterns(schema: Mapping[str, Any], *, short: bool = False) -> dict[str, Any]:
    """The *schema* with the patterns of times and durations in place of their formats, wherever they are in it."""
    return rewritten(schema, lambda part: with_pattern(part, short=short))


def with_pattern(schema: Mapping[str, Any], *, short: bool = False) -> dict[str, Any]:
    """The *schema* with the pattern of its format in place of it, if that is one of times; with one of its own, that
    alone. xgrammar overlooks a pattern beside a format. A *short* one, for what the model is shown, leaves the order of
    the parts to it."""
    form: Any = schema.get("format")
    if not isinstance(form, str) or form not in _PATTERNS:
        return dict(schema)
    pattern = (_SHORT_PATTERNS if short else _PATTERNS)[form]
    return {"pattern": pattern, **{name: value for name, value in schema.items() if name != "format"}}
