"""What the replies of a server tell of their tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from confroute import SamplingOptions
from confroute.edge.server import ServerEngine
from confroute.records import Message
from tests.edge.scripted_server import choice, serving, takes_all

pytest.importorskip("openai")

ASK: list[Message] = [{"role": "user", "content": "Capital of Peru?"}]
OPTIONS = SamplingOptions(max_tokens=8, seed=3)

Connect = Callable[..., ServerEngine]


def test_tokens_without_logprobs_are_shared_out(connect: Connect) -> None:
    """The server's sum over all samples is kept."""
    reply = 200, {"choices": [choice("a", logprob=None)] * 3, "usage": {"prompt_tokens": 1, "completion_tokens": 8}}
    with serving(lambda request: reply if request["messages"] == ASK else takes_all(request)) as server:
        generation = connect(server).generate(ASK, n=3, options=OPTIONS)
        assert [sample.output_tokens for sample in generation.samples] == [3, 3, 2]


def test_a_stop_string_that_is_left_is_none_of_the_answer(connect: Connect) -> None:
    """As by transformers serve: neither in the text nor in its tokens."""
    told = choice("Lima\n\nQuestion:")
    pieces = ("Lima", "\n\n", "Question", ":")
    told["logprobs"]["content"] = [{"token": piece, "logprob": -0.5, "top_logprobs": []} for piece in pieces]
    reply = 200, {"choices": [told]}
    with serving(lambda request: reply if request["messages"] == ASK else takes_all(request)) as server:
        options = SamplingOptions(max_tokens=8, stop=("\n\nQuestion:",))
        (sample,) = connect(server).generate(ASK, n=1, options=options).samples
        assert (sample.text, sample.tokens, sample.token_logprobs) == ("Lima", ("Lima",), (-0.5,))


def test_there_are_no_fewer_tokens_than_none(connect: Connect) -> None:
    """Whatever the server counts."""
    usage = {"prompt_tokens": -7, "completion_tokens": -8}
    reply = 200, {"choices": [choice("a", logprob=None)] * 2, "usage": usage}
    with serving(lambda request: reply if request["messages"] == ASK else takes_all(request)) as server:
        generation = connect(server).generate(ASK, n=2, options=OPTIONS)
        assert (generation.input_tokens, [sample.output_tokens for sample in generation.samples]) == (0, [0, 0])


@pytest.mark.parametrize(("total", "told"), [(137, [65, 65]), (23, [8, 8]), ("137", [8, 8]), (None, [8, 8])])
def test_thoughts_that_only_the_total_counts_are_the_answers(connect: Connect, total: object, told: list[int]) -> None:
    """As Google's server has it: its limit is theirs, too, and samples are given as many."""
    usage = {"prompt_tokens": 7, "completion_tokens": 16, "total_tokens": total}
    reply = 200, {"choices": [choice("a", logprob=None)] * 2, "usage": usage}
    with serving(lambda request: reply if request["messages"] == ASK else takes_all(request)) as server:
        generation = connect(server).generate(ASK, n=2, options=OPTIONS)
        assert [sample.output_tokens for sample in generation.samples] == told


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 500}, "total_tokens": 1116}, 16),  # a cache may be counted apart
        ({"cache_creation_input_tokens": 500, "total_tokens": 1116}, 16),
        ({"cache_creation_input_tokens": 500, "total_tokens": 1136}, 36),
        ({"prompt_tokens_details": {"cached_tokens": 9000}, "total_tokens": 9616}, 16),
        ({"completion_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 1116}, 16),  # all thoughts are told
        ({"completion_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 1116}, 16),
        ({"completion_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 620}, 20),  # apart
        ({"completion_tokens_details": {"reasoning_tokens": 90}, "total_tokens": 1116}, 106),
        ({"completion_tokens_details": {"reasoning_tokens": None}, "total_tokens": 1116}, 516),
        ({"completion_tokens_details": "none", "prompt_tokens_details": [], "total_tokens": 616}, 16),
    ],
)
def test_what_is_not_certain_to_be_thoughts_is_none(connect: Connect, usage: dict[str, Any], told: int) -> None:
    """Tokens of caches and of tools may be in the total alone, too."""
    usage = {"prompt_tokens": 600, "completion_tokens": 16, **usage}
    reply = 200, {"choices": [choice("a", logprob=None)], "usage": usage}
    with serving(lambda request: reply if request["messages"] == ASK else takes_all(request)) as server:
        (sample,) = connect(server).generate(ASK, n=1, options=OPTIONS).samples
        assert sample.output_tokens == told
