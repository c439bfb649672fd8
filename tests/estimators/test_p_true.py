"""How true the edge says its answer is."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import Evidence, Sample
from confroute.estimators import PTrue
from confroute.testing import says

EVIDENCE = Evidence(question="Capital of Peru?", answer=says("Lima"))


def replied(*places: Mapping[str, float], answer: str = "Lima") -> float:
    """The uncertainty after a reply of the first token of each place; the numbers are probabilities."""
    tokens = tuple(next(iter(place)) for place in places)
    reply = Sample(
        text="".join(tokens),
        tokens=tokens,
        alternatives=tuple(tuple((token, math.log(p)) for token, p in place.items()) for place in places),
    )
    return PTrue().estimate(Evidence(question="q", answer=says(answer), replies={"p_true": reply})).uncertainty


@given(st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_equation(true: float, false: float) -> None:
    """1 - p(True) / (p(True) + p(False)), whichever of them is the reply."""
    expected = 1 - true / (true + false)
    assert replied({"True": true, "False": false}) == pytest.approx(expected)
    assert replied({"False": false, "True": true}) == pytest.approx(expected)
    assert replied({"**": 1.0}, {"true": true, "FALSE": false}, {"**": 1.0}) == pytest.approx(expected)


def test_question_asks_about_the_answer() -> None:
    """The prompt holds question and answer and the two words to choose from; it asks for their logprobs, greedily and
    for a few tokens."""
    assert list(PTrue().follow_ups(EVIDENCE)) == ["p_true"]
    asked = PTrue().follow_ups(EVIDENCE)["p_true"]
    (message,) = asked.messages
    assert message["role"] == "user"
    for part in ("Capital of Peru?", "Lima", "True or False"):
        assert part in message["content"]
    assert (asked.options.temperature, asked.options.max_tokens, asked.options.alternatives) == (0.0, 4, 20)


def test_only_one_of_the_words_among_the_likeliest() -> None:
    """The other one counts as improbable."""
    assert replied({"True": 0.4, "Yes": 0.6}) == 0.0
    assert replied({"False": 0.4, "Yes": 0.6}) == 1.0


@pytest.mark.parametrize(
    "places",
    [[{"Yes": 0.9, "True": 0.1}], [{"Untrue": 0.9, "True": 0.1}], [{"I": 0.9}, {" cannot": 0.9}]],
    ids=["another word", "a longer word", "no verdict"],
)
def test_reply_that_is_neither(places: list[dict[str, float]]) -> None:
    """Has no number."""
    assert math.isnan(replied(*places))


def test_without_a_reply_or_an_answer() -> None:
    """No reply, one without alternatives, or nothing to judge: no number."""
    assert math.isnan(PTrue().estimate(EVIDENCE).uncertainty)
    bare = Evidence(question="q", answer=says("Lima"), replies={"p_true": says("True")})
    assert math.isnan(PTrue().estimate(bare).uncertainty)
    assert math.isnan(replied({"True": 0.9, "False": 0.1}, answer=" "))


def test_not_true_is_no_confidence() -> None:
    """A reply of "Not true" denies the answer; it must not be read as True."""
    assert not replied({"Not": 0.8, "True": 0.2}, {" true": 0.99, " false": 0.01}) < 0.5
