"""Whether an answer is right, where accepted answers are known."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from confroute.equivalence.negations import DENIALS
from confroute.equivalence.normalise import LETTER_A, tokens

_JOINT: Final = "ǀ"
"""A letter, so that it stays in the text, in place of the _ between two words."""

_JOINED: Final = re.compile(r"(?<=[^\W_])_(?=[^\W_])")
_BREAK: Final = "ǁ"
"""A word, so that it stays in the text, behind what ends a sentence or a part of one."""

_BROKEN: Final = re.compile(r"[.,?!:;…](?=\W)|[(\n。，？！：；、—–]")
_KINDS: Final = frozenset("answer option choice label class category".split())
_OR: Final = frozenset("or oder ou o of eller".split())
_ARTICLES: Final = frozenset(("a", "an", "the", LETTER_A))


class _Reading(NamedTuple):
    words: list[str]
    joints: set[int]
    """Before which of the words a _ stands that makes one label of them."""
    breaks: set[int]
    """Before which of them a part of a sentence ends; read only where something is denied."""


def contains_answer(answer: str, accepted: Iterable[str]) -> bool:
    """Whether one of the *accepted* answers stands in *answer*, as whole words and whole numbers; case, accents,
    punctuation and the form of numbers aside.

    Not where it is denied right before ("not spam", "isn't Tokyo"; but "It is not. Tokyo is"), nor as a part of a
    longer label that is joined with _ ("not_entailment"; but "answer_b" is "b"). Any other place counts, whatever is
    said of it: "either spam or ham" holds both.

    >>> contains_answer("It is TOKYO.", ["Tokyo"]), contains_answer("Tokyoites", ["Tokyo"])
    (True, False)
    >>> contains_answer("About 1,500.0 of them", ["1500"]), contains_answer("-5", ["5"])
    (True, False)
    """
    # Small letters hide Roman numerals, so that "henry viii" is found in "Henry VIII", which is 8 in capitals.
    readings = [_words(answer), _words(answer.lower())]
    return any(
        _stand_in(wanted.words, read)
        for text in accepted
        for wanted, read in zip((_words(text), _words(text.lower())), readings, strict=True)
        if wanted.words
    )


def _words(text: str) -> _Reading:
    """Also the words behind an apostrophe: the Amérique of "l'Amérique"."""
    found = tokens(text)
    joined, denied = "_" in text and _JOINED.search(text), not DENIALS.isdisjoint(found)
    if not joined and not denied:
        return _Reading([word for token in found for word in token.split("'") if word] or list(found), set(), set())
    if joined:
        text = _JOINED.sub(_JOINT, text)
    if denied:
        text = _BROKEN.sub(rf"\g<0> {_BREAK} ", text)
    read = _Reading([], set(), set())
    for token in tokens(text):
        for word in re.split(f"(['{_JOINT}{_BREAK}])", token):
            if word == _JOINT and _KINDS.isdisjoint(read.words[-1:]):
                read.joints.add(len(read.words))
            elif word == _BREAK:
                read.breaks.add(len(read.words))
            elif word not in ("", "'", _JOINT):
                read.words.append(word)
    return read


def _stand_in(wanted: list[str], read: _Reading) -> bool:
    words, joints = read.words, read.joints
    if len(wanted) > 1:
        # Only alone can the letter A be confused with the article.
        wanted, words = ([word.replace(LETTER_A, "a") for word in text] for text in (wanted, words))
    n = len(wanted)
    return any(
        words[i : i + n] == wanted and i not in joints and i + n not in joints and not _is_denied(read, i)
        for i in range(len(words) - n + 1)
    )


def _is_denied(read: _Reading, i: int) -> bool:
    """By a word right before, with no more than an article between them, and not by that of "true or not"."""
    words, breaks = read.words, read.breaks
    if i > 1 and words[i - 1] in _ARTICLES and i not in breaks:
        i -= 1
    return i > 0 and i not in breaks and words[i - 1] in DENIALS and (i < 2 or words[i - 2] not in _OR)
