"""Greedy clustering by any equivalence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.equivalence import cluster


@dataclass
class Alike:
    """An equivalence given by the pairs that it joins besides equal texts; remembers what it compared."""

    pairs: set[frozenset[str]] = field(default_factory=set[frozenset[str]])
    name: str = "alike"
    compared: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def same(self, pairs: Sequence[tuple[str, str]], *, question: str) -> list[bool]:
        self.compared += pairs
        return [frozenset(pair) in self.pairs for pair in pairs]


@dataclass
class FirstLetter:
    """A transitive equivalence."""

    name: str = "first letter"

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
