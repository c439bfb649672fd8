"""Reading the choices of chat completions."""

from __future__ import annotations

import math
from typing import Any

import pytest

from confroute import ModelError, Sample
from confroute.edge.choices import read_choice


def choice(*tokens: tuple[str, float | None], content: str | None = "text") -> dict[str, Any]:
    content_tokens = [
        {"token": token, "logprob": logprob, "top_logprobs": [{"token": "x", "logprob": -9.0}]}
        for token, logprob in tokens
    ]
    return {"message": {"content": content}, "finish_reason": "stop", "logprobs": {"content": content_tokens}}


def test_end_of_turn_is_no_part_of_the_answer() -> None:
    """The last token without text is dropped from logprobs and count."""
    sample = read_choice(choice(("Par", -0.5), ("is", -0.1), ("", -3.0)))
    assert (sample.token_logprobs, sample.output_tokens) == ((-0.5, -0.1), 2)


@pytest.mark.parametrize("raw", [choice(content=None), {"message": {"content": ""}, "logprobs": None}])
def test_empty_reply(raw: dict[str, object]) -> None:
    """A reply without text or logprobs is an empty sample of unknown logprobs."""
    sample = read_choice(raw)
    assert sample == Sample(text="")
    assert math.isnan(sample.mean_logprob)


def test_null_logprobs_are_absent_ones() -> None:
    """A token without its logprob makes the mean unknown, not better; the count is then the one given."""
    sample = read_choice(choice(("Par", -0.5), ("is", None)), alternatives=1, output_tokens=2)
    assert (sample.token_logprobs, sample.tokens, sample.alternatives) == (None, None, None)
    assert (sample.text, sample.output_tokens) == ("text", 2)


def test_alternatives_are_in_the_order_of_their_probability() -> None:
    """vLLM tells the drawn token first, even where it is the least likely, and may tell one more than asked for."""
    raw = choice(("c", -4.0))
    raw["logprobs"]["content"][0]["top_logprobs"] = [
        {"token": token, "logprob": logprob} for token, logprob in (("c", -4.0), ("a", -0.5), ("b", -1.5))
    ]
    assert read_choice(raw, alternatives=3).alternatives == ((("a", -0.5), ("b", -1.5), ("c", -4.0)),)
    assert read_choice(raw, alternatives=2).alternatives == ((("a", -0.5), ("b", -1.5)),)


def test_alternatives_are_all_there_or_absent() -> None:
    """As many as asked for at each place; a place without any leaves none, as an entropy would be that of a part."""
    raw = choice(("Par", -0.5), ("is", -0.1))
    assert read_choice(raw, alternatives=1).alternatives == ((("x", -9.0),), (("x", -9.0),))
    assert read_choice(raw).alternatives is None
    raw["logprobs"]["content"][1]["top_logprobs"] = None
    assert read_choice(raw, alternatives=1).alternatives is None


@pytest.mark.parametrize("reason", ["abort", "error", "content_filter"])
def test_an_answer_that_was_broken_off_is_none(reason: str) -> None:
    """vLLM and SGLang abort requests, others break on them or withhold the rest; what is there is no whole answer."""
    with pytest.raises(ModelError, match=f'broken off, "{reason}"') as caught:
        read_choice({**choice(("Par", -0.5), content="Par"), "finish_reason": reason})
    assert "Par" not in str(caught.value)
