"""Numbers in digits, in words and in Roman numerals, as one token each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

_UNITS: Final = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
_TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_NUMBER_WORDS: Final = {word: i for i, word in enumerate((_UNITS + "seventeen eighteen nineteen").split())} | {
    word: 10 * i for i, word in enumerate(_TENS, start=2)
}
_SCALES: Final = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_JOINING: Final = {*_NUMBER_WORDS, *_SCALES, "and"}
_SIGNS: Final = {"minus", "negative"}
_ROMAN_DIGITS: Final = {"I": 1, "V": 5, "X": 10}
_BEFORE_A_PRONOUN: Final = {"no", "this", "that", "which", "the", "each", "every", "any", "another"}
_THOUSANDS: Final = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?\Z")
_OPERATOR_NAMES: Final = {">=": "≥", "<=": "≤", "!=": "≠"}


def is_number(token: str) -> bool:
    return token.lstrip("-.")[:1].isdecimal()


def joined(words: Sequence[str]) -> list[str]:
    """Canonical tokens; the words of one number ("minus two hundred and five", "1.5 million") become one."""
    done: list[str] = []
    # What the last number holds up to its last scale, and what still fits behind: 1000 and 100 in "one thousand two
    # hundred".
    base, room = Decimal(0), 0
    for i, word in enumerate(words):
        if word not in _JOINING and word.isalpha():  # as below, in less time
            done.append(word)
            room = 0
            continue
        number = _NUMBER_WORDS.get(word)
        if number and number < room:
            done[-1] = _plain(Decimal(done[-1]) + number)
            room = 10 if number >= 20 else 0
        elif word in _SCALES and done and (done[-1] == "a" or _is_decimal(done[-1])):
            whole, scale = Decimal(1 if done[-1] == "a" else done[-1]), _SCALES[word]
            base = Decimal(0) if whole == base or done[-1] == "a" else base
            whole = base + (whole - base) * scale
            done[-1] = _plain(whole)
            base, room = (base if scale == 100 else whole), scale
        elif word != "and" or room <= 10:
            # "One of them" and "no one" count nothing.
            pronoun = word == "one" and (words[i + 1 : i + 2] == ["of"] or (i and words[i - 1] in _BEFORE_A_PRONOUN))
            done.append(word if pronoun else _canonical(word))
            base, room = Decimal(0), 10 if number and number >= 20 else 0
    for i in range(len(done) - 1, 0, -1) if not _SIGNS.isdisjoint(done) else ():
        if done[i - 1] in _SIGNS and _is_decimal(done[i]) and not (i > 1 and is_number(done[i - 2])):
            done[i - 1 : i + 1] = ["-" + done[i]]
    return done


def _canonical(token: str) -> str:
    if token.isalpha():
        return str(_NUMBER_WORDS.get(token, token))
    if token.isdecimal() and token.isascii() and token[0] != "0":
        return token
    if token.endswith("n't"):
        return "not"
    if not is_number(token):
        return _OPERATOR_NAMES.get(token) or token.removesuffix("'s").replace("^", "").replace("-", "")
    token = token.replace(" ", "+" if "/" in token else "").rstrip("'s")
    plain = token.replace(",", "") if _THOUSANDS.match(token) else token.replace(",", ".")
    # A time, a fraction or a version such as 1.2.3 stays as it is.
    return _plain(Decimal(plain)) if _is_decimal(plain) else plain


def _is_decimal(token: str) -> bool:
    try:
        return is_number(token) and Decimal(token).is_finite()
    except InvalidOperation:
        return False


def _plain(number: Decimal) -> str:
    """The digits without trailing zeros; `Decimal.normalize` would round to 28 of them."""
    digits = format(number, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def roman(numeral: str) -> int:
    values = [_ROMAN_DIGITS[digit] for digit in numeral.upper()]
    return sum(
        -value if value < following else value for value, following in zip(values, [*values[1:], 0], strict=True)
    )
