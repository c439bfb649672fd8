"""Whether one word stands for another: two answers that are the same but for "positive" and "negative"."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from confroute.equivalence.content import ASSENT, OPENINGS, Content, singular
from confroute.equivalence.negations import NEGATIONS
from confroute.equivalence.numerals import is_number
from confroute.equivalence.signs import words_oppose
from confroute.equivalence.synonyms import CALLINGS, KINDS, are_synonyms
from confroute.equivalence.verdicts import is_verdict

# Also words that join a sentence to what was before.
_LINKS: Final = OPENINGS | {"therefore", "thus", "hence", "overall"}
_DEGREES: Final = frozenset("very quite really extremely highly".split())
_PERMITTED: Final = frozenset({"may"})
"""No stop word, as it is a month as well."""


def told_apart(a: tuple[str, ...], b: tuple[str, ...], first: Content, second: Content, asked: frozenset[str]) -> bool:
    """Whether one word, or as many as there, stands where the other answer has another; or all that they say is the
    same but for an "and" and an "or"."""
    words_a, words_b = first.whole.words, second.whole.words
    if words_a == words_b or words_a ^ words_b == _PERMITTED:
        return words_oppose(a, b)
    if words_a <= words_b or words_b <= words_a:
        return False
    runs = _runs(first.sequence, words_b)
    counted = _counted(first) | _counted(second)
    for place, run_b in _runs(second.sequence, words_a).items():
        if place not in runs:
            continue
        run_a = runs[place]
        if place[1] and not place[0]:
            run_a, run_b = _beginnings(run_a, run_b, a, b, asked)
        if (
            _is_swap(run_a, run_b)
            and not (run_a[0] not in counted and _is_subject(run_a, run_b, place, a, b, asked))
            and not (run_b[0] not in counted and _is_subject(run_b, run_a, place, b, a, asked))
            and not (_name(run_a, place[1], a, asked) and _name(run_b, place[1], b, asked))
        ):
            return True
    return False


def _runs(sequence: Sequence[str], others: frozenset[str]) -> dict[tuple[str, str], list[str]]:
    """The words that are not among *others*, by the words before and behind them that are, without degrees and a "no"
    that the rest says again."""
    says_again = sequence[:1] == ["no"] and not NEGATIONS.isdisjoint(sequence[1:]) and ASSENT.isdisjoint(others)
    links = _LINKS | {"no"} if says_again else _LINKS
    runs: dict[tuple[str, str], list[str]] = {}
    run: list[str] = []
    before = ""
    for word in (*sequence, ""):
        if word and word not in others:
            if word not in _DEGREES and not is_number(word) and (before or word not in links):
                run.append(word)
            continue
        if run:
            runs.setdefault((before, word), run)
            run = []
        before = word
    return runs


def _beginnings(
    run_a: list[str], run_b: list[str], a: Sequence[str], b: Sequence[str], asked: frozenset[str]
) -> tuple[list[str], list[str]]:
    """Two runs at the beginning without the "yes" of only one of them, and without what only one says of the question
    before a verdict of one word: "yes, the bridge is open" and "it is closed"."""
    run_a, run_b = _unassenting(run_a, run_b, asked), _unassenting(run_b, run_a, asked)
    if (
        min(len(run_a), len(run_b)) == 1
        and asked.issuperset(run_a[:-1] + run_b[:-1])
        and all(is_verdict(run[-1], said, run[-2] if len(run) > 1 else "") for run, said in ((run_a, a), (run_b, b)))
    ):
        return run_a[-1:], run_b[-1:]
    return run_a, run_b


def _unassenting(run: list[str], other: list[str], asked: frozenset[str]) -> list[str]:
    """Without a "yes" at its beginning, unless *other* has something else there, a "no" or a "maybe"."""
    if run[0] in ASSENT and (
        len(run) > len(other) or other[0] in ASSENT or asked.difference(NEGATIONS).issuperset(other)
    ):
        return run[1:]
    return run


def _is_swap(a: list[str], b: list[str]) -> bool:
    """Initials, endings and synonyms swap nothing."""
    return len(a) == len(b) and not all(
        _is_form(x, y) or _is_form(y, x) or are_synonyms(x, y) for x, y in zip(a, b, strict=True)
    )


def _is_subject(
    run: list[str],
    other: list[str],
    place: tuple[str, str],
    tokens: Sequence[str],
    tokens_of_other: Sequence[str],
    asked: frozenset[str],
) -> bool:
    """Whether *run* is the question's own and stands between a word of it and one that is not, and *other* says more
    there: "the capital of Japan is Tokyo" and "the capital city is Tokyo". Or, at the beginning, if *other* is a part
    of the name: "discovered by Fleming" and "Alexander Fleming"."""
    before, behind = place
    if not asked.issuperset(run) or asked.issuperset(other) or not behind.isalpha() or behind in asked:
        return False
    if before:
        return before in asked and all(word in KINDS or word in asked for word in other)
    return _are_adjacent(other[-1], behind, tokens_of_other) and not _are_adjacent(run[-1], behind, tokens)


def _counted(content: Content) -> set[str]:
    """What stands right behind a number."""
    if not content.whole.numbers:
        return set()
    return {behind for word, behind in pairwise(content.sequence) if is_number(word)}


def _is_form(long: str, short: str) -> bool:
    """Also a plural that changes its last letters ("wolves", of which the s is gone), and a word that one of a script
    without spaces stands before."""
    return (
        long.startswith(short)
        or (long.endswith("ie") and long[:-2] + "y" == short)
        or (long.endswith("ve") and short in {long[:-2] + "f", long[:-2] + "fe"})
        or (len(short) > 2 and short.isascii() and long.endswith(short) and not long[0].isascii())
    )


def _name(run: list[str], behind: str, tokens: Sequence[str], asked: frozenset[str]) -> bool:
    """Whether *run* only introduces the name *behind* it, which the question did not say: "the English playwright"
    William Shakespeare, but not "a playwright" from Oslo."""
    last = run[-1]
    return last in CALLINGS and behind.isalpha() and behind not in asked and _are_adjacent(last, behind, tokens)


def _are_adjacent(word: str, behind: str, tokens: Sequence[str]) -> bool:
    return any(singular(x) == word and singular(y) == behind for x, y in pairwise(tokens))
