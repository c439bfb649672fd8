"""Tasks whose form is the answer: a sentence to correct, to translate or to put in another tense."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from typing import Final, Literal, TypeAlias

from confroute.equivalence.content import singular
from confroute.equivalence.normalise import tokens

Form: TypeAlias = Literal["", "words", "any order", "letters"]
"""What counts of it: its words, in their order unless a blank is filled in; with "letters", capitals, too."""

# Only there: what is within a message may be quoted, to be classified.
_BEGIN: Final = r"\s*(?:please,? |(?:can|could) you (?:please )?)?"
_CHANGE: Final = r"(?:put|change|convert|rewrite|turn)\b[^.?!:\n]{0,40}\b"
_LETTERS: Final = re.compile(
    rf"{_BEGIN}(?:capitali[sz]e\b|{_CHANGE}(?:upper|lower|title|sentence|snake|camel|kebab|pascal)[ _-]?case\b)",
    re.IGNORECASE,
)
_WORDS: Final = re.compile(
    rf"{_BEGIN}(?:(?:translate|conjugate|punctuate|proofread|übersetze|korrigiere|traduis|corrige|traduce|traduci)\b|"
    r"(?:correct|fix)\b(?! (?:answer|or)\b)[^.?!:\n]{0,40}\b(?:grammar|grammatical|spelling|punctuation|sentences?)\b|"
    r"check (?!if\b|whether\b)[^.?!:\n]{0,40}\b(?:grammar|spelling|punctuation)\b|"
    r"(?:correct|fix)(?: (?:this|the|it|these|following|text|errors?|mistakes?))*:|"
    rf"{_CHANGE}(?:tense|(?:active|passive) voice|(?:first|second|third) person|plural|passive)\b)",
    re.IGNORECASE,
)
_BLANK: Final = re.compile(rf"{_BEGIN}fill in\b[^.?!:\n]{{0,20}}\b(?:blanks?|gaps?|missing)\b", re.IGNORECASE)

# Each with what stands before and behind it.
_PAYLOAD: Final = re.compile(
    r"""(.*)["“„«]([^"“”„«»]+)["”“»]([^"“”„«»]{0,40})|(.{1,80}):\s(.+)()|"""
    r"(the (?:blank|(?:missing )?word|answer) (?:is|should be)) (.+)()|((?:sure|certainly|of course)[!,.]) (.+)()",
    re.IGNORECASE | re.DOTALL,
)
_INTRODUCTION: Final = frozenset(
    "the a an is are be should would in into of for to as here this that sure certainly course answer blank word "
    "missing translation translate translated correction correct corrected sentence version form text reads".split()
)
_CONTRACTIONS: Final = (
    (re.compile(r"\bcan(?:'t|not)\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"\b(it|he|she|that|there|here|what|who|where|how)'s\b"), r"\1 is"),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'m\b"), " am"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'ll\b"), " will"),
)


def form_asked(question: str) -> Form:
    if _LETTERS.match(question):
        return "letters"
    if _BLANK.match(question):
        return "any order"
    return "words" if _WORDS.match(question) else ""


def forms_differ(a: str, b: str, form: Form, asked: AbstractSet[str]) -> bool:
    """Whether neither of two answers, without what introduces it, holds the other as it is, stop words and endings
    included. *asked* are the question's words."""
    if not form:
        return False
    written_a, written_b = (_written(_payload(text, asked), form) for text in (a, b))
    if form == "any order":
        words_a, words_b = set(written_a.split()), set(written_b.split())
        return not words_a <= words_b and not words_b <= words_a
    return written_a not in written_b and written_b not in written_a


def _payload(text: str, asked: AbstractSet[str]) -> str:
    """What stands in the last quotes or behind the last colon, if the words around it only introduce it: not those of
    "He said: yes"."""
    text = text.strip()
    match = _PAYLOAD.fullmatch(text)
    if match is None:
        return text
    before, payload, behind = (group for group in match.groups() if group is not None)
    introduces = all(word in _INTRODUCTION or singular(word) in asked for word in tokens(f"{before} {behind}"))
    return payload if introduces else text


def _written(text: str, form: Form) -> str:
    if form == "letters":
        words = re.findall(r"[\w'’-]+", text)
    else:
        text = text.lower().replace("’", "'")
        for pattern, words_of_it in _CONTRACTIONS:
            text = pattern.sub(words_of_it, text)
        words = tokens(text)
    return f" {' '.join(words)} "
