"""The words and numbers of a text in one form, however it writes them: what equivalences without a model compare."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from confroute.equivalence.numerals import joined, roman
from confroute.equivalence.recent import recently

# `re` calls the vowel signs of Indic and Southeast Asian scripts no letters; with the blocks they stay in their word.
_LETTER: Final = r"(?:[^\W\d_]|[\u0900-\u0963\u0970-\u109f\u1780-\u17d3])"
# Thousands may be parted by spaces. One slash makes a fraction, two a date. "1914,1918" are two years, "3,14" is one
# number, and so is "1960s".
_NUMBER: Final = (
    r"(?:(?<![\w.)])-)?(?:(?<![\w.])\.)?"
    r"(?:\d{1,3}(?: \d{3})+(?!\d)(?:[.,]\d+)?|(?<!/)(?:\d+ )?\d+/\d+(?![/\d])|"
    r"\d+(?:[.:]\d+|,(?!(?<=\d{4},)\d{4}(?!\d))\d+)*(?:(?<=\d0)'?s(?![a-z]))?)"
)
# Digits right behind a letter or two belong to them: H2O, B-12, km^2. Not behind a hyphen after x, y or z: x-3.
_NAMED: Final = r"[a-z]{1,2}(?:\^|(?<=[a-w])-)?\d+(?:\.\d+)*(?:[a-z]{1,2}\d+)*(?:[a-z]{1,2}(?![a-z]))?"
# Between operands only, and > not as the end of an arrow.
_OPERATOR: Final = (
    r"(?<![-=<>])[<>]=?(?=\s?[-+.]?\d)|(?<=\w )[<>]=?(?= \w)|!=|[≤≥≠]|"
    r"(?<=\w)\+(?=\d)|(?<=\w )\+(?= \d)|(?<=\d)\+(?=\w)|(?<=\d )\+(?= \w)"
)
_SHARPS: Final = r"(?:[+#]{2,}|[+#](?!\w))?"
# Looking ahead for what can begin a number, a name or a numeral changes nothing but the time, which it halves; so do
# a class of its own for the letters of ASCII, and that words of three of them, most of all, come first.
_TOKEN: Final = re.compile(
    rf"(?=[-.\d]){_NUMBER}|(?=[a-z]{{1,2}}[\^-]?\d){_NAMED}|{_LETTER}+(?:'{_LETTER}+)*{_SHARPS}|"
    rf"(?=[<>!+≤≥≠])(?:{_OPERATOR})"
)
_ASCII_TOKEN: Final = re.compile(
    rf"[a-z]{{3,}}(?:'[a-z]+)*{_SHARPS}|(?=[a-z]{{1,2}}[\^-]?\d){_NAMED}|[a-z]+(?:'[a-z]+)*{_SHARPS}|(?=[-.\d]){_NUMBER}|(?=[<>!+])(?:{_OPERATOR})"
)
_SUPERSCRIPT: Final = re.compile("[⁻⁰¹²³⁴-⁹]+")
_VULGAR_FRACTION: Final = re.compile("[¼-¾⅐-⅞↉]")
# A lone I is a pronoun unless something ends after it, "World War I.", a king rules, or it numbers what is before it.
_AFTER_KING: Final = r" (?:of|was|is|became|ruled|reigned|began|ended|died)\b"
_NUMBERED: Final = r"(?:(?<=[Tt]ype )|(?<=[Ss]tage )|(?<=[Cc]lass )|(?<=[Pp]hase )|(?<=[Pp]art )|(?<=\bWar ))"
_ROMAN: Final = re.compile(
    r"(?=[IVXivx])(?<![\w'’])(?:(?:[IVX]{2,}|x?i{2,3}|x?iv|x?vi{2,3}|xvi?)\b|(?<=[^\W\d_] )"
    rf"(?:{_NUMBERED}I\b|(?<!\bis )I(?=\s*(?:[.,;:!?)*\"”]|\Z)|{_AFTER_KING})))"
)
# An A is no article at the end, before a full stop or a bracket, nor as the only capital within a sentence.
_LETTER_A: Final = re.compile(r"[Aa](?<![\w'’.].)(?:(?![+#])(?=\W*\Z|\)|\.\s)|(?<=\w A)(?=[\s,;!?])(?! [A-Z]))")
_MERIDIEM: Final = re.compile(r"\b([ap])\. ?m\b")
_SIGN_BEFORE_CURRENCY: Final = re.compile("-([$€£¥])")
_SYMBOLS: Final = {
    "$": " dollars ", "€": " euros ", "£": " pounds ", "¥": " yen ", "%": " percent ",
    "°c": " degrees celsius ", "°f": " degrees fahrenheit ",
}  # fmt: skip
_DASHES_AND_APOSTROPHES: Final = str.maketrans("−–‐‑’‘ʼ⁄", "----'''/")

LETTER_A: Final = "ɑ"
"""The token of the letter A, where "a" is that of the article."""

OPERATORS: Final = frozenset("<>≤≥≠+")


@recently(1_000)
def tokens(text: str) -> tuple[str, ...]:
    text = _LETTER_A.sub(LETTER_A, _ROMAN.sub(lambda match: str(roman(match[0])), text))
    # ASCII has nothing else to fold, and folding takes most of the time.
    folded, pattern = (text.lower(), _ASCII_TOKEN) if text.isascii() else (_folded(text), _TOKEN)
    marked = _SIGN_BEFORE_CURRENCY.sub(lambda match: match[1] + "-", folded)
    if ". m" in marked or ".m" in marked:
        marked = _MERIDIEM.sub(r"\1m", marked)
    for symbol, word in _SYMBOLS.items():
        marked = marked.replace(symbol, word)
    # Symbols alone, such as an emoji, are still an answer.
    return tuple(joined(pattern.findall(marked)) or folded.split())


def _folded(text: str) -> str:
    # Compatibility folding would make 102 of 10² and 11/2 of 1½.
    text = _VULGAR_FRACTION.sub(r" \g<0>", _SUPERSCRIPT.sub(r"^\g<0>", text))
    text = unicodedata.normalize("NFKD", text).casefold().translate(_DASHES_AND_APOSTROPHES)
    return unicodedata.normalize("NFC", "".join(filter(_is_significant, text)))


def _is_significant(character: str) -> bool:
    """False for accents and for the optional vowel points of Hebrew and Arabic; the marks of other scripts, from
    kana voicing to Thai tones, tell words apart."""
    mark = unicodedata.combining(character)
    return not (10 <= mark <= 36 or mark >= 200)
