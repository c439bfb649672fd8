"""Numbers of versions and sections, whose last zero counts: 3.10 is not 3.1."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from typing import Final

_NAMES: Final = frozenset(
    "version section chapter article clause paragraph appendix python java node django php ruby kubernetes linux "
    "ubuntu debian postgresql postgres mysql numpy pandas pytorch".split()
)
"""What has such a number, in the question or right before the number. Not a table or a figure, which has sizes, too."""

# With the word before it. No amount of money.
_NUMBER: Final = re.compile(
    r"(?:\b([a-z]{3,12})\s)?(?<![\w.,$€£])(\d{1,9}\.\d{0,9}[1-9]0{0,9})(?!\d|\.\d)", re.IGNORECASE
)


def versions_differ(a: str, b: str, asked: AbstractSet[str]) -> bool:
    """Whether two texts have numbers of a version or a section that only a zero at the end tells apart. *asked* are the
    question's words."""
    if "." not in a or "." not in b or ("0" not in a and "0" not in b):
        return False
    numbers_a, numbers_b = _numbers(a), _numbers(b)
    only_a, only_b = numbers_a.keys() - numbers_b, numbers_b.keys() - numbers_a
    if not only_a or not only_b:
        return False
    all_are = not _NAMES.isdisjoint(asked)
    of_a = {number.rstrip("0"): numbers_a[number] for number in only_a}
    return any(
        all_are or numbers_b[number] or of_a[number.rstrip("0")] for number in only_b if number.rstrip("0") in of_a
    )


def _numbers(text: str) -> dict[str, bool]:
    """Each with a point, and whether one of `_NAMES` stands before it."""
    found: list[tuple[str, str]] = _NUMBER.findall(text)
    return {number: name.lower() in _NAMES for name, number in found}
