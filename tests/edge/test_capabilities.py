"""What a server can: found out by trying, once, and never taken from its own word."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from confroute import ConfigurationError, MeanLogprob, ModelError, Router, SamplingOptions, UnsupportedRequestError
from confroute.edge.protocol import Capabilities
from confroute.edge.server import ServerEngine
from confroute.records import Message, ToolCall
from tests.edge.scripted_server import Hang, Reply, Request, completion, holds_schema, serving, takes_all

pytest.importorskip("openai")

ASK: list[Message] = [{"role": "user", "content": "Capital of Peru?"}]
OPTIONS = SamplingOptions(max_tokens=8, seed=3)
ALL = Capabilities(n=True, logprobs=True, alternatives=20, draws=True, json_schema=False, tools=False)

Connect = Callable[..., ServerEngine]


def test_the_server_is_probed_once(connect: Connect) -> None:
    """Four short requests tell all; the later ones are the caller's own."""
    with serving() as server:
        engine = connect(server)
        for _ in range(3):
            engine.generate(ASK, n=2, options=OPTIONS)
        assert engine.capabilities() == ALL
        assert len(server.asked) == 4 + 3
        assert sorted(request["max_tokens"] for request in server.asked[:4]) == [8, 8, 16, 64]


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
        assert engine.capabilities() == replace(ALL, logprobs=False, alternatives=0)
        assert Router(engine, estimator=MeanLogprob()).decide(ASK).record.reason == "no_signal"
        assert Router(engine, threshold=0.0, samples=4, curtail=False).decide(ASK).record.samples == 4


def test_logprobs_that_are_all_0_are_none(connect: Connect) -> None:
    """As of servers that do not compute them: samples that differ cannot all be certain. Those that do not differ may
    be."""

    def certain(request: Request) -> Reply:
        return completion(["Lima"] * request.get("n", 1), logprob=0.0)

    with serving(certain) as server:
        engine = connect(server)
        assert engine.capabilities() == replace(ALL, logprobs=False, alternatives=0)
        assert Router(engine, estimator=MeanLogprob()).decide(ASK).record.reason == "no_signal"
    with serving(certain, draws=False) as server:
        assert connect(server).capabilities().logprobs


def thinks(tokens: int, *, shown: bool, draws: bool = True) -> Callable[[Request], Reply]:
    """As vLLM with a parser of thoughts, or Ollama: the first *tokens* of a reply are thoughts, for which there is
    no content. The rest answers as `holds_schema` and `calls_tools` do."""
    asked = count()

    def reply(request: Request) -> Reply:
        answered = "tools" in request or "response_format" in request
        status, body = calls_tools(request) if "tools" in request else holds_schema(request)
        for told in body["choices"]:
            message = told["message"]
            if request["max_tokens"] <= tokens:
                message |= {"content": None, "tool_calls": None}
                told |= {"finish_reason": "length", "logprobs": None}
            elif not answered:
                message["content"] = f"Boat {next(asked) if draws else ''}"
            if shown:
                message["reasoning_content"] = f"Okay, a name, maybe {next(asked) if draws else ''}"
        return status, body

    return reply


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("tokens", [20, 200])
def test_a_model_that_thinks_first_is_waited_for(connect: Connect, shown: bool, tokens: int) -> None:
    """To say nothing is not to say the same: its thoughts differ, or what it says after them; and only then is there a
    place for JSON or a call."""
    with serving(thinks(tokens, shown=shown), draws=False) as server:
        can = connect(server).capabilities()
        assert (can.draws, can.json_schema, can.tools) == (True, True, True)
        assert max(request["max_tokens"] for request in server.asked) == (64 if tokens < 64 else 512)


def test_thoughts_that_are_always_the_same_are_found_out(connect: Connect) -> None:
    """A model that thinks has to draw like any other."""
    for shown in (True, False):
        with serving(thinks(20, shown=shown, draws=False), draws=False) as server:
            assert not connect(server).capabilities().draws


def test_a_model_that_never_says_anything_is_not_judged(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it asked as much for each request: one sample is as good as any, and for several the router escalates,
    until after a while it is asked again."""
    silent = thinks(10**6, shown=False)
    reply = lambda request: takes_all(request) if request["messages"] == ASK else silent(request)
    with serving(reply, draws=False) as server:
        engine = connect(server)
        assert engine.generate(ASK, n=1, options=OPTIONS).samples[0].text
        before = len(server.asked)
        for _ in range(2):
            with pytest.raises(ModelError, match="said nothing in 512 tokens"):
                engine.generate(ASK, n=2, options=replace(OPTIONS, temperature=0.7))
        assert len(server.asked) == before
        assert Router(engine).decide(ASK).record.reason == "edge_error"
        server.reply, server.draws = takes_all, True
        monkeypatch.setattr("confroute.edge.renewals._ANEW_SECONDS", 0.0)
        assert len(engine.generate(ASK, n=2, options=replace(OPTIONS, temperature=0.7)).samples) == 2
        assert engine.capabilities() == ALL


def test_the_logprobs_of_thoughts_are_logprobs(connect: Connect) -> None:
    """In the few tokens of a probe there are no others."""
    asked = count()

    def reply(request: Request) -> Reply:
        status, body = takes_all(request)
        for told in body["choices"]:
            told["message"] = {"content": None, "reasoning": f"Okay {next(asked)}"}
        return status, body

    with serving(reply, draws=False) as server:
        assert connect(server).capabilities() == ALL


def breaks_on(word: str, status: int) -> Callable[[Request], Reply]:
    return lambda request: (status, {"error": {"message": "no"}}) if word in request else takes_all(request)


@pytest.mark.parametrize("word", ["tools", "response_format"])
def test_a_server_that_breaks_on_a_probe_can_do_the_rest(connect: Connect, word: str) -> None:
    """As llama-server without --jinja, which has an internal error for tools."""
    with serving(breaks_on(word, 500)) as server:
        engine = connect(server)
        assert len(engine.generate(ASK, n=2, options=OPTIONS).samples) == 2
        assert engine.capabilities() == ALL


ODD: dict[str, Any] = {
    "an error": {"error": {"message": "Provider returned error", "code": None}},
    "an end by error": {"choices": [{"message": {"content": ""}, "finish_reason": "error"}]},
    "another tool": {"choices": [{"message": {"content": "", "tool_calls": [{"type": "custom", "custom": {}}]}}]},
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("word", ["tools", "response_format", "logprobs"])
def test_what_is_answered_oddly_is_absent(connect: Connect, word: str, odd: str) -> None:
    """As by gateways whose errors may have the status 200, and say no other: the rest is used, and asked for once."""
    with serving(lambda request: (200, deepcopy(ODD[odd])) if word in request else takes_all(request)) as server:
        engine = connect(server)
        assert len(engine.generate(ASK, n=2, options=OPTIONS).samples) == 2
        assert engine.capabilities() == (ALL if word != "logprobs" else replace(ALL, logprobs=False, alternatives=0))
        before = len(server.asked)
        engine.generate(ASK, n=2, options=OPTIONS)
        assert len(server.asked) == before + 1


def test_a_key_that_is_refused_in_between_is_no_lack_of_tools(connect: Connect) -> None:
    """Nothing is remembered of a server that did not judge the request."""
    with serving(lambda request: (401, {}) if "tools" in request else takes_all(request)) as server:
        engine = connect(server)
        with pytest.raises(ModelError, match="status 401"):
            engine.capabilities()
        server.reply = calls_tools
        assert engine.capabilities().tools


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_server_that_is_busy_is_not_judged(connect: Connect, status: int, hidden: bool) -> None:
    """What it cannot do now it may do later; nor is one that says so within a reply of the status 200."""

    def busy(request: Request) -> Reply:
        told = breaks_on("tools", status)(request)
        return (200, {"error": {"message": "no", "code": status}}) if hidden and told[0] == status else told

    with serving(busy) as server:
        engine = connect(server)
        with pytest.raises(ModelError, match=f"status {status}"):
            engine.capabilities()
        server.reply = calls_tools
        assert engine.capabilities().tools


def test_a_server_that_refuses_everything_is_not_judged(connect: Connect) -> None:
    """As LM Studio while a model is loaded anew: the router escalates until it is well again."""
    with serving(lambda _: (400, {"error": "The model has crashed without additional information."})) as server:
        engine = connect(server)
        assert Router(engine).decide(ASK).record.reason == "edge_error"
        server.reply = takes_all
        assert engine.capabilities() == ALL


def test_first_requests_that_come_together_share_the_probe(connect: Connect) -> None:
    """Its failure is told to all of them, and the next ones try again."""
    well = False
    meeting = threading.Event()

    def reply(request: Request) -> Reply:
        meeting.wait(5)
        return takes_all(request) if well else (503, {})

    def ask(engine: ServerEngine) -> str:
        try:
            return engine.generate(ASK, n=1, options=OPTIONS).samples[0].text
        except ModelError as error:
            return type(error).__name__

    with serving(reply) as server, ThreadPoolExecutor(16) as pool:
        engine = connect(server)
        for well, expected, requests in ((False, "BusyError", 1), (True, "answer 0", 1 + 4 + 16)):  # noqa: B007
            meeting.clear()
            told = [pool.submit(ask, engine) for _ in range(16)]
            time.sleep(0.3)
            meeting.set()
            assert [each.result(10) for each in told] == [expected] * 16
            assert len(server.asked) == requests


async def leave(engine: ServerEngine, begun: threading.Event) -> None:
    """Three requests that are cancelled once one has *begun*."""
    tasks = [asyncio.create_task(engine.agenerate(ASK, n=1, options=OPTIONS)) for _ in range(3)]
    await asyncio.to_thread(begun.wait, 5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_a_probe_goes_on_without_those_who_left(connect: Connect) -> None:
    """Callers that wait for less than it takes would never be answered, and have it made again each time."""
    begun, held = threading.Event(), threading.Event()

    def reply(request: Request) -> Reply:
        begun.set()
        held.wait(5)
        return takes_all(request)

    with serving(reply) as server:
        engine = connect(server)
        asyncio.run(leave(engine, begun))
        held.set()
        assert engine.generate(ASK, n=1, options=OPTIONS).samples
        assert engine.capabilities() == ALL
        assert len(server.asked) == 4 + 1


@pytest.mark.parametrize("how", ["in time", "closed", "interrupted"])
def test_a_probe_that_nobody_waits_for_ends(connect: Connect, how: str) -> None:
    """After as long as a request may take, with its engine, or when the program's user wants no more of it."""

    def silent(request: Request) -> Reply:
        raise Hang

    def wait(engine: ServerEngine) -> None:
        interrupted = threading.Thread(target=interrupt)
        interrupted.start()
        with pytest.raises(KeyboardInterrupt):
            engine.generate(ASK, n=1, options=OPTIONS)
        interrupted.join()

    def interrupt() -> None:
        server.hanging.wait(5)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with serving(silent) as server:
        engine = connect(server, timeout_seconds=0.5 if how == "in time" else 60)
        if how == "interrupted":
            wait(engine)
        else:
            asyncio.run(leave(engine, server.hanging))
            assert not server.broken_off.is_set()
        if how == "closed":
            engine.close()
        assert server.broken_off.wait(5)


def test_a_probe_that_fails_when_nobody_waits_is_made_again(connect: Connect) -> None:
    """Its failure is nobody's."""
    begun, held = threading.Event(), threading.Event()

    def busy(request: Request) -> Reply:
        begun.set()
        held.wait(5)
        return 503, {}

    with serving(busy) as server:
        engine = connect(server)
        asyncio.run(leave(engine, begun))
        server.reply = takes_all
        held.set()
        time.sleep(0.2)
        assert engine.capabilities() == ALL
