"""What a server can: found out by trying, once, and never taken from its own word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from confroute import ConfigurationError, MeanLogprob, Router, SamplingOptions, UnsupportedRequestError
from confroute.edge.protocol import Capabilities
from confroute.edge.server import ServerEngine
from confroute.records import Message, ToolCall
from tests.edge.scripted_server import Reply, Request, completion, holds_schema, serving, takes_all

pytest.importorskip("openai")

ASK: list[Message] = [{"role": "user", "content": "Capital of Peru?"}]
OPTIONS = SamplingOptions(max_tokens=8, seed=3)
ALL = Capabilities(n=True, logprobs=True, alternatives=True, draws=True, json_schema=False, tools=False)

Connect = Callable[..., ServerEngine]


def test_the_server_is_probed_once(connect: Connect) -> None:
    """Four short requests tell all; the later ones are the caller's own."""
    with serving() as server:
        engine = connect(server)
        for _ in range(3):
            engine.generate(ASK, n=2, options=OPTIONS)
        assert engine.capabilities() == ALL
        assert len(server.asked) == 4 + 3
        assert sorted(request["max_tokens"] for request in server.asked[:4]) == [8, 8, 8, 64]


def constant(request: Request) -> Reply:
    """As transformers serve, where the checkpoint's settings do not say that it is to draw."""
    return completion(["The Titanic"] * request.get("n", 1))


@pytest.mark.parametrize("with_n", [True, False])
def test_a_server_that_does_not_draw_is_found_out(connect: Connect, with_n: bool) -> None:
    """Samples that are copies of each other would pass for certainty: an error that says what to do, to the caller and
    not to the cloud. One answer alone, or greedy ones, are as good as any."""
    with serving(constant if with_n else lambda request: constant({**request, "n": 1}), draws=False) as server:
        engine = connect(server)
        drawing = replace(OPTIONS, temperature=0.7)
        for ask in (lambda: engine.generate(ASK, n=2, options=drawing), lambda: Router(engine).decide(ASK)):
            with pytest.raises(ConfigurationError, match="the same text however high the temperature"):
                ask()
        assert engine.generate(ASK, n=1, options=OPTIONS).samples[0].text == "The Titanic"
        assert engine.generate(ASK, n=2, options=OPTIONS).samples[1].text == "The Titanic"


def test_a_json_schema_is_passed_on_where_it_is_held(connect: Connect) -> None:
    """The server's own word is not taken for it: one that answers something else is not asked such things."""
    options = replace(OPTIONS, json_schema={"enum": ["Lima", "Quito"]})
    with serving(holds_schema) as server:
        engine = connect(server)
        assert [sample.text for sample in engine.generate(ASK, n=2, options=options).samples] == ['"Lima"'] * 2
        assert engine.capabilities() == replace(ALL, json_schema=True)
    with serving() as server:
        with pytest.raises(UnsupportedRequestError, match="JSON schema"):
            connect(server).generate(ASK, n=1, options=options)
        assert server.answered == []


WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def calls_tools(request: Request) -> Reply:
    """As vLLM with a model made for tools; the arguments are an object, as Ollama's are, or its JSON."""
    status, body = takes_all(request)
    for told in body["choices"] if "tools" in request else []:
        function = {"name": request["tools"][0]["function"]["name"], "arguments": {"city": "Lima"}}
        told["message"] = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": function}]}
        told["finish_reason"] = "tool_calls"
    return status, body


def no_tools_allowed(request: Request) -> Reply:
    return (400, {"message": "m does not support tools"}) if "tools" in request else takes_all(request)


def test_tools_are_offered_where_they_are_called(connect: Connect) -> None:
    """A server that has none called where the question is for it is not offered any."""
    options = replace(OPTIONS, tools=(WEATHER,), must_call=True)
    with serving(calls_tools) as server:
        engine = connect(server)
        samples = engine.generate(ASK, n=2, options=options).samples
        assert [sample.tool_calls for sample in samples] == [
            (ToolCall(name="weather", arguments='{"city": "Lima"}'),)
        ] * 2
        assert engine.capabilities() == replace(ALL, tools=True)
        strict = {**WEATHER, "function": {**WEATHER["function"], "strict": True}}
        assert (server.asked[-1]["tools"], server.asked[-1]["tool_choice"]) == ([strict], "required")
        engine.generate(ASK, n=1, options=replace(options, must_call=False))
        assert "tool_choice" not in server.asked[-1]
    result: Message = {"role": "tool", "tool_call_id": "1", "content": "rain"}
    for reply in (takes_all, no_tools_allowed):
        with serving(reply) as server:
            for messages, asked in ((ASK, options), ([*ASK, result], OPTIONS)):
                with pytest.raises(UnsupportedRequestError, match="does not call tools"):
                    connect(server).generate(messages, n=1, options=asked)
            assert server.answered == []


def no_logprobs_allowed(request: Request) -> Reply:
    return (422, {"detail": "logprobs"}) if "logprobs" in request else takes_all(request)


def null_logprobs(request: Request) -> Reply:
    return completion(["Lima"] * request.get("n", 1), logprob=None)


@pytest.mark.parametrize("reply", [no_logprobs_allowed, null_logprobs])
def test_without_logprobs_there_is_no_signal_from_them(connect: Connect, reply: Any) -> None:
    """They are absent, never taken for zero: what needs them escalates, and the tokens are counted all the same."""
    with serving(reply) as server:
        engine = connect(server)
        (sample,) = engine.generate(ASK, n=1, options=OPTIONS).samples
        assert (sample.token_logprobs, sample.output_tokens) == (None, 2)
        assert engine.capabilities() == replace(ALL, logprobs=False, alternatives=False)
        assert Router(engine, estimator=MeanLogprob()).decide(ASK).record.reason == "no_signal"
        assert Router(engine, threshold=0.0, samples=4, curtail=False).decide(ASK).record.samples == 4
