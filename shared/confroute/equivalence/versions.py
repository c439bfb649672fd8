"""Numbers of versions and sections, whose last zero counts: 3.10 is not 3.1."""

from __future__ import annotations

import re
from typing import Final

from confroute.equivalence.synonyms import UNITS

_NAMES: Final = frozenset(
    "version section chapter article clause paragraph appendix python java node django php ruby kubernetes linux "
    "ubuntu debian postgresql postgres mysql numpy pandas pytorch".split()
)
"""What has such a number, right before it or asked for. Not a table or a figure, which has sizes, too."""

# "Which Python", "what is the latest version"; not "what is the rate in version B".
_ASKED: Final = re.compile(
    rf"\b(?:which|what)(?:'s)?(?:\s(?!in\b|of\b|under\b|on\b|to\b)\w+){{0,6}}\s(?:{'|'.join(sorted(_NAMES))})s?\b",
    re.IGNORECASE,
)

# With the word before it. No amount of money, and nothing with a unit.
_UNIT: Final = "|".join(
    "percent degrees? eur usd gbp euros? dollars? pounds? yen miles? [kmgt]b m g s l".split()
    + sorted({*UNITS, *(f"{unit}s?" for unit in UNITS.values())})
)
_NUMBER: Final = re.compile(
    r"(?:\b([a-z]{3,12})\s)?(?<![\w.,$€£])(\d{1,9}\.\d{0,9}[1-9]0{0,9})(?!\d|\.\d)"
    rf"(?!\s?(?:[%€$£°]|(?:{_UNIT})\b))",
    re.IGNORECASE,
)


def version_asked(question: str) -> bool:
    return _ASKED.search(question) is not None


def versions_differ(a: str, b: str, *, asked: bool) -> bool:
    """Whether two texts have numbers of a version or a section that only a zero at the end tells apart: if the question
    asks for one, as *asked* says, also those without its name."""
    if "." not in a or "." not in b or ("0" not in a and "0" not in b):
        return False
    numbers_a, numbers_b = _numbers(a), _numbers(b)
    only_a, only_b = numbers_a.keys() - numbers_b, numbers_b.keys() - numbers_a
    if not only_a or not only_b:
        return False
    of_a = {number.rstrip("0"): numbers_a[number] for number in only_a}
    return any(
        asked or numbers_b[number] or of_a[number.rstrip("0")] for number in only_b if number.rstrip("0") in of_a
    )


def _numbers(text: str) -> dict[str, bool]:
    """Each with a point, and whether one of `_NAMES` stands before it."""
    found: list[tuple[str, str]] = _NUMBER.findall(text)
    return {number: name.lower() in _NAMES for name, number in found}
