"""Greedy clustering by any equivalence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.equivalence import Equivalence, cluster, matrix


@dataclass
class Alike(Equivalence):
    """An equivalence given by the pairs that it joins besides equal texts; remembers what it compared."""

    name = "alike"
    pairs: set[frozenset[str]] = field(default_factory=set[frozenset[str]])
    compared: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def same(self, pairs: Sequence[tuple[str, str]], *, question: str) -> list[bool]:
        self.compared += pairs
        return [frozenset(pair) in self.pairs for pair in pairs]


class FirstLetter(Equivalence):
    """A transitive equivalence."""

    name = "first letter"

    def same(self, pairs: Sequence[tuple[str, str]], *, question: str) -> list[bool]:
        return [a[0] == b[0] for a, b in pairs]


words = st.lists(st.text("abc", min_size=1, max_size=3), max_size=12)


@given(words)
def test_ids_count_up_in_order_of_appearance(texts: list[str]) -> None:
    """The ids are 0 to K-1, each new one the next, and there is one for each text."""
    ids = cluster(texts, FirstLetter(), question="")
    assert len(ids) == len(texts)
    assert list(dict.fromkeys(ids)) == list(range(len(set(ids))))


@given(words)
def test_transitive_equivalence_gives_its_classes(texts: list[str]) -> None:
    """Two texts share an id exactly where a transitive equivalence says so."""
    ids = cluster(texts, FirstLetter(), question="")
    for a, i in zip(texts, ids, strict=True):
        for b, j in zip(texts, ids, strict=True):
            assert (i == j) == (a[0] == b[0])


@given(words)
def test_equal_texts_are_never_compared(texts: list[str]) -> None:
    """Duplicates cost no comparison and always share a cluster, though this equivalence joins nothing."""
    alike = Alike()
    ids = cluster(texts, alike, question="")
    assert all(a != b for a, b in alike.compared)
    assert len(set(ids)) == len(set(texts))
    assert len(alike.compared) <= len(set(texts)) * (len(set(texts)) - 1) / 2


def test_only_seeds_are_compared_and_the_first_match_wins() -> None:
    """With a~c, b~c and a not ~ b, c joins a; the reference code's later seed would take it."""
    alike = Alike({frozenset("ac"), frozenset("bc")})
    assert cluster(["a", "b", "c", "d"], alike, question="") == [0, 1, 0, 2]
    assert ("c", "d") not in alike.compared


def test_the_last_match_wins_if_asked() -> None:
    """The reference code run on a~c, b~c (a not ~ b) over a, b, c, d gives 0, 1, 1, 2; a repeated text that came
    before the later seed stays where it was."""
    alike = Alike({frozenset("ac"), frozenset("bc")})
    assert cluster(["a", "b", "c", "d"], alike, question="", match="last") == [0, 1, 1, 2]
    assert cluster(["a", "c", "b", "c"], alike, question="", match="last") == [0, 0, 1, 1]


@given(words, st.sets(st.sampled_from([frozenset("ab"), frozenset("bc"), frozenset("ac")])))
def test_last_match_is_the_reference(texts: list[str], pairs: set[frozenset[str]]) -> None:
    """The reference written down plainly: each text without a cluster founds one and takes all later ones like it."""
    expected = [-1] * len(texts)
    following = 0
    for i, seed in enumerate(texts):
        if expected[i] == -1:
            for j in range(i, len(texts)):
                if texts[j] == seed or frozenset((seed, texts[j])) in pairs:
                    expected[j] = following
            following += 1
    assert cluster(texts, Alike(pairs), question="", match="last") == expected


@given(words)
def test_matrix_is_symmetric_and_judges_each_pair_once(texts: list[str]) -> None:
    """Ones on the diagonal and for equal texts, the same both ways, and one judgement for each two distinct texts."""
    alike = Alike({frozenset("ab")})
    grades = matrix(texts, alike, question="")
    for i, a in enumerate(texts):
        for j, b in enumerate(texts):
            assert grades[i][j] == grades[j][i] == float(a == b or {a, b} == {"a", "b"})
    distinct = len(set(texts))
    assert len(alike.compared) == distinct * (distinct - 1) / 2


def test_question_reaches_the_equivalence() -> None:
    """What the question says decides what counts as content, so it must arrive."""
    asked: list[str] = []

    class Asks(FirstLetter):
        def same(self, pairs: Sequence[tuple[str, str]], *, question: str) -> list[bool]:
            asked.append(question)
            return super().same(pairs, question=question)

    cluster(["a", "b"], Asks(), question="Which letter?")
    assert asked == ["Which letter?"]


@pytest.mark.parametrize("texts", [[], ["only"]])
def test_nothing_to_compare(texts: list[str]) -> None:
    """No text gives no ids, one text gives one, and neither asks the equivalence."""
    alike = Alike()
    assert cluster(texts, alike, question="") == [0] * len(texts)
    assert alike.compared == []
