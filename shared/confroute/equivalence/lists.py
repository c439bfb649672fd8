"""The numbers that a list gives its items: "1. Red, 2. Blue" holds no number."""

from __future__ import annotations

import re
from typing import Final

_FIRST: Final = re.compile(r"\W*1[.)]\s")
_MARK: Final = re.compile(r"^[ \t*]*\d{1,2}[.)](?=\s)", re.MULTILINE)


def without_marks(text: str) -> str:
    """*text* without what numbers its lines, if it begins as a list does, with "1." or "1)"."""
    return _MARK.sub(" ", text) if "1" in text[:8] and _FIRST.match(text) else text
