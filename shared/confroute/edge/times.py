"""The forms of times in JSON: with a zone and parts of a second, or without.

RFC 3339, which JSON schemas name, asks for a zone, and what holds answers to it has the model make one up. Pydantic's
datetimes have the same format, and mostly none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DAY = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?"
_PATTERNS = {"date-time": f"^{_DAY}T{_TIME}$", "time": f"^{_TIME}$"}


def with_pattern(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The *schema* with the pattern of its format, if that is one of times, and it has none of its own."""
    form: Any = schema.get("format")
    has_one = "pattern" not in schema and isinstance(form, str) and form in _PATTERNS
    return {**schema, "pattern": _PATTERNS[form]} if has_one else dict(schema)
