"""Whether a word is a verdict: what is said of a subject, "open" in "the bridge is open"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from confroute.equivalence.content import ASSENT, STOP_WORDS, singular

ARTICLES: Final = frozenset("a an the this these those our".split())

# "It's" is "it" as well.
SUBJECTS: Final = frozenset("it he she we you they they're you're we're".split())
BEING: Final = frozenset("is are was were be been being ist sind war waren est sont era es e son sao".split())
_DEGREES: Final = frozenset("much very quite too rather far even also still now often always indeed only".split())
_NO_ADVERBS: Final = frozenset(
    "early likely unlikely daily weekly monthly quarterly yearly hourly nightly timely untimely friendly unfriendly "
    "deadly costly elderly orderly lonely lovely ugly lively silly holy oily hilly chilly curly sickly smelly ghastly "
    "cowardly family italy july".split()
)
"""What else ends as adverbs do, and is a verdict, too."""


def is_verdict(word: str, tokens: Sequence[str], subject: str) -> bool:
    """Whether it stands right behind *subject*, a pronoun or a form of "to be": not "a fruit" in "it is a fruit"."""
    return word in _verdicts(tokens, subject)


def has_verdict(words: frozenset[str], tokens: Sequence[str], asked: frozenset[str]) -> bool:
    """Whether one of *words* is said of the subject of an answer: its first words, if *asked* has them all, up to a
    form of "to be" ("New York is"), or else the first of its content words."""
    content = (singular(token) for token in tokens if token not in STOP_WORDS and token not in ASSENT)
    being = _end_of_subject(tokens, asked)
    return not words.isdisjoint(_verdicts(tokens[being:], "" if being else next(content, "")))


def _verdicts(tokens: Sequence[str], subject: str) -> set[str]:
    """Without the adverbs before them: "closed" in "it is currently closed". Behind what only ends as they do, "early"
    in "it is early", there may be another: "it is likely closed"."""
    verdicts: set[str] = set()
    is_behind = False
    for token, behind in zip(tokens, (*tokens[1:], ""), strict=True):
        word = singular(token)
        if is_behind and word in _NO_ADVERBS:
            verdicts.add(word)
            continue
        if is_behind and is_adverb(word) and behind and behind not in STOP_WORDS:
            continue
        if is_behind:
            verdicts.add(word)
        is_behind = token in SUBJECTS or token in BEING or word == subject
    return verdicts


def _end_of_subject(tokens: Sequence[str], asked: frozenset[str]) -> int:
    """Where the form of "to be" is; 0 if the answer begins in another way."""
    for i, token in enumerate(tokens):
        if token in BEING:
            return i
        if token not in ARTICLES and token not in ASSENT and (token in STOP_WORDS or singular(token) not in asked):
            return 0
    return 0


def is_adverb(word: str) -> bool:
    return word in _DEGREES or (word.endswith("ly") and word not in _NO_ADVERBS)
