"""Equivalence of short answers by their words and numbers; needs no model."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

from confroute.equivalence.asked import asked_part, ends_of
from confroute.equivalence.base import Equivalence
from confroute.equivalence.code import codes_differ
from confroute.equivalence.lists import without_marks
from confroute.equivalence.negations import NEGATIONS, deny_each_other, one_denies
from confroute.equivalence.normalise import OPERATORS, tokens
from confroute.equivalence.numerals import is_number
from confroute.equivalence.quantities import one_is_a_part
from confroute.equivalence.recent import recently
from confroute.equivalence.signs import Mark, Side, roots_of, signs_oppose, words_oppose
from confroute.equivalence.synonyms import ABBREVIATIONS, CALLINGS, are_synonyms

_STOP_WORDS: Final = frozenset(
    "a an the this that these those it its is are was were be been being do does did has have had will would can "
    "could should might must of in on at to from by for with about as into than then and or so but if there here "
    "which who whom whose what when where why how i you he she we they them me my your his her our their "
    "st nd rd th answer think one".split()
)
_OPENINGS: Final = frozenset("sure certainly indeed ok okay".split())
# Also words that join a sentence to what was before.
_LINKS: Final = _OPENINGS | {"therefore", "thus", "hence", "overall"}
_ASSENT: Final = _OPENINGS | {"yes", "true", "correct"}

_PERMITTED: Final = frozenset({"may"})
"""No stop word, as it is a month as well."""

_DIGIT: Final = re.compile(r"\d")
_SENTENCE_END: Final = re.compile(r"[.?!;:]\s|\n")
_EITHER: Final = re.compile(r"(?=[\s/])(?:\s(?:or|vs\.?|versus)\s|(?<=[^\W\d_]{3})/(?=[^\W\d_]{3}))")
_BETWEEN_CHOICES: Final = re.compile(rf",\s*(?:or\s)?|{_EITHER.pattern}")


class _Question(NamedTuple):
    words: frozenset[str]
    offers: bool
    """Whether it holds what answers it: choices, or a text."""
    choices: Mapping[str, AbstractSet[Side]]
    """The words that it, or that text, offers with an "or", each with its sentence and the place of its choice there.
    """
    roots: frozenset[Mark]


class _Said(NamedTuple):
    numbers: tuple[str, ...]
    """In their order."""
    words: frozenset[str]


class _Content(NamedTuple):
    whole: _Said
    own: _Said
    """What the question did not say already."""
    telling: frozenset[str]
    """What another answer cannot put in other words: operators, "A", "B12", a number that the question names."""
    symbol: str
    """The last word of an answer without content of its own, if it could be a symbol: that of helium is He."""
    denies: bool
    sequence: Sequence[str]
    """Its content words and numbers in their order."""


@dataclass(frozen=True, slots=True)
class TextEquivalence(Equivalence):
    """Two answers mean the same if they share enough of their content, beyond what the question said itself.

    Texts are equal after Unicode folding, case, punctuation and number format ("$5.00" and "5 dollars", "twenty-one"
    and "21"), or else share at least *overlap* of the content words of the shorter one, stop words **and the words of
    the question** dropped. Without that, every sentence-shaped answer looks like every other: "The capital of Egypt
    is Cairo" and "The capital of Egypt is Alexandria" differ, "Tokyo" and "The capital of Japan is Tokyo." agree. Of
    a long message, which may hold a text to answer from, the part that asks is the question (`asked_part`), and the
    answers have to agree with the whole as the question, too. Where one answer has the question's words alone, each
    with a word that the other lacks are different.

    What they do not share can part them. The numbers of one must be among the numbers of the other, in order, and as
    many, unless it has more words as well, or a year: "1-1" and "1-0" differ, so do -5 and 5, "CO" and "CO2"; "Lima"
    and "Lima, founded in 1535" agree; but "2 hours" are not "2 hours 30 minutes". Numbers do not make up for words:
    "20 June 1969" and "20 July 1969" differ. So do answers that each have a letter ("vitamin A"), an operator (x > 3),
    an address or a number of the question that the other lacks, or another choice of a question with an "or"; and
    those where one word stands for another between the same two: "is positive" and "is negative", "8 AM" and "8 PM",
    also where the question has one of them; a few words that answers swap most are known to be the same ("located",
    "situated"), and months and units by their abbreviations. A negation in only one of the two makes them differ, in
    some twenty languages; so does a word that one denies and the other says, and "and" for "or", "he" for "she" and
    "must" for "might" where nothing else does. Of SQL and of answers in a fence, only white space, case, semicolons,
    prompts and comments do not count; of commands, each option does. An answer with no content of its own equals only
    itself.

    Where it errs: other synonyms and unit names ("mi", "miles") differ, also one within a long sentence; so may two
    sentences of the same answer that go on differently behind it, or that go on with a word of the question and with
    another. Two answers of the same words in another order agree ("from hot to cold", "A is bigger than B"), and one
    agrees with a list that holds it ("Monday" and "Monday and Tuesday", "5 degrees" and "5 to 10 degrees"), brackets
    and a minus before a word do not count, nor does a word swapped for one that the other answer has elsewhere;
    "invalid" and "unlike" are no negations, nor is the "but" of "all but"; of what is denied, only the first word is
    seen. Scripts written without spaces are compared from punctuation to punctuation.

    Cost: microseconds a pair, linear in the answers; of the question, some thousand characters at its ends are read.
    Meant for answers up to a sentence or two; long texts share words by accident.
    """

    name = "text"
    version = 4
    quick = True
    overlap: float = 0.6

    def same(self, pairs: Sequence[tuple[str, str]], *, question: str) -> list[bool]:
        readings = _asked(ends_of(question))
        return [a == b or all(self._pair(a, b, asked) for asked in readings) for a, b in pairs]

    def _pair(self, text_a: str, text_b: str, asked: _Question) -> bool:
        a, b = tokens(text_a), tokens(text_b)
        if a == b:
            return not _written_apart(text_a, text_b, asked)
        if a[:1] == ("1",) or b[:1] == ("1",):
            a, b = _unnumbered(text_a, text_b)
        first, second = _content(a, asked.words), _content(b, asked.words)
        if (first.denies or second.denies) and (
            one_denies(text_a, text_b, asked.words) or deny_each_other(first.sequence, second.sequence, asked.words)
        ):
            return False
        if _opposed(first, second, asked):
            return False
        if first.symbol and second.symbol:
            return first.symbol == second.symbol
        return (
            self._share(first, second, asked)
            and not _told_apart(a, b, first, second, asked)
            and not _written_apart(text_a, text_b, asked)
        )

    def _share(self, a: _Content, b: _Content, asked: _Question) -> bool:
        said_a, said_b = a.own, b.own
        if not any(said_a) or not any(said_b):
            # One of them only repeats the question: compare all content words, as for an answer out of the
            # question's own choices ("red or blue?") or out of a text in it.
            said_a, said_b = a.whole, b.whole
            if not asked.offers and said_a.words - said_b.words - _ASSENT and said_b.words - said_a.words - _ASSENT:
                return False
        elif a.whole.words == b.whole.words and len(a.whole.numbers) == len(b.whole.numbers):
            # One may have a number of the question where the other has another.
            said_a, said_b = a.whole, b.whole
        if not _of_the_same_numbers(said_a, said_b, asked):
            return False
        if a.whole.numbers != b.whole.numbers and one_is_a_part(a.sequence, b.sequence):
            return False
        if not said_a.words or not said_b.words:
            return bool(said_a.numbers and said_b.numbers)
        return len(said_a.words & said_b.words) >= self.overlap * min(len(said_a.words), len(said_b.words))


@lru_cache(maxsize=64)
def _asked(message: str) -> tuple[_Question, ...]:
    """What asks in *message*, and the whole where that is more: answers have to agree by both. A name that the text in
    it tells is no word of the question by the first; and what the first leaves out, if it is mistaken, is one by the
    second."""
    part = asked_part(message)
    choices: defaultdict[str, set[Side]] = defaultdict(set)
    for word, choice in _choices(message):
        choices[word].add(choice)
    return tuple(
        _Question(
            frozenset(map(_singular, tokens(text))),
            text != part or (bool(choices) and any(_choices(part))),
            dict(choices),
            roots_of(part),
        )
        for text in dict.fromkeys((part, message))
    )


@recently(200)
def _content(tokens: tuple[str, ...], asked: frozenset[str]) -> _Content:
    """Remembered, as `tokens` is."""
    numbers: list[str] = []
    words: set[str] = set()
    telling: set[str] = set()
    sequence = _words(tokens)
    for token in sequence:
        if token.isalpha() and len(token) > 1:  # as below, in less time
            words.add(token)
            continue
        if is_number(token):
            numbers.append(token.removesuffix(":00"))
            continue
        if token not in OPERATORS:
            words.add(token)
        if len(token) == 1 or (not token.isalpha() and _DIGIT.search(token)):
            telling.add(token)
    own = _Said(tuple(number for number in numbers if number not in asked), frozenset(words - asked))
    last = tokens[-1] if tokens and not any(own) else ""
    return _Content(
        _Said(tuple(numbers), frozenset(words)),
        own,
        frozenset(telling.union(asked.intersection(numbers)) if numbers else telling),
        last if len(last) <= 2 and last in _STOP_WORDS and last not in asked else "",
        not NEGATIONS.isdisjoint(tokens),
        sequence,
    )


def _choices(question: str) -> Iterator[tuple[str, Side]]:
    if not any(word in question for word in ("or", "vs", "versus", "/")) or not _EITHER.search(question):
        return
    for i, sentence in enumerate(_SENTENCE_END.split(question)):
        if not _EITHER.search(sentence):
            continue
        *parts, last = [_words(tokens(part)) for part in _BETWEEN_CHOICES.split(sentence)]
        # What leads to the choices, "Is 17" in "Is 17 prime or composite?", is left out by the length of the last one.
        choices = [set(part[-max(1, min(len(last), 3)) :]) for part in parts] + [set(last[:3])]
        offers = Counter(word for choice in choices for word in choice)
        yield from ((word, (i, j)) for j, choice in enumerate(choices) for word in choice if offers[word] == 1)


def _opposed(a: _Content, b: _Content, asked: _Question) -> bool:
    """Whether each tells, or chooses, what the other does not; or only an operator tells them apart."""
    only_a, only_b = a.telling - b.telling, b.telling - a.telling
    if only_a and only_b:
        return True
    if a.whole.numbers == b.whole.numbers and not OPERATORS.isdisjoint(only_a | only_b):
        return True
    if not asked.choices:
        return False
    words_a, words_b = a.whole.words, b.whole.words
    chosen_a, chosen_b = (
        {side for word in words if word in asked.choices for side in asked.choices[word]}
        for words in (words_a - words_b, words_b - words_a)
    )
    # Another one of the same, also where one answer has words of both: "her blood pressure is low" of "is the blood
    # pressure high or low?"
    both = {of for of, _ in chosen_a} & {of for of, _ in chosen_b}
    return sum(side[0] in both for side in chosen_a | chosen_b) > len(both)


def _written_apart(a: str, b: str, asked: _Question) -> bool:
    """By what no word holds."""
    return signs_oppose(a, b, asked.roots) or codes_differ(a, b)


def _unnumbered(text_a: str, text_b: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tokens of both, without the numbers of a list's items where that leaves the same numbers."""
    a, b = tokens(without_marks(text_a)), tokens(without_marks(text_b))
    if list(filter(is_number, a)) == list(filter(is_number, b)):
        return a, b
    return tokens(text_a), tokens(text_b)


def _told_apart(a: tuple[str, ...], b: tuple[str, ...], first: _Content, second: _Content, asked: _Question) -> bool:
    """Whether one word, or as many as there, stands where the other answer has another; or all that they say is the
    same but for an "and" and an "or"."""
    words_a, words_b = first.whole.words, second.whole.words
    if words_a == words_b or words_a ^ words_b == _PERMITTED:
        return words_oppose(a, b)
    if words_a <= words_b or words_b <= words_a:
        return False
    runs = _runs(first.sequence, words_b)
    counted = _counted(first) | _counted(second)
    return any(
        _is_swap(run_a := runs[place], run_b)
        and not (run_a[0] not in counted and _is_subject(run_a, run_b, place, a, b, asked.words))
        and not (run_b[0] not in counted and _is_subject(run_b, run_a, place, b, a, asked.words))
        and not (_name(run_a, place[1], a, asked) and _name(run_b, place[1], b, asked))
        for place, run_b in _runs(second.sequence, words_a).items()
        if place in runs
    )


def _runs(sequence: Sequence[str], others: frozenset[str]) -> dict[tuple[str, str], list[str]]:
    """The words that are not among *others*, by the words before and behind them that are."""
    runs: dict[tuple[str, str], list[str]] = {}
    run: list[str] = []
    before = ""
    for word in (*sequence, ""):
        if word and word not in others:
            if not is_number(word) and (before or word not in _LINKS):
                run.append(word)
            continue
        if run:
            runs.setdefault((before, word), run)
            run = []
        before = word
    return runs


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
        return before in asked
    return _are_adjacent(other[-1], behind, tokens_of_other) and not _are_adjacent(run[-1], behind, tokens)


def _counted(content: _Content) -> set[str]:
    """What stands right behind a number."""
    if not content.whole.numbers:
        return set()
    return {behind for word, behind in pairwise(content.sequence) if is_number(word)}


def _is_form(long: str, short: str) -> bool:
    """Also a word that one of a script without spaces stands before."""
    return long.startswith(short) or (
        len(short) > 2 and short.isascii() and long.endswith(short) and not long[0].isascii()
    )


def _name(run: list[str], behind: str, tokens: Sequence[str], asked: _Question) -> bool:
    """Whether *run* only introduces the name *behind* it, which the question did not say: "the English playwright"
    William Shakespeare, but not "a playwright" from Oslo."""
    last = run[-1]
    return last in CALLINGS and behind.isalpha() and behind not in asked.words and _are_adjacent(last, behind, tokens)


def _are_adjacent(word: str, behind: str, tokens: Sequence[str]) -> bool:
    return any(_singular(x) == word and _singular(y) == behind for x, y in pairwise(tokens))


def _of_the_same_numbers(a: _Said, b: _Said, asked: _Question) -> bool:
    """Whether the numbers are equal, or one answer adds some that the question has, with words of its own or a date."""
    if len(a.numbers) == len(b.numbers):
        return a.numbers == b.numbers
    few, many = (a, b) if len(a.numbers) < len(b.numbers) else (b, a)
    if not _within(few.numbers, many.numbers):
        return False
    return (
        not many.words <= few.words
        or any(map(_is_year, many.numbers))
        or asked.words.union(few.numbers).issuperset(many.numbers)
    )


def _is_year(number: str) -> bool:
    return len(number) == 4 and number.isdecimal() and number < "2200"


def _words(tokens: Sequence[str]) -> list[str]:
    return [_singular(token) for token in tokens if token not in _STOP_WORDS]


def _singular(token: str) -> str:
    if len(token) > 3 and token.endswith("s") and not token.endswith("ss"):
        token = token[:-1]
    return ABBREVIATIONS.get(token, token)


def _within(few: Sequence[str], many: Sequence[str]) -> bool:
    """Whether *few* are among *many*, in the same order: scores of 3-2 and 2-3 differ."""
    rest = iter(many)
    return all(number in rest for number in few)
