"""Requests that are made again, and those that are not: only what may pass is tried twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any

import pytest

from confroute import ContextLengthError, ModelError, SamplingOptions
from confroute.edge.server import ServerEngine
from confroute.records import Message
from tests.edge.scripted_server import BreakOff, Reply, Request, ask_to_wait, serving, takes_all

pytest.importorskip("openai")

ASK: list[Message] = [{"role": "user", "content": "Capital of Peru?"}]
OTHER: list[Message] = [{"role": "user", "content": "Capital of Chile?"}]
OPTIONS = SamplingOptions(max_tokens=8, seed=3)
FULL = {"error": {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}}

Connect = Callable[..., ServerEngine]


def fails(status: int, body: Any, *, times: int = 10**6) -> Callable[[Request], Reply]:
    """Replies so to what is asked, so many times; to probes, and after that, the usual one."""
    left = times

    def reply(request: Request) -> Reply:
        nonlocal left
        if request["messages"] != ASK or not left:
            return takes_all(request)
        left -= 1
        return status, body

    return reply


def test_a_context_that_is_full_is_full_the_next_time(connect: Connect) -> None:
    """It is asked for less, not for the same again, which would generate until it is full once more."""
    with serving(fails(500, FULL)) as server:
        with pytest.raises(ModelError, match="is full"):
            connect(server, retries=2).generate(ASK, n=4, options=OPTIONS)
        assert [request.get("n", 1) for request in server.answered] == [4, 2, 1]


@pytest.mark.parametrize("status", [400, 405, 413, 422, 501])
def test_what_a_server_does_not_do_is_asked_once(connect: Connect, status: int) -> None:
    """It will not do it a second later."""
    with serving(fails(status, {"error": {"message": "no"}})) as server:
        with pytest.raises(ModelError, match=f"status {status}"):
            connect(server, retries=2).generate(ASK, n=1, options=OPTIONS)
        assert len(server.answered) == 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_what_may_pass_is_asked_again(connect: Connect, status: int) -> None:
    """As often as *retries* says, and no more."""
    with serving(fails(status, {}, times=1)) as server:
        ask_to_wait(server, "0.01")
        assert connect(server, retries=1).generate(ASK, n=1, options=OPTIONS).samples
        assert len(server.answered) == 2
    with serving(fails(status, {}, times=3)) as server:
        ask_to_wait(server, "0.01")
        with pytest.raises(ModelError, match=rf"status {status}\).*0\.01 seconds"):
            connect(server, retries=2).generate(ASK, n=1, options=OPTIONS)
        assert len(server.answered) == 3


@pytest.mark.parametrize("code", [429, "429", 502])
def test_an_error_in_a_reply_that_is_none_is_asked_again(connect: Connect, code: int | str) -> None:
    """As by OpenRouter and LiteLLM, which have begun to answer with the status 200 when one of theirs fails."""
    error = {"error": {"message": "Provider returned error: Capital of Peru?", "code": code}}
    with serving(fails(200, error, times=1)) as server:
        assert connect(server, retries=1).generate(ASK, n=1, options=OPTIONS).samples
        assert len(server.answered) == 2
    with serving(fails(200, error)) as server:
        with pytest.raises(ModelError, match=rf"status {code}") as caught:
            connect(server).generate(ASK, n=1, options=OPTIONS)
        assert "Peru" not in str(caught.value)


def test_an_error_in_a_reply_has_the_words_of_its_status(connect: Connect) -> None:
    """A prompt that does not fit is told as such, and a key that is refused; what is no status is no completion."""
    full = (
        "This endpoint's maximum context length is 4096 tokens. However, you requested about 5000 tokens (4992 of text "
    )
    for code, said, kind, words in (
        (400, f"{full}input, 8 in the output).", ContextLengthError, "4992 tokens"),
        (401, "No auth", ModelError, "answered before and refused"),
        (402, "Insufficient credits", ModelError, "status 402"),
        (200, "", ModelError, "did not reply with a chat completion"),
        (True, "", ModelError, "did not reply with a chat completion"),
        ("invalid", "", ModelError, "did not reply with a chat completion"),
    ):
        with serving(fails(200, {"error": {"message": said, "code": code}})) as server:
            engine = connect(server, retries=2)
            engine.capabilities()
            with pytest.raises(kind, match=words):
                engine.generate(ASK, n=1, options=OPTIONS)
            assert len(server.answered) == 1


def test_a_connection_that_breaks_off_is_tried_again(connect: Connect) -> None:
    """After half a second at most."""
    broken = False

    def reply(request: Request) -> Reply:
        nonlocal broken
        if request["messages"] == ASK and not broken:
            broken = True
            raise BreakOff
        return takes_all(request)

    with serving(reply) as server:
        engine = connect(server, retries=1)
        engine.capabilities()
        begun = time.monotonic()
        assert engine.generate(ASK, n=1, options=OPTIONS).samples
        assert 0.3 < time.monotonic() - begun < 2


@pytest.mark.parametrize("by_date", [False, True])
def test_a_wait_that_there_is_no_time_for_is_an_error_at_once(connect: Connect, by_date: bool) -> None:
    """The server did answer: its status is told and the seconds that it asks for, not that it was too slow."""
    with serving(fails(429, {})) as server:
        ask_to_wait(server, formatdate(time.time() + 60.5, usegmt=True) if by_date else "60")
        engine = connect(server, retries=2, timeout_seconds=3)
        engine.capabilities()
        begun = time.monotonic()
        with pytest.raises(
            ModelError, match=r"status 429\).* (60|60\.\d+|59\.\d+) seconds until the next; see timeout_seconds"
        ):
            engine.generate(ASK, n=1, options=OPTIONS)
        assert time.monotonic() - begun < 1
        assert len(server.answered) == 1


@pytest.mark.parametrize("status", [504, 524, None])
def test_an_answer_that_was_lost_on_its_way_is_asked_for_once_more(connect: Connect, status: int | None) -> None:
    """By a gateway that did not wait for it, or in the middle: the server has generated it, and is paid for it."""

    def reply(request: Request) -> Reply:
        if request["messages"] != ASK:
            return takes_all(request)
        if status is None:
            raise BreakOff
        return status, {}

    for retries, requests in ((0, 1), (3, 2)):
        with serving(reply) as server:
            ask_to_wait(server, "0.01")
            with pytest.raises(ModelError, match="broke off" if status is None else f"status {status}"):
                connect(server, retries=retries).generate(ASK, n=5, options=OPTIONS)
            assert len(server.answered) == requests


def test_what_the_server_says_is_in_vain_is_not_tried_again(connect: Connect) -> None:
    """In a header, as OpenAI, or by a quota that is used up."""
    quota = {"error": {"message": "You exceeded your current quota.", "code": "insufficient_quota"}}
    for status, body, words in ((500, {}, "status 500"), (429, quota, "quota.*used up")):
        with serving(fails(status, body)) as server:
            ask_to_wait(server, "false", "x-should-retry" if status == 500 else "x-other")
            with pytest.raises(ModelError, match=words):
                connect(server, retries=2).generate(ASK, n=1, options=OPTIONS)
            assert len(server.answered) == 1


def test_what_a_filter_holds_back_is_asked_once(connect: Connect) -> None:
    """As by Azure: fewer samples would not pass it either."""
    filtered = {"error": {"message": "Capital of Peru", "code": "content_filter", "param": "prompt"}}
    with serving(fails(400, filtered)) as server:
        with pytest.raises(ModelError, match="content filter") as caught:
            connect(server).generate(ASK, n=8, options=OPTIONS)
        assert "Peru" not in str(caught.value)
        assert len(server.answered) == 1


def test_a_wait_may_be_told_in_milliseconds(connect: Connect) -> None:
    """As by OpenAI and Azure."""
    with serving(fails(429, {})) as server:
        ask_to_wait(server, "60000", "Retry-After-Ms")
        with pytest.raises(ModelError, match=r"status 429\).* 60 seconds until the next"):
            connect(server, retries=2, timeout_seconds=3).generate(ASK, n=1, options=OPTIONS)


@pytest.mark.parametrize("wait", ["soon", "nan", "inf", "-5", "0", "", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_wait_that_is_none_is_that_of_any_retry(connect: Connect, wait: str) -> None:
    """Neither at once nor never."""
    with serving(fails(503, {}, times=1)) as server:
        ask_to_wait(server, wait)
        engine = connect(server, retries=1)
        engine.capabilities()
        begun = time.monotonic()
        assert engine.generate(ASK, n=1, options=OPTIONS).samples
        assert 0.3 < time.monotonic() - begun < 2


def test_a_request_that_pauses_leaves_its_turn(connect: Connect) -> None:
    """Over one connection, another request goes out while the first one waits to be made again."""
    with serving(fails(429, {}, times=1)) as server:
        engine = connect(server, retries=1, connections=1)
        engine.capabilities()
        ask_to_wait(server, "1")
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(engine.generate, ASK, n=1, options=OPTIONS)
            while not server.answered:
                time.sleep(0.01)
            begun = time.monotonic()
            assert engine.generate(OTHER, n=1, options=OPTIONS).samples
            assert time.monotonic() - begun < 0.6
            assert not first.done()
            assert first.result(5).samples
        assert [request["messages"] for request in server.answered] == [ASK, OTHER, ASK]


@pytest.mark.parametrize("where", ["messages", "stop"])
def test_messages_that_cannot_be_encoded_are_told_as_such(connect: Connect, where: str) -> None:
    """Half of a surrogate pair is no text: nothing is sent, and the error blames no server and quotes nothing."""
    words = "zanzibarland \ud83d"
    messages: list[Message] = [{"role": "user", "content": words}] if where == "messages" else ASK
    options = SamplingOptions(max_tokens=8, stop=(words,) if where == "stop" else ())
    with serving() as server:
        engine = connect(server, retries=2)
        with pytest.raises(ModelError, match="cannot be encoded and were not sent") as caught:
            engine.generate(messages, n=1, options=options)
        assert server.answered == []
        assert "zanzibarland" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
