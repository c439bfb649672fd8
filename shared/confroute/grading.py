"""Whether an answer is right, where accepted answers are known."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable


def contains_answer(answer: str, accepted: Iterable[str]) -> bool:
    """Whether one of the *accepted* answers stands in *answer* as whole words; case, accents, punctuation and
    thousands separators aside.

    >>> contains_answer("It is TOKYO.", ["Tokyo"]), contains_answer("Tokyoites", ["Tokyo"])
    (True, False)
    """
    words = f" {_plain(answer)} "
    return any(f" {plain} " in words for plain in map(_plain, accepted) if plain)


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text.casefold())
    folded = "".join(character for character in folded if not unicodedata.combining(character))
    folded = re.sub(r"(?<=\d),(?=\d{3})", "", folded)
    return re.sub(r"[\W_]+", " ", folded).strip()
