"""What tells two texts apart whose words and numbers do not: operators, scales, addresses, "and" and "or"."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, TypeAlias

Side: TypeAlias = tuple[int, int]
"""What a sign or a word is about, and which of the possibilities it stands for."""

Mark: TypeAlias = tuple[str, str]
"""A sign that changes one operand, and that operand."""

# Whether there is anything to look for; most texts have nothing. One class of characters first takes half the time.
_ANY: Final = re.compile(
    r"[-−0-9*/+^×÷·√±¬&|∧∨∪∩→←@✅✔✓☑❌✘✗✖👍👎\\\[(](?:(?<=[*/+^×÷·√±¬&|∧∨∪∩→←@✅✔✓☑❌✘✗✖👍👎\\])|(?<= [-−]) |"
    r"(?<=[0-9]) ?[KMBEkmbe]|(?<=\[)[ xX]\]|(?<=[OΘΩ]\())"
)
# Between operands: not the * of a list, the - of a compound nor the / of "km/h" or "and/or".
_OPERATOR: Final = re.compile(
    r"(?<=[\w)] )(?:[-−–+*/×÷·]|&&?|\|\|?)(?= [\w(√¬!-])|(?<=\b\w)[*×·](?=[\w(])|(?<=\b[a-z])/(?=\w\b)|"
    r"(?<=\d)/(?=[a-z]\b)|\^[({]?[-−]?|[∧∨∪∩→←✅✔✓☑❌✘✗✖👍👎]|(?<!\w)\[[ x]\]",
    re.IGNORECASE,
)
_OPERATORS: Final = {
    **dict.fromkeys("-−–", (0, 0)), "+": (0, 1), **dict.fromkeys("*×·", (0, 2)), **dict.fromkeys("/÷", (0, 3)),
    **dict.fromkeys(("&", "&&", "∧"), (1, 0)), **dict.fromkeys(("|", "||", "∨"), (1, 1)), "∪": (2, 0), "∩": (2, 1),
    "→": (3, 0), "←": (3, 1), "^": (4, 0), "^-": (4, 1), "👍": (5, 0), "👎": (5, 1),
    **dict.fromkeys(("✅", "✔", "✓", "☑", "[x]"), (6, 0)), **dict.fromkeys(("❌", "✘", "✗", "✖", "[ ]"), (6, 1)),
}  # fmt: skip
_NUMBER: Final = r"-?\d{1,30}(?:[.,]\d{1,30}){0,10}"
_BEFORE: Final = re.compile(
    rf"(?:(√|\bsqrt\b|\bsquare root\b)(?: of)?|(±|\+/-|¬|\\pm\b|\\neg\b))[\s({{]{{0,3}}({_NUMBER}|[^\W\d_]\b)",
    re.IGNORECASE,
)
_NAMES: Final = {"sqrt": "√", "square root": "√", "+/-": "±", "\\pm": "±", "\\neg": "¬"}
_SCALE: Final = re.compile(rf"(?<!\d)({_NUMBER})( ?)([KMBkmb])(?![\w²³])")
_EXPONENT: Final = re.compile(rf"(?<!\d)({_NUMBER})[eE][+]?(-?\d+)")
_OPERAND: Final = re.compile(rf"(?<!\d){_NUMBER}|[^\W\d_]+")
# A mail address begins where its letters do, "mailto:" and scripts without spaces aside, and so does one of the web.
_ADDRESS: Final = re.compile(
    r"(?<![a-z0-9_.+-])[a-z0-9_.+-]{1,64}@[a-z0-9_.-]+|"
    r"(?:(?<![a-z0-9_])[a-z]{1,9}://|(?<![^\s\"'(<`])[~.]{0,2}/(?=[\w.]))[^\s\"'()<>`。，、；：）」】]+",
    re.IGNORECASE,
)
_SAME_SITE: Final = re.compile(r"\Ahttps?://(?:www\.)?")
_ORDER: Final = re.compile(r"\b[OΘΩ]\(((?:[^()]|\([^()]*\)){1,60})\)")
_NO_FACTOR: Final = str.maketrans("²³", "23", " \\{}()*·×^")
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
    """Whether an "and" stands against an "or", a "he" against a "she" or a "must" against a "might"."""
    return are_opposed((_WORDS[word] for word in a if word in _WORDS), (_WORDS[word] for word in b if word in _WORDS))


def signs_oppose(a: str, b: str, asked: AbstractSet[Mark] = frozenset()) -> bool:
    """Whether signs that no word holds tell *a* and *b* apart.

    Each has an operator between its operands, a tick or a cross, an O(...) or an address (of mail, the web or a file)
    that the other lacks; or one has a root, ± or ¬ before, an exponent ("6e-34") or a glued scale ("5K", "$300M")
    behind what the other has without it. The `roots_of` the question, *asked*, do not count.
    """
    if not (_ANY.search(a) or _ANY.search(b) or _names_a_root(a) or _names_a_root(b)):
        return False
    if _marked_apart(a, b, asked) or _marked_apart(b, a, asked):
        return True
    return (
        _are_others(_addresses(a), _addresses(b))
        or _are_others(_orders(a), _orders(b))
        or are_opposed(_operators(a), _operators(b))
    )


def _are_others(a: set[str], b: set[str]) -> bool:
    return bool(a - b and b - a)


def _names_a_root(text: str) -> bool:
    return "sqrt" in text or "square root" in text


def roots_of(question: str) -> frozenset[Mark]:
    """The roots, ± and ¬ of what a question names only with them: not those of "√5 or 5?"."""
    marks = _rooted(question)
    operands = Counter(_operands(question) if marks else ())
    return frozenset((sign, operand) for sign, operand in marks if operands[operand] == 1)


def _operators(text: str) -> set[Side]:
    found: list[str] = _OPERATOR.findall(text)
    return {_OPERATORS[sign.lower() if sign[0] != "^" else "^-" if sign[-1] in "-−" else "^"] for sign in found}


def _marked_apart(a: str, b: str, asked: AbstractSet[Mark]) -> bool:
    """Whether a sign of *a* stands at an operand that *b* has without it."""
    marks = _marks(a, loosely=False)
    marks = marks and marks - _marks(b, loosely=True) - asked
    return bool(marks) and not {operand for _, operand in marks}.isdisjoint(_operands(b))


def _marks(text: str, *, loosely: bool) -> set[Mark]:
    """Loosely, also a scale in small letters or behind a space: "5K" is "5k", but "5 k" alone may be anything."""
    text = text.replace("−", "-")
    marks = _rooted(text)
    marks.update(
        (scale.upper(), _plain(number))
        for number, space, scale in _SCALE.findall(text)
        if loosely or (not space and scale.isupper())
    )
    marks.update((f"e{exponent}", _plain(number)) for number, exponent in _EXPONENT.findall(text))
    return marks


def _rooted(text: str) -> set[Mark]:
    marks: set[Mark] = set()
    for root, other, operand in _BEFORE.findall(text):
        sign: str = (root or other).lower()
        marks.add((_NAMES.get(sign, sign), _plain(operand)))
    return marks


def _operands(text: str) -> list[str]:
    found: list[str] = _OPERAND.findall(text.replace("−", "-"))
    return [_plain(operand) for operand in found]


def _plain(operand: str) -> str:
    return operand.replace(",", "").lower()


def _addresses(text: str) -> set[str]:
    return {_SAME_SITE.sub("", address.casefold()).rstrip(".,;:!?*/…") for address in _ADDRESS.findall(text)}


def _orders(text: str) -> set[str]:
    """What stands in each O(...), however a product is written."""
    if "(" not in text:
        return set()
    return {order.lower().translate(_NO_FACTOR) for order in _ORDER.findall(text)}
