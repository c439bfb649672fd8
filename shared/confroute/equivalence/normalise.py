"""The words and numbers of a text in one form, however it writes them: what equivalences without a model compare."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final

# `re` calls the vowel signs of Indic and Southeast Asian scripts no letters; with the blocks they stay in their word.
_LETTER: Final = r"(?:[^\W\d_]|[\u0900-\u0963\u0970-\u109f\u1780-\u17d3])"
_NUMBER: Final = r"(?:(?<![\w.)])-)?(?:(?<![\w.])\.)?\d+(?:[.,:/]\d+)*"
# Looking ahead for what can begin a number or a numeral changes nothing but the time, which it halves; so does a class
# of its own for the letters of ASCII.
_TOKEN: Final = re.compile(rf"(?=[-.\d]){_NUMBER}|{_LETTER}+(?:'{_LETTER}+)*[+#]*")
_ASCII_TOKEN: Final = re.compile(rf"[a-z]+(?:'[a-z]+)*[+#]*|(?=[-.\d]){_NUMBER}")
_THOUSANDS: Final = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?\Z")
_SUPERSCRIPT: Final = re.compile("[⁻⁰¹²³⁴-⁹]+")
# A lone I is a pronoun unless something ends after it: "World War I."
_ROMAN: Final = re.compile(r"(?=[IVX])(?<=[^\W\d_] )(?:[IVX]{2,}\b|I(?=\s*(?:[.,;:!?)]|\Z)))")
_SIGN_BEFORE_CURRENCY: Final = re.compile("-([$€£¥])")
_SYMBOLS: Final = {
    "$": " dollars ", "€": " euros ", "£": " pounds ", "¥": " yen ", "%": " percent ",
    "°c": " degrees celsius ", "°f": " degrees fahrenheit ",
}  # fmt: skip
_DASHES_AND_APOSTROPHES: Final = str.maketrans("−–‐‑’‘ʼ", "----'''")

_UNITS: Final = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
_TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_NUMBER_WORDS: Final = {word: i for i, word in enumerate((_UNITS + "seventeen eighteen nineteen").split())} | {
    word: 10 * i for i, word in enumerate(_TENS, start=2)
}
_SCALES: Final = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_JOINING: Final = {*_NUMBER_WORDS, *_SCALES, "and"}
_SIGNS: Final = {"minus", "negative"}
_ROMAN_DIGITS: Final = {"I": 1, "V": 5, "X": 10}


def is_number(token: str) -> bool:
    return token.lstrip("-.")[:1].isdecimal()


@lru_cache(maxsize=512)
def tokens(text: str) -> tuple[str, ...]:
    # Remembered, since clustering meets each text as often as there are others.
    text = _ROMAN.sub(lambda match: str(_roman(match[0])), text)
    # ASCII has nothing else to fold, and folding takes most of the time.
    folded, pattern = (text.lower(), _ASCII_TOKEN) if text.isascii() else (_folded(text), _TOKEN)
    marked = _SIGN_BEFORE_CURRENCY.sub(lambda match: match[1] + "-", folded)
    for symbol, word in _SYMBOLS.items():
        marked = marked.replace(symbol, word)
    # Symbols alone, such as an emoji, are still an answer.
    return tuple(_joined(pattern.findall(marked)) or folded.split())


def _folded(text: str) -> str:
    # Compatibility folding would make 102 of 10².
    text = _SUPERSCRIPT.sub(r"^\g<0>", text)
    text = unicodedata.normalize("NFKD", text).casefold().translate(_DASHES_AND_APOSTROPHES)
    return unicodedata.normalize("NFC", "".join(filter(_is_significant, text)))


def _is_significant(character: str) -> bool:
    """False for accents and for the optional vowel points of Hebrew and Arabic; the marks of other scripts, from
    kana voicing to Thai tones, tell words apart."""
    mark = unicodedata.combining(character)
    return not (10 <= mark <= 36 or mark >= 200)


def _joined(words: Iterable[str]) -> list[str]:
    """Canonical tokens; the words of one number ("minus two hundred and five", "1.5 million") become one."""
    joined: list[str] = []
    room = 0
    for word in words:
        if word not in _JOINING and word.isalpha():  # as below, in less time
            joined.append(word)
            room = 0
            continue
        number = _NUMBER_WORDS.get(word)
        if number and number < room:
            joined[-1] = _plain(Decimal(joined[-1]) + number)
            room = 10 if number >= 20 else 0
        elif word in _SCALES and joined and _is_decimal(joined[-1]):
            joined[-1] = _plain(Decimal(joined[-1]) * _SCALES[word])
            room = _SCALES[word]
        elif word != "and" or room <= 10:
            joined.append(_canonical(word))
            room = 10 if number and number >= 20 else 0
    for i in range(len(joined) - 1, 0, -1) if not _SIGNS.isdisjoint(joined) else ():
        if joined[i - 1] in _SIGNS and _is_decimal(joined[i]) and not (i > 1 and is_number(joined[i - 2])):
            joined[i - 1 : i + 1] = ["-" + joined[i]]
    return joined


def _canonical(token: str) -> str:
    if token.isalpha():
        return str(_NUMBER_WORDS.get(token, token))
    if token.endswith("n't"):
        return "not"
    if not is_number(token):
        return token.removesuffix("'s")
    plain = token.replace(",", "") if _THOUSANDS.match(token) else token.replace(",", ".")
    # A date, a time or a version such as 1.2.3 stays as it is.
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


def _roman(numeral: str) -> int:
    values = [_ROMAN_DIGITS[digit] for digit in numeral]
    return sum(
        -value if value < following else value for value, following in zip(values, [*values[1:], 0], strict=True)
    )
