"""The probability that the edge names."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import Evidence
from confroute.estimators import Verbalized
from confroute.testing import says


def replied(text: str, answer: str = "Lima") -> float:
    evidence = Evidence(question="q", answer=says(answer), replies={"verbalized": says(text)})
    return Verbalized().estimate(evidence).uncertainty


@given(st.integers(0, 1000))
def test_equation(tenths: int) -> None:
    """One less the number, in percent, with or without a sign and a fraction."""
    number = f"{tenths / 10:g}"
    for reply in (number, f"{number}%", f"{number} %", f"{number}/100", f"About {number} percent."):
        assert replied(reply) == pytest.approx(1 - tenths / 1000)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("90%", 0.1),
        ("**85**", 0.15),
        ("about 90 out of 100", 0.1),
        ("Between 80 and 90", 0.2),
        # The scale is not the answer: taken for one, "out of 100" would be certainty.
        ("Out of 100: 20", 0.8),
        ("On a scale of 0-100, 85.", 0.15),
        ("From 0 to 100, I say 7", 0.93),
        ("0 to 100", math.nan),
        ("10 to 100", 0.9),
        ("90 of 1000", 0.1),
        ("0", 1.0),
        ("100.", 0.0),
        # The number that was asked for is from 0 to 100: 0.9 is less than one percent, which escalates.
        ("0.9", 0.991),
    ],
)
def test_the_first_number_counts(reply: str, expected: float) -> None:
    """In whatever words it stands."""
    assert replied(reply) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("reply", ["I am 110% sure", "100.5", "1000", "In 1969, 90%", "certainly", "ninety", "%", ""])
def test_replies_without_a_number_from_0_to_100(reply: str) -> None:
    """No number, or a first one above 100, is no signal rather than certainty."""
    assert math.isnan(replied(reply))


def test_without_a_reply_or_an_answer() -> None:
    """Nothing was asked, or there is nothing to judge."""
    assert math.isnan(Verbalized().estimate(Evidence(question="q", answer=says("Lima"))).uncertainty)
    assert math.isnan(replied("90", answer=" "))


def test_question_asks_about_the_answer() -> None:
    """The prompt holds question and answer and the range; the reply is greedy and short."""
    asked = Verbalized().follow_ups(Evidence(question="Capital of Peru?", answer=says("Lima")))["verbalized"]
    (message,) = asked.messages
    for part in ("Capital of Peru?", "Lima", "0 to 100"):
        assert part in message["content"]
    assert (asked.options.temperature, asked.options.max_tokens) == (0.0, 8)
