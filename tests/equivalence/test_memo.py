"""The bounded memory of the equivalences that ask a model."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.equivalence.memo import Memo
from confroute.errors import ConfigurationError

keys = st.lists(st.tuples(st.sampled_from(["", "a", "b", "ab"]), st.sampled_from(["", "a", "b", "\0"])), max_size=8)


@given(st.lists(keys, max_size=4), st.integers(0, 4))
def test_values_are_those_of_their_keys(calls: list[list[tuple[str, ...]]], size: int) -> None:
    """Whatever was forgotten, each key has its value, each call computes a key at most once, and no more than *size*
    stay."""
    memo = Memo[str](size)

    def compute(new: Sequence[tuple[str, ...]]) -> list[str]:
        assert new
        assert len(set(new)) == len(new)
        return [repr(key) for key in new]

    for call in calls:
        assert memo.values(call, compute) == [repr(key) for key in call]
        assert len(memo) <= size


def test_the_one_unused_longest_is_forgotten() -> None:
    """Use, not age, decides."""
    memo, computed = Memo[int](2), list[str]()

    def compute(new: Sequence[tuple[str, ...]]) -> list[int]:
        computed.extend(key for (key,) in new)
        return [0] * len(new)

    for key in "abacab":
        memo.values([(key,)], compute)
    assert "".join(computed) == "abcb"


def test_threads_share_it() -> None:
    """Values computed side by side are right and the bound holds."""
    memo = Memo[str](5)
    with ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda i: memo.values([(str(i % 9),)], lambda new: [new[0][0]]), range(500))
    assert [value for [value] in results] == [str(i % 9) for i in range(500)]
    assert len(memo) <= 5


def test_copies_begin_empty_and_nothing_of_a_text_is_kept() -> None:
    """A pickle has the bound alone."""
    memo = Memo[int](3)
    memo.values([("secret",)], lambda new: [1])
    assert "secret" not in repr(vars(memo))
    copied = pickle.loads(pickle.dumps(memo))  # noqa: S301
    assert len(copied) == 0
    assert copied.values([("x",)], lambda new: [2]) == [2]


def test_lone_surrogates_are_keys_like_others() -> None:
    """A text that cannot be encoded in UTF-8 is remembered, too."""
    memo = Memo[int](3)
    assert memo.values([("\ud800",), ("\ud801",)], lambda new: list(range(len(new)))) == [0, 1]


def test_a_negative_size_is_refused() -> None:
    """Nothing can be less than not remembered."""
    with pytest.raises(ConfigurationError):
        Memo[int](-1)
