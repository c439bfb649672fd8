"""Whether a word is a verdict: what is said of a subject, "open" in "the bridge is open"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from confroute.equivalence.content import ASSENT, singular

# "It's" is "it" as well.
_SUBJECTS: Final = frozenset("it he she we you they they're you're we're".split())
_BEING: Final = frozenset("is are was were be been being ist sind war waren est sont era es e son sao".split())


def is_verdict(word: str, tokens: Sequence[str], subject: str) -> bool:
    """Whether it stands right behind *subject*, a pronoun or a form of "to be": not "a fruit" in "it is a fruit"."""
    return any(
        singular(y) == word and (x in _SUBJECTS or x in _BEING or singular(x) == subject) for x, y in pairwise(tokens)
    )


def has_verdict(words: Iterable[str], tokens: Sequence[str], sequence: Sequence[str]) -> bool:
    """Whether one of *words* is said of the subject of an answer, the first of its content words, *sequence*."""
    subject = next((word for word in sequence if word not in ASSENT), "")
    return any(is_verdict(word, tokens, subject) for word in words)
