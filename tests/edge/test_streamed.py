"""A chat completion put together from the chunks it came in."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.edge.llamacpp import LlamaCppEngine
from confroute.edge.loopback import Exchange
from confroute.edge.streamed import gathered
from confroute.records import Sample, SamplingOptions

pieces = st.lists(st.text(min_size=1, max_size=8), max_size=6)


def events(*chunks: dict[str, Any], end: bool = True) -> bytes:
    """These chunks as a server sends them."""
    lines = [json.dumps(chunk) for chunk in chunks] + ["[DONE]"] * end
    return "".join(f"data: {line}\n\n" for line in lines).encode()


def part(index: int, piece: str | None, finish_reason: str | None = None) -> dict[str, Any]:
    """The chunk that brings one token of a choice, or none."""
    logprobs: dict[str, Any] = {} if piece is None else {"logprobs": {"content": [{"token": piece, "logprob": -1.0}]}}
    choice = {"index": index, "delta": {"content": piece}, "finish_reason": finish_reason, **logprobs}
    return {"choices": [choice]}


@given(answers=st.lists(pieces, min_size=1, max_size=4))
def test_pieces_find_their_answer(answers: list[list[str]]) -> None:
    """Whatever order the chunks of several choices come in, each gets its own text and tokens, in order."""
    turns = [
        part(index, piece)
        for turn in zip_longest(*answers)
        for index, piece in reversed(list(enumerate(turn)))
        if piece is not None
    ]
    ends = [part(index, None, "stop") for index in range(len(answers))]
    reply = gathered(events(*turns, *ends, {"choices": [], "usage": {"prompt_tokens": 7}}))
    assert [choice["message"]["content"] for choice in reply["choices"]] == ["".join(answer) for answer in answers]
    tokens = [[token["token"] for token in choice["logprobs"]["content"]] for choice in reply["choices"]]
    assert tokens == answers
    assert {choice["finish_reason"] for choice in reply["choices"]} == {"stop"}
    assert reply["usage"] == {"prompt_tokens": 7}


def test_the_tokens_of_a_thought_are_not_the_answers() -> None:
    """It is kept apart from the text, and so are its logprobs; those of what is in neither are nobody's."""

    def thought(piece: str | None) -> dict[str, Any]:
        chunk = part(0, piece or "```")
        chunk["choices"][0]["delta"] = {"reasoning_content": piece}
        return chunk

    reply = gathered(events(thought("I"), thought(" ponder"), thought(None), part(0, "Li"), part(0, None, "stop")))
    (choice,) = reply["choices"]
    assert choice["message"] == {"content": "Li", "reasoning_content": "I ponder"}
    assert [token["token"] for token in choice["logprobs"]["content"]] == ["Li"]


def test_usage_after_its_end_is_a_choices_own() -> None:
    """llama.cpp tells it of each choice, in the order that they end in."""
    first: dict[str, Any] = {"choices": [], "usage": {"completion_tokens": 3}}
    last: dict[str, Any] = {"choices": [], "usage": {"completion_tokens": 5}}
    reply = gathered(events(part(0, "Li"), part(1, "Lo", "stop"), first, part(0, None, "stop"), last))
    assert [choice["usage"] for choice in reply["choices"]] == [last["usage"], first["usage"]]


def test_an_error_in_the_stream_is_the_reply() -> None:
    """What went wrong after the first tokens is not taken for an answer."""
    error = {"error": {"type": "server_error", "message": "Context size has been exceeded."}}
    assert gathered(events(part(0, "Li"), error, end=False)) == error


@pytest.mark.parametrize("chunks", [[], [part(0, "Li")]], ids=["nothing", "half an answer"])
def test_a_stream_that_ends_early_is_no_reply(chunks: list[dict[str, Any]]) -> None:
    """A connection that closed before the end gives no answer that seems whole."""
    with pytest.raises(ValueError, match="early"):
        gathered(events(*chunks, end=False))


@pytest.mark.real_model
@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("What is the capital of Peru?", SamplingOptions(max_tokens=20, temperature=0.0, alternatives=3)),
        ("Write a story.", SamplingOptions(max_tokens=30, temperature=0.0, stop=(" the king", ", there lived"))),
        ("Repeat: 😀🎉 日本語漢字", SamplingOptions(max_tokens=40, temperature=0.0)),
        ("Write in Chinese, with emoji.", SamplingOptions(max_tokens=40, temperature=1.5, seed=5)),
    ],
    ids=["alternatives", "stop", "bytes", "hot"],
)
def test_streamed_is_as_in_one_piece(
    small_llamacpp: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch, question: str, options: SamplingOptions
) -> None:
    """llama.cpp's answer in chunks, which it comes in where they hold all of it, is the same as that in one piece."""
    ask = [{"role": "user", "content": question}]
    send = Exchange.send

    def whole(exchange: Exchange, path: str, request: Any = None) -> Any:
        return send(exchange, path, request and request | {"stream": False, "stream_options": None})

    def samples() -> tuple[Sample, ...]:
        # In one piece, parts of characters are not counted.
        drawn = small_llamacpp.generate(ask, n=3, options=options).samples
        return tuple(replace(sample, output_tokens=len(sample.tokens or ())) for sample in drawn)

    samples()  # a prompt in the cache is computed a little differently
    in_chunks = samples()
    monkeypatch.setattr(Exchange, "send", whole)
    assert samples() == in_chunks
