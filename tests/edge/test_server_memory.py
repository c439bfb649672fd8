"""What is remembered of a server, and for how long: the one at its address may be another by now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from confroute import ConfigurationError, ModelError, SamplingOptions, UnsupportedRequestError
from confroute.edge.server import ServerEngine
from confroute.records import Message
from tests.edge.scripted_server import (
    Reply,
    Request,
    completion,
    holds_schema,
    serving,
    takes_all,
)

pytest.importorskip("openai")

ASK: list[Message] = [{"role": "user", "content": "Capital of Peru?"}]
OPTIONS = SamplingOptions(max_tokens=8, seed=3)
SCHEMA = replace(OPTIONS, json_schema={"enum": ["Lima", "Quito"]})

Connect = Callable[..., ServerEngine]


def without(*names: str, status: int = 400) -> Callable[[Request], Reply]:
    """As a server that was started with fewer flags, and has such a failure for requests with these parameters."""

    def reply(request: Request) -> Reply:
        unknown = [name for name in names if name in request and (name, request[name]) != ("n", 1)]
        return (status, {"error": {"message": "no"}}) if unknown else holds_schema(request)

    return reply


@pytest.mark.parametrize("names", [("logprobs",), ("n", "logprobs", "response_format")])
def test_a_server_that_came_up_with_other_flags_is_probed_anew(connect: Connect, names: tuple[str, ...]) -> None:
    """Nobody asked it anything in between, so that no connection broke off: its first refusal is the only one."""
    with serving() as server:
        engine = connect(server)
        assert engine.capabilities().logprobs
        server.reply = without(*names)
        with pytest.raises(ModelError, match="status 400"):
            engine.generate(ASK, n=2, options=OPTIONS)
        assert len(engine.generate(ASK, n=2, options=OPTIONS).samples) == 2
        assert not engine.capabilities().logprobs


def test_a_server_that_came_up_to_break_on_what_it_could_is_probed_anew(connect: Connect) -> None:
    """As llama-server without --jinja has internal errors for tools."""
    with serving(holds_schema) as server:
        engine = connect(server)
        engine.generate(ASK, n=1, options=SCHEMA)
        server.reply = without("response_format", status=500)
        with pytest.raises(ModelError, match="status 500"):
            engine.generate(ASK, n=1, options=SCHEMA)
        with pytest.raises(UnsupportedRequestError, match="JSON schema"):
            engine.generate(ASK, n=1, options=SCHEMA)


def test_prompts_that_are_refused_have_it_probed_once(connect: Connect) -> None:
    """Not each of them: the probe would be asked more often than all else."""

    def picky(request: Request) -> Reply:
        return (400, {"error": {"message": "no"}}) if request["messages"] == ASK else takes_all(request)

    with serving(picky) as server:
        engine = connect(server)
        engine.capabilities()
        for _ in range(10):
            with pytest.raises(ModelError, match="refused"):
                engine.generate(ASK, n=1, options=OPTIONS)
        assert len(server.asked) - len(server.answered) <= 8


@pytest.mark.parametrize("status", [500, 200])
def test_a_no_is_not_the_last_word(connect: Connect, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """A server that broke on JSON, or held no answer to it, is asked again after a while; until then it is not."""
    with serving(without("response_format", status=status) if status == 500 else takes_all) as server:
        engine = connect(server)
        for _ in range(3):
            with pytest.raises(UnsupportedRequestError, match="JSON schema"):
                engine.generate(ASK, n=1, options=SCHEMA)
        assert len(server.asked) <= 4
        server.reply = holds_schema
        with pytest.raises(UnsupportedRequestError, match="JSON schema"):
            engine.generate(ASK, n=1, options=SCHEMA)
        monkeypatch.setattr("confroute.edge.server._ANEW_SECONDS", 0.0)
        assert engine.generate(ASK, n=1, options=SCHEMA).samples[0].text == '"Lima"'
        before = len(server.asked)
        engine.generate(ASK, n=1, options=SCHEMA)
        assert len(server.asked) == before + 1


def test_what_was_not_drawn_is_not_for_good(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says to have the server draw: once it does, the same engine goes on."""
    drawing = replace(OPTIONS, temperature=0.7)
    with serving(constant, draws=False) as server:
        engine = connect(server)
        monkeypatch.setattr("confroute.edge.server._ANEW_SECONDS", 0.0)
        with pytest.raises(ConfigurationError, match="the same text"):
            engine.generate(ASK, n=2, options=drawing)
        server.draws = True
        assert len(engine.generate(ASK, n=2, options=drawing).samples) == 2


def constant(request: Request) -> Reply:
    return completion(["The Titanic"] * request.get("n", 1))


class Short:
    """Takes n and gives *most* choices at once; none is held back from probes."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, request: Request) -> Reply:
        status, body = takes_all(request)
        if request["messages"] == ASK:
            body["choices"] = body["choices"][: self.most]
        return status, body


def test_a_reply_that_was_short_once_is_an_accident(connect: Connect) -> None:
    """The rest is asked for, and the next prompt's samples are one request again; also where one was short before."""
    short = Short(9)
    with serving(short) as server:
        engine = connect(server)
        for most in (9, 10, 9, 10):
            short.most = most
            before = len(server.answered)
            assert len(engine.generate(ASK, n=10, options=OPTIONS).samples) == 10
            assert [request["n"] for request in server.answered[before:]] == ([10, 1] if most == 9 else [10])


@pytest.mark.parametrize("most", [1, 2, 4])
def test_a_server_that_is_always_short_is_asked_for_what_it_gives(connect: Connect, most: int) -> None:
    """From the third prompt on no request is in vain."""
    with serving(Short(most)) as server:
        engine = connect(server)
        for _ in range(2):
            assert len(engine.generate(ASK, n=8, options=OPTIONS).samples) == 8
        before = len(server.answered)
        assert len(engine.generate(ASK, n=8, options=OPTIONS).samples) == 8
        assert [request["n"] for request in server.answered[before:]] == [most] * (8 // most)
