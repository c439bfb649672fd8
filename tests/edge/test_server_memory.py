"""What is remembered of a server, and for how long: the one at its address may be another by now."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from confroute import ConfigurationError, ModelError, SamplingOptions, UnsupportedRequestError
from confroute.edge.server import ServerEngine
from confroute.records import Message
from tests.edge.conftest import Clock
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
        monkeypatch.setattr("confroute.edge.renewals._ANEW_SECONDS", 0.0)
        assert engine.generate(ASK, n=1, options=SCHEMA).samples[0].text == '"Lima"'
        before = len(server.asked)
        engine.generate(ASK, n=1, options=SCHEMA)
        assert len(server.asked) == before + 1


def test_what_was_not_drawn_is_not_for_good(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says to have the server draw: once it does, the same engine goes on."""
    drawing = replace(OPTIONS, temperature=0.7)
    with serving(constant, draws=False) as server:
        engine = connect(server)
        monkeypatch.setattr("confroute.edge.renewals._ANEW_SECONDS", 0.0)
        with pytest.raises(ConfigurationError, match="the same text"):
            engine.generate(ASK, n=2, options=drawing)
        server.draws = True
        assert len(engine.generate(ASK, n=2, options=drawing).samples) == 2


@pytest.mark.parametrize("names", [("logprobs",), ("n",)])
def test_what_it_can_do_without_is_asked_for_again_ever_less_often(
    connect: Connect, clock: Clock, names: tuple[str, ...]
) -> None:
    """A server that came up with more is found out within a day at most, and one that has no more costs little."""
    with serving(without(*names)) as server:
        engine = connect(server)
        probed_at: list[float] = []
        for minute in (*range(0, 64, 2), *range(64, 24 * 60, 64)):
            clock.hours = minute / 60
            before = len(server.asked) - len(server.answered)
            assert len(engine.generate(ASK, n=2, options=OPTIONS).samples) == 2
            if len(server.asked) - len(server.answered) > before:
                probed_at.append(minute)
        assert probed_at[:5] == pytest.approx([0, 2, 6, 14, 30], abs=4)
        assert len(probed_at) <= 11
        server.reply = takes_all
        clock.hours += 24
        (sample, _) = engine.generate(ASK, n=2, options=OPTIONS).samples
        assert sample.token_logprobs
        assert server.answered[-1]["n"] == 2
        before = len(server.asked)
        clock.hours += 24
        engine.generate(ASK, n=2, options=OPTIONS)
        assert len(server.asked) == before + 1


def test_to_ask_for_more_fails_no_request(connect: Connect, clock: Clock) -> None:
    """It is served as it was before, and so are the next ones."""
    with serving(without("logprobs")) as server:
        engine = connect(server)
        engine.generate(ASK, n=2, options=OPTIONS)
        clock.hours = 1
        server.reply = lambda request: takes_all(request) if request["messages"] == ASK else (503, {})
        for _ in range(3):
            assert len(engine.generate(ASK, n=2, options=OPTIONS).samples) == 2
        assert not engine.capabilities().logprobs


def test_to_ask_for_what_a_request_lacks_holds_up_no_other(connect: Connect, clock: Clock) -> None:
    """They go on with what is known; and where the probe fails, the one is told of its lack once more."""
    held = threading.Event()

    def reply(request: Request) -> Reply:
        if request["messages"] == ASK:
            return takes_all(request)
        assert held.wait(10)
        return 429, {}

    with serving() as server, ThreadPoolExecutor(1) as pool:
        engine = connect(server)
        engine.generate(ASK, n=2, options=OPTIONS)
        server.reply = reply
        clock.hours = 1
        lacking = pool.submit(engine.generate, ASK, n=1, options=SCHEMA)
        while len(server.asked) == len(server.answered) + 4:
            time.sleep(0.01)
        assert len(engine.generate(ASK, n=2, options=OPTIONS).samples) == 2
        assert not lacking.done()
        held.set()
        with pytest.raises(UnsupportedRequestError, match="JSON schema"):
            lacking.result(10)
        assert len(engine.generate(ASK, n=2, options=OPTIONS).samples) == 2


def test_a_probe_that_nobody_waited_for_has_an_age(connect: Connect, clock: Clock) -> None:
    """What it said the server could not do some time ago is asked anew, as if somebody had."""
    meeting = threading.Event()

    def reply(request: Request) -> Reply:
        meeting.wait(5)
        return takes_all(request)

    with serving(reply) as server:
        engine = connect(server)

        async def leave() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(engine.agenerate(ASK, n=1, options=OPTIONS), 0.1)

        asyncio.run(leave())
        meeting.set()
        until = time.monotonic() + 5
        while len(server.asked) < 4 and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.3)  # until the last answer is read
        server.reply = holds_schema
        clock.hours = 1
        assert engine.generate(ASK, n=1, options=SCHEMA).samples[0].text == '"Lima"'


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
            assert [request.get("n", 1) for request in server.answered[before:]] == ([10, 1] if most == 9 else [10])


@pytest.mark.parametrize("how", ["short", "refused"])
def test_more_samples_at_once_are_tried_again(connect: Connect, clock: Clock, how: str) -> None:
    """A server that had a bad moment gives all at once a little later; one that never does is asked ever less often."""
    bad = True

    def reply(request: Request) -> Reply:
        if bad and request["messages"] == ASK and request.get("n", 1) > 2:
            return (400, {"error": {"message": "no"}}) if how == "refused" else takes_all({**request, "n": 2})
        return takes_all(request)

    def asked() -> list[int]:
        before = len(server.answered)
        assert len(engine.generate(ASK, n=8, options=OPTIONS).samples) == 8
        return [request.get("n", 1) for request in server.answered[before:]]

    with serving(reply) as server:
        engine = connect(server)
        tries: list[int] = []
        for minute in range(0, 600, 10):
            clock.hours = minute / 60
            tries += [minute] * (asked()[0] == 8)
        assert 4 <= len(tries) <= 16
        assert tries[-1] - tries[-2] >= 60
        bad = False
        clock.hours += 48
        assert asked() == [8]
        clock.hours += 0.1
        assert asked() == [8]


@pytest.mark.parametrize("most", [1, 2, 4])
def test_a_server_that_is_always_short_is_asked_for_what_it_gives(connect: Connect, most: int) -> None:
    """From the third prompt on no request is in vain."""
    with serving(Short(most)) as server:
        engine = connect(server)
        for _ in range(2):
            assert len(engine.generate(ASK, n=8, options=OPTIONS).samples) == 8
        before = len(server.answered)
        assert len(engine.generate(ASK, n=8, options=OPTIONS).samples) == 8
        assert [request.get("n", 1) for request in server.answered[before:]] == [most] * (8 // most)
