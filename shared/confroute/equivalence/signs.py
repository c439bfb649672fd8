"""What tells two texts apart whose words and numbers do not: operators, scales, addresses, "and" and "or"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

Side: TypeAlias = tuple[int, int]
"""What a sign or a word is about, and which of the possibilities it stands for."""

# Whether there is anything to look for; most texts have nothing. One class of characters first takes half the time.
_ANY: Final = re.compile(r"[-−0-9*/+^×÷·√±¬&|∧∨∪∩→←@](?:(?<=[*/+^×÷·√±¬&|∧∨∪∩→←@])|(?<= [-−]) |(?<=[0-9]) ?[KMBEkmbe])")
# Between operands: not the * of a list, the - of a compound nor the / of "km/h" or "and/or".
_OPERATOR: Final = re.compile(
    r"(?<=[\w)] )(?:[-−–+*/×÷·]|&&?|\|\|?)(?= [\w(√¬!-])|(?<=\b\w)[*×·](?=[\w(])|(?<=\b[a-z])/(?=\w\b)|"
    r"(?<=\d)/(?=[a-z]\b)|\^[({]?[-−]?|[∧∨∪∩→←]",
    re.IGNORECASE,
)
_OPERATORS: Final = {
    **dict.fromkeys("-−–", (0, 0)), "+": (0, 1), **dict.fromkeys("*×·", (0, 2)), **dict.fromkeys("/÷", (0, 3)),
    **dict.fromkeys(("&", "&&", "∧"), (1, 0)), **dict.fromkeys(("|", "||", "∨"), (1, 1)), "∪": (2, 0), "∩": (2, 1),
    "→": (3, 0), "←": (3, 1), "^": (4, 0), "^-": (4, 1),
}  # fmt: skip
_BEFORE: Final = re.compile(r"√|\bsqrt\b|\bsquare root\b|±|\+/-|¬")
_NAMES: Final = {"sqrt": "√", "square root": "√", "+/-": "±"}
_SCALE: Final = re.compile(r"(?<=\d)( ?)(?:([KMB])|([kmb]))(?![\w²³])")
_EXPONENT: Final = re.compile(r"(?<=\d)[eE][+]?([-−]?\d+)")
_ADDRESS: Final = re.compile(
    r"(?<![^\s\"'(<`])(?:[a-z]{1,9}://|[~.]{0,2}/(?=[\w.])|[\w.+-]{1,64}@)[^\s\"'()<>`]+", re.IGNORECASE
)
_WORDS: Final[Mapping[str, Side]] = {
    "and": (0, 0), "or": (0, 1), **dict.fromkeys(("he", "him", "his"), (1, 0)), **dict.fromkeys(("she", "her"), (1, 1)),
    "must": (2, 0), "might": (2, 1), "may": (2, 1),
}  # fmt: skip


def are_opposed(a: Iterable[Side], b: Iterable[Side]) -> bool:
    """Whether each has a side that the other lacks, of the same matter."""
    only_a, only_b = set(a), set(b)
    only_a, only_b = only_a - only_b, only_b - only_a
    return bool(only_a and only_b) and any(i == k for i, _ in only_a for k, _ in only_b)


def words_oppose(a: Iterable[str], b: Iterable[str]) -> bool:
    """Whether an "and" stands against an "or", a "he" against a "she", a "must" against a "might"."""
    return are_opposed((_WORDS[word] for word in a if word in _WORDS), (_WORDS[word] for word in b if word in _WORDS))


def signs_oppose(a: str, b: str) -> bool:
    """Whether signs that no word holds tell *a* and *b* apart.

    Each has an operator between its operands, a negative exponent or an address (of mail, the web or a file) that the
    other lacks; or one has a root, ± or ¬, an exponent ("6e-34") or a glued scale ("5K", "$300M") that the other
    lacks.
    """
    if not _ANY.search(a) and not _ANY.search(b):
        return False
    if _before(a) != _before(b) or _exponents(a) != _exponents(b) or _scaled(a, b) or _scaled(b, a):
        return True
    at_a, at_b = _addresses(a), _addresses(b)
    return bool(at_a - at_b and at_b - at_a) or are_opposed(_operators(a), _operators(b))


def _operators(text: str) -> set[Side]:
    found: list[str] = _OPERATOR.findall(text)
    return {_OPERATORS[sign if sign[0] != "^" else "^-" if sign[-1] in "-−" else "^"] for sign in found}


def _before(text: str) -> set[str]:
    found: list[str] = _BEFORE.findall(text)
    return {_NAMES.get(sign, sign) for sign in found}


def _exponents(text: str) -> list[str]:
    return [exponent.replace("−", "-") for exponent in _EXPONENT.findall(text)]


def _scaled(a: str, b: str) -> bool:
    """Whether a capital K, M or B stands right behind a number of *a*, and not also behind one of *b*."""
    glued = {scale for space, scale, _ in _SCALE.findall(a) if scale and not space}
    return bool(glued) and not glued <= {(scale or small).upper() for _, scale, small in _SCALE.findall(b)}


def _addresses(text: str) -> set[str]:
    return {address.rstrip(".,;:!?").casefold() for address in _ADDRESS.findall(text)}
