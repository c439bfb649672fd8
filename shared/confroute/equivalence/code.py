"""Answers that are code, where no word nor sign may be left out."""

from __future__ import annotations

import re
from typing import Final

_SQL: Final = re.compile(
    r"(?:select\s.*\sfrom\s|insert\s+into\s|update\s+\S+\s+set\s|delete\s+from\s|with\s+\w+\s+as\s*\()",
    re.IGNORECASE | re.DOTALL,
)
_OPTION: Final = re.compile(r"(?<=[ \t])-{1,2}[a-z][\w-]*", re.IGNORECASE)


def codes_differ(a: str, b: str) -> bool:
    """Whether two answers that are code, SQL or in a fence each, differ by more than white space, case and semicolons;
    or two that begin with the same word, as of a command, have other options ("--force") behind it."""
    code_a = _code(a)
    code_b = code_a and _code(b)
    if code_a and code_b:
        return _plain(code_a) != _plain(code_b)
    if " -" not in a and " -" not in b:
        return False
    options_a, options_b = set(_OPTION.findall(a)), set(_OPTION.findall(b))
    return options_a != options_b and a.split(None, 1)[:1] == b.split(None, 1)[:1]


def _code(text: str) -> str:
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        return text[:-3].partition("\n")[2]
    return text if _SQL.match(text) else ""


def _plain(code: str) -> str:
    return "".join(code.casefold().split()).replace(";", "")
