"""Tasks whose form is the answer: a sentence to correct, to translate or to put in another tense."""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

from confroute.equivalence.normalise import tokens

Form: TypeAlias = Literal["", "words", "letters"]
"""What counts of it, in its order: with "letters", capitals, too."""

_BEGIN: Final = r"(?:^|[.?!:\n]\s{0,3}|\bplease |\b(?:can|could) you )"
_CHANGE: Final = r"(?:put|change|convert|rewrite|turn|write)\b[^.?!:\n]{0,40}\b"
_LETTERS: Final = re.compile(
    rf"{_BEGIN}(?:capitali[sz]e\b|{_CHANGE}(?:upper|lower|title|sentence|snake|camel|kebab|pascal)[ _-]?case\b)",
    re.IGNORECASE,
)
_WORDS: Final = re.compile(
    rf"{_BEGIN}(?:(?:translate|conjugate|punctuate|proofread|übersetze|korrigiere|traduis|corrige|traduce|traduci)\b|"
    r"(?:correct|fix|check)\b[^.?!:\n]{0,40}\b(?:grammar|grammatical|spelling|punctuation|sentences?)\b|"
    r"(?:correct|fix) [^:\n]{0,20}:|"
    rf"{_CHANGE}(?:tense|voice|person|plural|passive)\b|fill in\b)",
    re.IGNORECASE,
)


def form_asked(question: str) -> Form:
    if _LETTERS.search(question):
        return "letters"
    return "words" if _WORDS.search(question) else ""


def forms_differ(a: str, b: str, form: Form) -> bool:
    """Whether neither of two answers holds the other as it is, stop words and endings included."""
    if not form:
        return False
    written_a, written_b = _written(a, form), _written(b, form)
    return written_a not in written_b and written_b not in written_a


def _written(text: str, form: Form) -> str:
    words = re.findall(r"[\w'’-]+", text) if form == "letters" else tokens(text)
    return f" {' '.join(words)} "
