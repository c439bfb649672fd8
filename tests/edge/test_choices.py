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


@pytest.mark.parametrize(
    ("content", "tokens", "kept"),
    [
        ("Lima", ["Lima", "<|im_end|>"], 1),  # vLLM's way
        ("Lima\n", ["Lima", "\n", "</s>"], 2),
        ("Lima", ["Li", "ma", "\n"], 3),  # a server that strips the text
        ("Lima", ["\n", " Lima"], 2),
        ("Lima", ["Li", "ma"], 2),  # a server that leaves it out
        ("A tag: <|im_end|>", ["A tag: ", "<|im_end|>"], 2),
        ("The capital", ["The", "capital", "</s>"], 2),  # a server whose tokens lack their spaces
        ("Lima", ["Li", "ma. Or"], 2),  # a stop string begins in the token
        ("Lima is", ["Lima", " is", " a"], 2),  # a stop string begins with it
        ("Hi \U0001f642", ["Hi", " \ufffd", "\ufffd"], 3),  # a character of two tokens
        ("Hi \U0001f642", ["Hi", " \ufffd", "\ufffd", "<|im_end|>"], 3),
        ("", ["\n", "<|im_end|>"], 2),  # no text to tell it by
        ("", ["<|im_end|>"], 1),  # all there is
    ],
)
def test_a_last_token_that_the_text_does_not_have_is_no_part_of_it(content: str, tokens: list[str], kept: int) -> None:
    """Else the end-of-turn token, which is nearly certain, would halve the doubt about an answer of one word."""
    raw = choice(*((token, -float(i)) for i, token in enumerate(tokens)), content=content)
    sample = read_choice(raw, alternatives=1)
    assert sample.token_logprobs == tuple(-float(i) for i in range(kept))
    assert len(sample.tokens or ()) == len(sample.alternatives or ()) == sample.output_tokens == kept


def test_an_answer_cut_short_has_no_end_of_turn() -> None:
    """Its last token is its own, whatever the server makes of the text."""
    raw = {**choice(("Li", -0.5), ("ma,", -0.1), content="Li"), "finish_reason": "length"}
    assert read_choice(raw).token_logprobs == (-0.5, -0.1)


@pytest.mark.parametrize("content", [None, "I look."])
def test_the_tokens_of_a_call_are_left_whole(content: str | None) -> None:
    """The text shows none of them: nothing tells the end-of-turn token from the mark that ends a call."""
    raw = choice(("I look.", -0.3), ("{}", -0.2), ("</tool_call>", -0.1), content=content)
    raw["message"]["tool_calls"] = [{"function": {"name": "look", "arguments": "{}"}}]
    for reason in ("stop", "tool_calls"):
        assert read_choice({**raw, "finish_reason": reason}).token_logprobs == (-0.3, -0.2, -0.1)


@pytest.mark.parametrize(("shown", "end"), [("\ufffd", "<|im_end|>"), ("", "")])
def test_the_parts_of_a_character_spell_it(shown: str, end: str) -> None:
    """A token that is a part of one has its bytes; the texts of all, joined, are the answer's. llama.cpp's have no
    other text, and are no end of turn for that."""
    raw = choice(("Hi", -0.1), (shown, -0.2), (shown, -0.3), (end, 0.0), content="Hi\U0001f642")
    parts = [*b"Hi"], [0xF0, 0x9F], [0x99, 0x82], [*end.encode()]
    for token, told in zip(raw["logprobs"]["content"], parts, strict=True):
        token["bytes"] = told
    assert read_choice(raw).tokens == ("Hi", "", "\U0001f642")
    raw["logprobs"]["content"].pop()
    assert read_choice(raw).token_logprobs == (-0.1, -0.2, -0.3)


@pytest.mark.parametrize("told", [None, [], "x", 7])
def test_without_bytes_a_token_is_its_text(told: Any) -> None:
    """They are a help, not a must."""
    raw = choice(("Lima", -0.1))
    raw["logprobs"]["content"][0]["bytes"] = told
    assert read_choice(raw).tokens == ("Lima",)


@pytest.mark.parametrize(
    ("usage", "alone", "reason", "counted"),
    [
        (90, True, "stop", 90),
        (90, True, "length", 90),
        (90, False, "stop", 2),  # a share of what several have together
        (4, True, "stop", 2),  # with an end-of-turn token that is not told
        (4, True, "length", 4),
        (1, True, "stop", 2),
        (0, True, "stop", 2),
    ],
)
def test_tokens_that_are_not_told_are_counted(usage: int, alone: bool, reason: str, counted: int) -> None:
    """Of a choice alone the server's sum is known: thoughts without logprobs are in it, and paid for."""
    end = [] if reason == "length" else [("</s>", 0.0)]
    raw = {**choice(("Li", -0.5), ("ma", -0.1), *end, content="Lima"), "finish_reason": reason}
    assert read_choice(raw, output_tokens=usage, alone=alone).output_tokens == counted


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
    raw = choice(("Par", -0.5), ("is", -0.1), content="Paris")
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
