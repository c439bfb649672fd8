"""Equivalence of short answers by their words and numbers; needs no model."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from confroute.equivalence.asked import asked_part, ends_of
from confroute.equivalence.base import Equivalence
from confroute.equivalence.bounds import bounds_differ
from confroute.equivalence.code import codes_differ
from confroute.equivalence.content import ASSENT, Content, Said, content_of, singular, words_of
from confroute.equivalence.forms import Form, form_asked, forms_differ
from confroute.equivalence.lists import without_marks
from confroute.equivalence.negations import deny_each_other, one_denies
from confroute.equivalence.normalise import OPERATORS, tokens
from confroute.equivalence.numerals import is_number
from confroute.equivalence.persons import persons_asked, persons_oppose
from confroute.equivalence.prepositions import prepositions_oppose
from confroute.equivalence.quantities import one_is_a_part
from confroute.equivalence.signs import Mark, Side, roots_of, signs_oppose, words_oppose
from confroute.equivalence.swaps import told_apart
from confroute.equivalence.verdicts import has_verdict
from confroute.equivalence.versions import version_asked, versions_differ

_SENTENCE_END: Final = re.compile(r"[.?!;:]\s|\n")
_NO: Final = re.compile(r"\W*no[,.!;:]", re.IGNORECASE)
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
    form: Form
    version: bool
    """Whether it asks for the number of one."""
    persons: frozenset[str]


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
    and "Lima, founded in 1535" agree; but "2 hours" are not "2 hours 30 minutes". Numbers do not make up for words: "20
    June 1969" and "20 July 1969" differ. So do answers that each have a letter ("vitamin A"), an operator (x > 3), an
    address or a number of the question that the other lacks, or another choice of a question with an "or"; and those
    where one word stands for another between the same two: "is positive" and "is negative", "8 AM" and "8 PM", also
    where the question has one of them, and whatever a "yes" before it says; a few words that answers swap most are
    known to be the same ("located", "situated"), and months and units by their abbreviations. "To", "by" and "from"
    before the same number part answers where something changes ("rose to 5%"), and so does the last zero of a version
    or a section (3.10, 3.1). So do opposed prepositions in the same place ("in stock" and "out of stock", "voted
    for the bill" and "against the bill", "before meals" and "with meals"). A negation in only one of the two makes them
    differ, in some twenty languages, in English also "lacks", "refused to", "-free" or "is partly" right before what
    the other says without a "poorly" or "little", but not a "no" before what both say and the question did not ("no, it
    is closed"); so does a word that one denies and the other says, and "and" for "or", "he" for "she" and "must" for
    "might" where nothing else does, "you" for "we" also if the question begins with who, "must" for "can" if it asks
    what one must. Of SQL, and of what two answers have in fences, only white space, case, semicolons, prompts, comments
    and further fences do not count; of commands, each option does. Where a message begins with asking for a form
    ("Correct the grammar: ...", "Translate ...", "Put it in the plural"), one answer has to hold the other word for
    word, introductions aside. An answer with no content of its own equals only itself.

    Where it errs: other synonyms and unit names ("mi", "miles") differ, also one within a long sentence; so may two
    sentences of the same answer that go on differently behind it, or that go on with a word of the question and with
    another. Two answers of the same words in another order agree ("the dog bit Tom", "A is bigger than B"), and one
    agrees with a list that holds it ("Monday" and "Monday and Tuesday", "5 degrees" and "5 to 10 degrees"), brackets
    and a minus before a word do not count, nor does a word swapped for one that the other answer has elsewhere;
    "invalid", "unlike" and "lost" are no negations, nor is the "but" of "all but"; of what is denied, only the first
    word is seen; whether it was, is or would be is not. Commas and quotes never count, capitals only if asked for
    ("Capitalize: ..."), and no form that is asked for in other words ("Make it a question: ..."): such tasks need an
    `ExactEquivalence`, which drops only capitals and punctuation. Scripts written without spaces are compared from
    punctuation to punctuation.

    Cost: microseconds a pair, linear in the answers; of the question, some thousand characters at its ends are read.
    Meant for answers up to a sentence or two; long texts share words by accident.
    """

    name = "text"
    version = 6
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
        first, second = content_of(a, asked.words), content_of(b, asked.words)
        if (first.denies or second.denies) and (
            (one_denies(text_a, text_b, asked.words) and not _says_no(text_a, text_b, first, second, asked))
            or deny_each_other(first.sequence, second.sequence, asked.words)
        ):
            return False
        if _opposed(first, second, asked):
            return False
        if first.symbol and second.symbol:
            return first.symbol == second.symbol and not (
                words_oppose(a, b) or persons_oppose(a, b, asked.persons) or prepositions_oppose(a, b, asked.words)
            )
        return (
            not _contradict(a, b, first, second, asked)
            and self._share(first, second, asked)
            and not told_apart(a, b, first, second, asked.words)
            and not (first.whole.words == second.whole.words and persons_oppose(a, b, asked.persons))
            and not prepositions_oppose(a, b, asked.words)
            and not (first.whole.numbers and second.whole.numbers and bounds_differ(a, b))
            and not _written_apart(text_a, text_b, asked)
        )

    def _share(self, a: Content, b: Content, asked: _Question) -> bool:
        said_a, said_b = a.own, b.own
        if not any(said_a) or not any(said_b):
            # One of them only repeats the question: compare all content words, as for an answer out of the question's
            # own choices ("red or blue?") or out of a text in it.
            said_a, said_b = a.whole, b.whole
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
            frozenset(map(singular, tokens(text))),
            text != part or (bool(choices) and any(_choices(part))),
            dict(choices),
            roots_of(part),
            form_asked(part),
            version_asked(part),
            persons_asked(part),
        )
        for text in dict.fromkeys((part, message))
    )


def _choices(question: str) -> Iterator[tuple[str, Side]]:
    if not any(word in question for word in ("or", "vs", "versus", "/")) or not _EITHER.search(question):
        return
    for i, sentence in enumerate(_SENTENCE_END.split(question)):
        if not _EITHER.search(sentence):
            continue
        *parts, last = [words_of(tokens(part)) for part in _BETWEEN_CHOICES.split(sentence)]
        # What leads to the choices, "Is 17" in "Is 17 prime or composite?", is left out by the length of the last one.
        choices = [set(part[-max(1, min(len(last), 3)) :]) for part in parts] + [set(last[:3])]
        offers = Counter(word for choice in choices for word in choice)
        yield from ((word, (i, j)) for j, choice in enumerate(choices) for word in choice if offers[word] == 1)


def _opposed(a: Content, b: Content, asked: _Question) -> bool:
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


def _contradict(tokens_a: Sequence[str], tokens_b: Sequence[str], a: Content, b: Content, asked: _Question) -> bool:
    """Whether one only repeats the question, or only assents, and each has a word that the other lacks; if both assent,
    a verdict: "yes, it is open to traffic" tells more than "yes, the bridge is open", "yes, it is toxic" not "edible".
    """
    if asked.offers or not (_says_nothing(a.own) or _says_nothing(b.own)):
        return False
    only_a, only_b = a.whole.words - b.whole.words - ASSENT, b.whole.words - a.whole.words - ASSENT
    if ASSENT.isdisjoint(a.whole.words) or ASSENT.isdisjoint(b.whole.words):
        return bool(only_a and only_b)
    return (
        bool(only_a and only_b)
        and has_verdict(only_a, tokens_a, asked.words)
        and has_verdict(only_b, tokens_b, asked.words)
    )


def _says_no(text_a: str, text_b: str, a: Content, b: Content, asked: _Question) -> bool:
    """Whether all that one adds to the other is a "no" before what the question did not say: "no, it is closed"."""
    text, long, short = (text_a, a, b) if len(a.sequence) > len(b.sequence) else (text_b, b, a)
    return (
        _NO.match(text) is not None
        and long.sequence[1:] == short.sequence
        and not asked.words.issuperset(short.sequence)
    )


def _written_apart(a: str, b: str, asked: _Question) -> bool:
    """By what no word holds."""
    return (
        signs_oppose(a, b, asked.roots)
        or codes_differ(a, b)
        or versions_differ(a, b, asked=asked.version)
        or forms_differ(a, b, asked.form, asked.words)
    )


def _unnumbered(text_a: str, text_b: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tokens of both, without the numbers of a list's items where that leaves the same numbers."""
    a, b = tokens(without_marks(text_a)), tokens(without_marks(text_b))
    if list(filter(is_number, a)) == list(filter(is_number, b)):
        return a, b
    return tokens(text_a), tokens(text_b)


def _of_the_same_numbers(a: Said, b: Said, asked: _Question) -> bool:
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


def _says_nothing(own: Said) -> bool:
    return not own.numbers and own.words <= ASSENT


def _is_year(number: str) -> bool:
    return len(number) == 4 and number.isdecimal() and number < "2200"


def _within(few: Sequence[str], many: Sequence[str]) -> bool:
    """Whether *few* are among *many*, in the same order: scores of 3-2 and 2-3 differ."""
    rest = iter(many)
    return all(number in rest for number in few)
