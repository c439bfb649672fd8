"""Small words that are the answer, where the question asks for them: who it is, what one must do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from confroute.equivalence.signs import Side, are_opposed

# By what of the question asks for them. "They" who should rest may be the "you" who should.
_SIDES: Final[Mapping[str, Mapping[str, Side]]] = {
    "who": {**dict.fromkeys(("i", "we"), (0, 0)), **dict.fromkeys(("you", "they"), (0, 1))},
    "whose": {**dict.fromkeys(("my", "our"), (0, 0)), "your": (0, 1), "their": (0, 2)},
    "must": {"must": (0, 0), **dict.fromkeys(("can", "could", "may", "might"), (0, 1))},
}
_PERSON_ASKED: Final = re.compile(r"\W*(who|whose)\b", re.IGNORECASE)
# Not "what age must I be to vote?": that one must be 18 to is that one can at 18. Nor "what do I need to know?".
_MUST_ASKED: Final = re.compile(
    r"\W*(?![^?]{0,200}\b(?:time|age|date|days?|latest|deadline|minimum|when|to (?:know|remember|do to))\b)"
    r"(?:must\b|"
    r"(?:what|do|does|am|are|is)\b[^?]{0,200}\b(?:must|ha(?:ve|s) to|need|required?|mandatory|obligatory|obliged)\b)",
    re.IGNORECASE,
)

# What must be claimed within 30 days can be claimed within 30 days.
_TERM: Final = re.compile(
    r"\b(?:(?:by|after) (?:\d|\w+day\b)|(?:with)?in (?:\d+|a) (?:\w+ )?(?:minute|hour|day|week|month|year)s?\b)"
)


def persons_asked(question: str) -> frozenset[str]:
    """Which of "who", "whose" and "must" a question asks for, if it begins with asking."""
    person = _PERSON_ASKED.match(question)
    asked = {person[1].lower()} if person else set[str]()
    return frozenset(asked | {"must"} if _MUST_ASKED.match(question) else asked)


def persons_oppose(a: Sequence[str], b: Sequence[str], asked: AbstractSet[str]) -> bool:
    """Whether *a* and *b*, tokens of answers whose other words are the same, give another of what is *asked*: as the
    subject "you" for "we", somewhere "our" for "their" or "must" for "can"."""
    return any(
        are_opposed(
            *(
                (_SIDES[kind][word] for word in words[: 1 if kind == "who" else None] if word in _SIDES[kind])
                for words in (a, b)
            )
        )
        for kind in asked
        if kind != "must" or not any(_TERM.search(" ".join(words)) for words in (a, b))
    )
