"""Equivalence of short answers by their words and numbers; needs no model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from confroute.equivalence.base import Equivalence

# `re` calls the vowel signs of Indic and Southeast Asian scripts no letters; with the blocks they stay in their word.
_LETTER: Final = r"(?:[^\W\d_]|[\u0900-\u0963\u0970-\u109f\u1780-\u17d3])"
_NUMBER: Final = r"(?:(?<![\w.)])-)?(?:(?<![\w.])\.)?\d+(?:[.,:/]\d+)*"
_TOKEN: Final = re.compile(rf"{_NUMBER}|{_LETTER}+(?:'{_LETTER}+)*[+#]*")
_THOUSANDS: Final = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?\Z")
_SUPERSCRIPT: Final = re.compile("[⁻⁰¹²³⁴-⁹]+")
# A lone I is a pronoun unless something ends after it: "World War I."
_ROMAN: Final = re.compile(r"(?<=[^\W\d_] )(?:[IVX]{2,}\b|I(?=\s*(?:[.,;:!?)]|\Z)))")
_SIGN_BEFORE_CURRENCY: Final = re.compile("-([$€£¥])")
_SYMBOLS: Final = {
    "$": " dollars ", "€": " euros ", "£": " pounds ", "¥": " yen ", "%": " percent ",
    "°c": " degrees celsius ", "°f": " degrees fahrenheit ",
}  # fmt: skip
_DASHES_AND_APOSTROPHES: Final = str.maketrans("−–‐‑’‘ʼ", "----'''")

_STOP_WORDS: Final = frozenset(
    "a an the this that these those it its is are was were be been being do does did has have had will would can "
    "could should might must of in on at to from by for with about as into than then and or so but if there here "
    "which who whom whose what when where why how i you he she we they me my your his her our their s "
    "st nd rd th answer think".split()
)
_NEGATIONS: Final = frozenset("no not never none neither nor cannot without false incorrect".split())

_UNITS: Final = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
_TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_NUMBER_WORDS: Final = {word: i for i, word in enumerate((_UNITS + "seventeen eighteen nineteen").split())} | {
    word: 10 * i for i, word in enumerate(_TENS, start=2)
}
_SCALES: Final = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ROMAN_DIGITS: Final = {"I": 1, "V": 5, "X": 10}


@dataclass(frozen=True, slots=True)
class TextEquivalence(Equivalence):
    """Two answers mean the same if they share enough of their content, beyond what the question said itself.

    Texts are equal after Unicode folding, case, punctuation and number format ("$5.00" and "5 dollars", "twenty-one"
    and "21"), or else share at least *overlap* of the content words of the shorter one, stop words **and the words of
    the question** dropped. Without that, every sentence-shaped answer looks like every other: "The capital of Egypt
    is Cairo" and "The capital of Egypt is Alexandria" differ, "Tokyo" and "The capital of Japan is Tokyo." agree. The
    numbers of one must be among the numbers of the other, in order: 32 and 32.5 differ, so do -5 and 5. Numbers do
    not make up for words: "20 June 1969" and "20 July 1969" differ. A negation in only one of the two makes them
    differ. An answer with no content of its own equals only itself.

    Where it errs: synonyms and unit names ("km", "kilometres") differ; two names that share two words of three agree;
    scripts written without spaces are compared from punctuation to punctuation.

    Cost: microseconds a pair. Meant for answers up to a sentence or two; long texts share words by accident.
    """

    name = "text"
    overlap: float = 0.6

    def same(self, pairs: Sequence[tuple[str, str]], *, question: str) -> list[bool]:
        asked = frozenset(map(_singular, _tokens(question)))
        return [self._pair(_tokens(a), _tokens(b), asked) for a, b in pairs]

    def _pair(self, a: list[str], b: list[str], asked: frozenset[str]) -> bool:
        if a == b:
            return True
        if bool(_NEGATIONS.intersection(a)) != bool(_NEGATIONS.intersection(b)):
            return False
        own_a, own_b = _content(a, asked), _content(b, asked)
        if not own_a or not own_b:
            # One of them only repeats the question: compare all content words, as for an answer out of the
            # question's own choices ("red or blue?").
            own_a, own_b = _content(a, frozenset()), _content(b, frozenset())
        numbers_a, numbers_b = list(filter(_is_number, own_a)), list(filter(_is_number, own_b))
        if numbers_a and numbers_b and not (_within(numbers_a, numbers_b) or _within(numbers_b, numbers_a)):
            return False
        words_a, words_b = set(own_a).difference(numbers_a), set(own_b).difference(numbers_b)
        if not words_a or not words_b:
            return bool(numbers_a and numbers_b)
        return len(words_a & words_b) >= self.overlap * min(len(words_a), len(words_b))


def _content(tokens: list[str], dropped: frozenset[str]) -> list[str]:
    content = (_singular(token) for token in tokens if token not in _STOP_WORDS)
    return list(dict.fromkeys(token for token in content if token not in dropped))


def _singular(token: str) -> str:
    return token[:-1] if len(token) > 3 and token.endswith("s") and not token.endswith("ss") else token


def _within(few: list[str], many: list[str]) -> bool:
    """Whether *few* are among *many*, in the same order: scores of 3-2 and 2-3 differ."""
    rest = iter(many)
    return all(number in rest for number in few)


def _is_number(token: str) -> bool:
    return token.lstrip("-.")[:1].isdecimal()


def _tokens(text: str) -> list[str]:
    text = _ROMAN.sub(lambda match: str(_roman(match[0])), text)
    # Compatibility folding would make 102 of 10².
    text = _SUPERSCRIPT.sub(r"^\g<0>", text)
    folded = unicodedata.normalize("NFKD", text).casefold().translate(_DASHES_AND_APOSTROPHES)
    folded = unicodedata.normalize("NFC", "".join(filter(_is_significant, folded)))
    marked = _SIGN_BEFORE_CURRENCY.sub(r"\1-", folded)
    for symbol, word in _SYMBOLS.items():
        marked = marked.replace(symbol, word)
    # Symbols alone, such as an emoji, are still an answer.
    return _joined(_TOKEN.findall(marked)) or folded.split()


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
        number = _NUMBER_WORDS.get(word)
        if number and number < room:
            joined[-1] = _plain(Decimal(joined[-1]) + number)
            room = 10 if word in _TENS else 0
        elif word in _SCALES and joined and _is_decimal(joined[-1]):
            joined[-1] = _plain(Decimal(joined[-1]) * _SCALES[word])
            room = _SCALES[word]
        elif word != "and" or room <= 10:
            joined.append(_canonical(word))
            room = 10 if word in _TENS else 0
    for i in range(len(joined) - 1, 0, -1):
        if (
            joined[i - 1] in ("minus", "negative")
            and _is_decimal(joined[i])
            and not (i > 1 and _is_number(joined[i - 2]))
        ):
            joined[i - 1 : i + 1] = ["-" + joined[i]]
    return joined


def _canonical(token: str) -> str:
    if token in _NUMBER_WORDS:
        return str(_NUMBER_WORDS[token])
    if token.endswith("n't"):
        return "not"
    if not _is_number(token):
        return token.removesuffix("'s")
    plain = token.replace(",", "") if _THOUSANDS.match(token) else token.replace(",", ".")
    # A date, a time or a version such as 1.2.3 stays as it is.
    return _plain(Decimal(plain)) if _is_decimal(plain) else plain


def _is_decimal(token: str) -> bool:
    try:
        return _is_number(token) and Decimal(token).is_finite()
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
