"""What a choice says, from any JSON that a server may send."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from confroute import MeanLogprob, ModelError, Router, SamplingOptions
from confroute.edge.replies import read_reply
from confroute.edge.server import ServerEngine
from confroute.records import Message
from tests.edge.scripted_server import serving, takes_all

pytest.importorskip("openai")

ASK: list[Message] = [{"role": "user", "content": "Capital of Peru?"}]


def said(**more: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": "Lima"}, "finish_reason": "stop", **more}


BODIES: dict[str, dict[str, Any]] = {
    "content of parts without text": {"choices": [{"message": {"content": [{"type": "text"}]}}]},
    "content a number": {"choices": [{"message": {"content": 7}}]},
    "message null": {"choices": [{"message": None}]},
    "choice null": {"choices": [None]},
    "choices a dict": {"choices": {"a": 1}},
    "choices a text": {"choices": "Lima"},
    "usage a text": {"choices": [said()], "usage": "n/a"},
    "tokens a text": {"choices": [said()], "usage": {"prompt_tokens": "7?"}},
    "tokens infinite": {"choices": [said()], "usage": {"completion_tokens": float("inf")}},
    "tool calls of nothing": {"choices": [{"message": {"content": None, "tool_calls": [None]}}]},
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("at_probe", [False, True])
def test_what_is_no_completion_is_an_error_of_the_model(
    connect: Callable[..., ServerEngine], name: str, at_probe: bool
) -> None:
    """Whatever else the JSON is: the router escalates."""

    def reply(request: dict[str, Any]) -> tuple[int, Any]:
        return (200, BODIES[name]) if at_probe or request["messages"] == ASK else takes_all(request)

    with serving(reply, draws=False) as server, pytest.raises(ModelError, match="did not reply with a chat completion"):
        connect(server).generate(ASK, n=1, options=SamplingOptions(max_tokens=8))


def token(**told: Any) -> dict[str, Any]:
    return {"content": [{"token": "Lima", **told}]}


NO_LOGPROBS: dict[str, Any] = {
    "a list": [token(logprob=-0.1)],
    "a text": "n/a",
    "a text within": {"content": "Lima"},
    "an object within": {"content": {"Lima": -0.1}},
    "numbers": {"content": [-0.1]},
    "of no token": {"content": [{"logprob": -0.1}]},
    "without one": token(),
    "null": token(logprob=None),
    "no number": token(logprob="n/a"),
    "not a number": token(logprob=float("nan")),
    "a truth": token(logprob=True),
    "more than certain": token(logprob=0.5),
    "of completions": {"tokens": ["Lima"], "token_logprobs": [-0.1]},
}


@pytest.mark.parametrize("name", NO_LOGPROBS)
def test_logprobs_in_no_form_are_absent(connect: Callable[..., ServerEngine], name: str) -> None:
    """Estimators that need none judge as ever; the others have no signal, and a wrong number is no certainty."""

    def reply(request: dict[str, Any]) -> tuple[int, Any]:
        status, body = takes_all(request)
        for choice in body["choices"]:
            choice["logprobs"] = NO_LOGPROBS[name]
        return status, body

    with serving(reply) as server:
        engine = connect(server)
        (sample,) = engine.generate(ASK, n=1, options=SamplingOptions(max_tokens=8, alternatives=2)).samples
        assert (sample.text, sample.token_logprobs, sample.tokens, sample.alternatives) == ("answer 0", *[None] * 3)
        assert not engine.capabilities().logprobs
        assert Router(engine, estimator=MeanLogprob()).decide(ASK).record.reason == "no_signal"


NO_ALTERNATIVES: dict[str, Any] = {
    "null": [{"token": "Lima", "logprob": None}],
    "no number": [{"token": "Lima", "logprob": "n/a"}],
    "not a number": [{"token": "Lima", "logprob": float("nan")}],
    "more than certain": [{"token": "Lima", "logprob": 0.5}],
    "of no token": [{"logprob": -0.1}],
    "numbers": [-0.1],
    "an object": {"Lima": -0.1},
    "a text": "Lima",
}


@pytest.mark.parametrize("name", NO_ALTERNATIVES)
def test_alternatives_in_no_form_are_absent(name: str) -> None:
    """The tokens' own logprobs stay."""
    choice = {"message": {"content": "Lima"}, "logprobs": token(logprob=-0.1, top_logprobs=NO_ALTERNATIVES[name])}
    sample = read_reply(choice, alternatives=2, output_tokens=1)
    assert (sample.token_logprobs, sample.alternatives) == ((-0.1,), None)


def test_what_is_above_zero_by_rounding_is_zero() -> None:
    """The logprob of a token that is as good as certain."""
    told = token(logprob=1e-6, top_logprobs=[{"token": "Lima", "logprob": 1e-6}])
    sample = read_reply({"message": {"content": "Lima"}, "logprobs": told}, alternatives=1, output_tokens=1)
    assert (sample.token_logprobs, sample.alternatives) == ((0.0,), ((("Lima", 0.0),),))


@pytest.mark.parametrize("told", [[999], ["a"], [-1], "Lima", {"a": 1}])
def test_bytes_that_are_none_are_not_read(told: Any) -> None:
    """The token's text is there, too."""
    choice = {"message": {"content": "Lima"}, "logprobs": token(logprob=-0.1, bytes=told)}
    assert read_reply(choice, alternatives=0, output_tokens=1).tokens == ("Lima",)


@pytest.mark.parametrize(
    "parts",
    [[{"type": "output_text", "text": "Li"}, {"type": "refusal", "refusal": "No."}, {"text": "ma"}], ["Li", "ma"]],
)
def test_parts_of_text_have_several_forms(parts: list[Any]) -> None:
    """That of the Responses API, without a type, or bare."""
    assert read_reply({"message": {"content": parts}}, alternatives=0, output_tokens=0).text == "Lima"


def test_a_content_of_parts_is_their_text() -> None:
    """In one piece; what is no text is none of it."""
    parts: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": []},
        {"type": "text", "text": "Li"},
        {"type": "text", "text": "ma"},
    ]
    assert read_reply({"message": {"content": parts}}, alternatives=0, output_tokens=0).text == "Lima"
