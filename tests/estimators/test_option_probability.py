"""The probability of the option chosen, read from the answer's own tokens."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import ConfigurationError, Sample
from confroute.estimators import OptionProbability


def spoken(*places: dict[str, float]) -> Sample:
    """An answer whose tokens are the first of each place; the numbers are probabilities."""
    tokens = tuple(next(iter(place)) for place in places)
    return Sample(
        text="".join(tokens).strip(),
        tokens=tokens,
        token_logprobs=tuple(math.log(place[token]) for token, place in zip(tokens, places, strict=True)),
        alternatives=tuple(tuple((token, math.log(p)) for token, p in place.items()) for place in places),
    )


FILLER = {"The": 0.9, "It": 0.1}

CASES = {
    "first token": (("yes", "no"), [{"yes": 0.6, "no": 0.2, "I": 0.2}], 0.25),
    "all spellings count": (("yes", "no"), [{"Yes": 0.3, "yes": 0.1, " YES": 0.1, "No": 0.5}], 0.5),
    "the less probable one": (("yes", "no"), [{"no": 0.2, "yes": 0.6}], 0.75),
    "behind other words": (("red", "blue"), [FILLER, {" answer is": 1.0}, {" blue": 0.4, " red": 0.1}], 0.2),
    "options of many tokens": (("not spam", "spam"), [{"not": 0.6, "spam": 0.4}, {" spam": 0.9, " ham": 0.1}], 0.4),
    "a common beginning": (
        ("cat 1", "cat 2", "dog"),
        [{"cat": 0.8, "dog": 0.2}, {" 1": 0.25, " 2": 0.75}],
        1 - 0.8 * 0.25,
    ),
    "half a token of the option": (("positive", "negative"), [{"pos": 0.5, "neg": 0.5}, {"itive": 1.0}], 0.5),
    "longer words are no option": (("cat", "dog"), [{"cat": 0.5, "cats": 0.4, "dog": 0.1}], 1 - 0.5 / 0.6),
    "in quotes": (("A", "B"), [{'"A': 0.7, '"B': 0.3}, {'"': 1.0}], 0.3),
    "only one option among the likeliest": (("A", "B"), [{"A": 0.9, "x": 0.1}], 0.0),
}


@pytest.mark.parametrize("case", CASES)
def test_known_answers(case: str) -> None:
    """The chosen option's probability among the options still open, token by token."""
    options, places, uncertainty = CASES[case]
    assert OptionProbability(options).score(spoken(*places)) == pytest.approx(uncertainty)


@pytest.mark.parametrize(
    "answer",
    [
        spoken({"maybe": 0.9, "yes": 0.1}),
        spoken({"yesterday": 0.9, "no": 0.1}),
        Sample(text="yes"),
        Sample(text="yes", tokens=("yes",), token_logprobs=(-0.1,)),
        spoken({"yes": 0.6}),
    ],
    ids=["no option", "only within a word", "no tokens", "no alternatives", "the likeliest token alone"],
)
def test_no_signal(answer: Sample) -> None:
    """An answer outside the options, or one whose alternatives are unknown, has no number."""
    assert math.isnan(OptionProbability(("yes", "no")).score(answer))


@given(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=5))
def test_probabilities_of_all_options_add_up(masses: list[float]) -> None:
    """Whichever option is chosen, the confidences of all of them sum to 1: it is a softmax over the options."""
    options = tuple(f"option{'abcde'[i]}" for i in range(len(masses)))
    total = sum(masses)
    confidences: list[float] = []
    for i, chosen in enumerate(options):
        rest = {other: masses[j] / total for j, other in enumerate(options) if j != i}
        confidences.append(1 - OptionProbability(options).score(spoken({chosen: masses[i] / total, **rest})))
    assert sum(confidences) == pytest.approx(1.0)


@pytest.mark.parametrize("options", [(), ("yes",), ("yes", "YES"), ("yes", " "), "yes"])
def test_what_are_no_options(options: tuple[str, ...]) -> None:
    """Fewer than two, equal ones, blank ones, or a text that was meant to be a tuple."""
    with pytest.raises(ConfigurationError, match="two different texts"):
        OptionProbability(options)


def test_an_option_that_begins_another_is_not_certain() -> None:
    """The option "1" is told from "10" by what follows: here a full stop of probability 0.4 against a "0" of 0.6."""
    answer = spoken({"1": 1.0}, {".": 0.4, "0": 0.6})
    assert OptionProbability(("1", "10")).score(answer) == pytest.approx(0.6)


def test_an_option_that_begins_another_and_ends_the_answer_is_not_certain() -> None:
    """What follows is the end of the turn, whose alternatives are not among the answer's: no number, not certainty."""
    assert math.isnan(OptionProbability(("1", "10")).score(spoken({"1": 1.0})))


def test_an_underscore_does_not_end_an_option() -> None:
    """Of tools named "search" and "search_web", "search_" begins the second one only."""
    tools = OptionProbability(("search", "search_web"))
    assert tools.score(spoken({"search_": 0.7, "search": 0.3}, {"web": 1.0})) == pytest.approx(0.3)


@pytest.mark.parametrize("k", [0, 1])
def test_a_k_that_shows_one_option_at_most_is_refused(k: int) -> None:
    """With one alternative the chosen option is the only one there is: always certain."""
    with pytest.raises(ConfigurationError):
        OptionProbability(("yes", "no"), k=k)
