"""Whether an answer is right, where accepted answers are known."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from confroute.equivalence.negations import DENIALS
from confroute.equivalence.normalise import LETTER_A, tokens

_JOINT: Final = "ǀ"
"""A letter, so that it stays in the text, in place of the _ between two words."""

_JOINED: Final = re.compile(r"(?<=[^\W_])_(?=[^\W_])")
_ARTICLES: Final = frozenset(("a", "an", "the", LETTER_A))


def contains_answer(answer: str, accepted: Iterable[str]) -> bool:
    """Whether one of the *accepted* answers stands in *answer*, as whole words and whole numbers; case, accents,
    punctuation and the form of numbers aside.

    Not where it is denied right before ("not spam", "isn't Tokyo"), nor as a part of a longer label that is joined
    with _ ("not_entailment"). Any other place counts, whatever is said of it: "either spam or ham" holds both.

    >>> contains_answer("It is TOKYO.", ["Tokyo"]), contains_answer("Tokyoites", ["Tokyo"])
    (True, False)
    >>> contains_answer("About 1,500.0 of them", ["1500"]), contains_answer("-5", ["5"])
    (True, False)
    """
    # Small letters hide Roman numerals, so that "henry viii" is found in "Henry VIII", which is 8 in capitals.
    readings = [_words(answer), _words(answer.lower())]
    return any(
        _stand_in(wanted, words, joints)
        for text in accepted
        for (wanted, _), (words, joints) in zip((_words(text), _words(text.lower())), readings, strict=True)
        if wanted
    )


def _words(text: str) -> tuple[list[str], frozenset[int]]:
    """Also the words behind an apostrophe: the Amérique of "l'Amérique". And before which of them a _ stands."""
    if "_" not in text or not _JOINED.search(text):
        found = tokens(text)
        return [word for token in found for word in token.split("'") if word] or list(found), frozenset()
    words: list[str] = []
    joints: set[int] = set()
    for token in tokens(_JOINED.sub(_JOINT, text)):
        for word in re.split(f"(['{_JOINT}])", token):
            if word == _JOINT:
                joints.add(len(words))
            elif word and word != "'":
                words.append(word)
    return words, frozenset(joints)


def _stand_in(wanted: list[str], words: list[str], joints: frozenset[int]) -> bool:
    if len(wanted) > 1:
        # Only alone can the letter A be confused with the article.
        wanted, words = ([word.replace(LETTER_A, "a") for word in text] for text in (wanted, words))
    n = len(wanted)
    return any(
        words[i : i + n] == wanted and i not in joints and i + n not in joints and not _is_denied(words, i)
        for i in range(len(words) - n + 1)
    )


def _is_denied(words: list[str], i: int) -> bool:
    before = words[i - 2 : i] if i > 1 else words[:i]
    return bool(before) and (before[-1] in DENIALS or (before[-1] in _ARTICLES and before[0] in DENIALS))
