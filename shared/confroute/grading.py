"""Whether an answer is right, where accepted answers are known."""

from __future__ import annotations

from collections.abc import Iterable

from confroute.equivalence.normalise import LETTER_A, tokens


def contains_answer(answer: str, accepted: Iterable[str]) -> bool:
    """Whether one of the *accepted* answers stands in *answer*, as whole words and whole numbers; case, accents,
    punctuation and the form of numbers aside.

    >>> contains_answer("It is TOKYO.", ["Tokyo"]), contains_answer("Tokyoites", ["Tokyo"])
    (True, False)
    >>> contains_answer("About 1,500.0 of them", ["1500"]), contains_answer("-5", ["5"])
    (True, False)
    """
    # Small letters hide Roman numerals, so that "henry viii" is found in "Henry VIII", which is 8 in capitals.
    readings = [_words(answer), _words(answer.lower())]
    return any(
        _stand_in(wanted, words)
        for text in accepted
        for wanted, words in zip((_words(text), _words(text.lower())), readings, strict=True)
        if wanted
    )


def _words(text: str) -> list[str]:
    """Also the words behind an apostrophe: the Amérique of "l'Amérique"."""
    return [word for token in tokens(text) for word in token.split("'") if word] or list(tokens(text))


def _stand_in(wanted: list[str], words: list[str]) -> bool:
    if len(wanted) > 1:
        # Only alone can the letter A be confused with the article.
        wanted, words = ([word.replace(LETTER_A, "a") for word in text] for text in (wanted, words))
    return any(words[i : i + len(wanted)] == wanted for i in range(len(words) - len(wanted) + 1))
