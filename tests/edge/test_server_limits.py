"""What a server and its engine have not enough of: time, place in a context, and requests under way."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from confroute import ModelError, Router, SamplingOptions
from confroute.edge.refusals import BusyError, OverdueError
from confroute.edge.server import ServerEngine
from confroute.records import Message
from tests.edge.scripted_server import Hang, Reply, Request, Trickle, ask_to_wait, completion, serving, takes_all

pytest.importorskip("openai")

ASK: list[Message] = [{"role": "user", "content": "Capital of Peru?"}]
OPTIONS = SamplingOptions(max_tokens=8, seed=3)

Connect = Callable[..., ServerEngine]


def for_asked(kind: type[Exception]) -> Callable[[Request], Reply]:
    def reply(request: Request) -> Reply:
        if request["messages"] == ASK:
            raise kind
        return takes_all(request)

    return reply


@pytest.mark.parametrize("kind", [Hang, Trickle])
def test_the_timeout_is_for_the_whole_request(connect: Connect, kind: type[Exception]) -> None:
    """A server that sends a byte now and then has no more time than a silent one, and retries have none beside it."""
    with serving(for_asked(kind)) as server:
        engine = connect(server, timeout_seconds=0.5, retries=3)
        engine.capabilities()
        begin = time.monotonic()
        with pytest.raises(ModelError, match="in time; see timeout_seconds"):
            engine.generate(ASK, n=1, options=OPTIONS)
        assert time.monotonic() - begin < 1.4
        assert server.broken_off.wait(5)


def test_to_wait_for_a_connection_takes_none_of_the_time(connect: Connect) -> None:
    """Ten requests over two connections: each has its timeout from when it goes out."""

    def slow(request: Request) -> Reply:
        if request["messages"] == ASK:
            time.sleep(0.2)
        return completion(["Lima"])

    with serving(slow) as server:
        engine = connect(server, timeout_seconds=0.7, connections=2)
        assert len(engine.generate(ASK, n=10, options=OPTIONS).samples) == 10


class SharedContext:
    """As llama-server with one cache for all slots: place for *most* samples of the prompt at the same time."""

    def __init__(self, most: int, *, takes_n: bool = True) -> None:
        self.most = most
        self._takes_n = takes_n
        self._under_way = 0
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Reply:
        n = request.get("n", 1) if self._takes_n else 1
        if request["messages"] != ASK:
            return takes_all({**request, "n": n})
        with self._lock:
            self._under_way += n
        time.sleep(0.1)
        with self._lock:
            full = self._under_way > self.most
            self._under_way -= n
        error = {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}
        return (500, {"error": error}) if full else takes_all({**request, "n": n})


@pytest.mark.parametrize("takes_n", [True, False])
def test_samples_that_do_not_fit_together_are_asked_for_apart(connect: Connect, takes_n: bool) -> None:
    """Fewer at a time and one request after the other, with all the seeds; the next prompt may be a short one."""
    context = SharedContext(2, takes_n=takes_n)
    with serving(context) as server:
        engine = connect(server)
        assert len(engine.generate(ASK, n=5, options=OPTIONS).samples) == 5
        answered = server.answered
        context.most = 10
        engine.generate(ASK, n=5, options=OPTIONS)
        asked = [request.get("n", 1) for request in server.answered[len(answered) :]]
        assert asked == ([5] if takes_n else [1] * 5)
        seeds = [request["seed"] for request in answered if request.get("n", 1) < 5]
        assert seeds[-1] == 7 if not takes_n else seeds[-3:] == [3, 5, 7]


def test_a_sample_that_does_not_fit_alone_is_an_error(connect: Connect) -> None:
    """That says so, and what to do."""
    with serving(SharedContext(0)) as server:
        with pytest.raises(ModelError, match=r"which requests under way together share, is full\. Give"):
            connect(server).generate(ASK, n=4, options=OPTIONS)
        assert [request.get("n", 1) for request in server.answered] == [4, 2, 1]


class FewAtOnce:
    """As LiteLLM with max_parallel_requests, or nginx with limit_conn: more than *most* requests at a time are refused.
    It takes no n."""

    def __init__(self, most: int, *, status: int = 429, seconds: float = 0.05) -> None:
        self.most = most
        self.status = status
        self.seconds = seconds
        self.refused = self.busiest = 0
        self._under_way = 0
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Reply:
        with self._lock:
            if self._under_way >= self.most:
                self.refused += 1
                return self.status, {"error": {"message": "Too many requests at a time.", "type": "rate_limit_error"}}
            self._under_way += 1
            self.busiest = max(self.busiest, self._under_way)
        time.sleep(self.seconds)
        with self._lock:
            self._under_way -= 1
        return takes_all({**request, "n": 1})


@pytest.mark.parametrize(("most", "status"), [(1, 429), (1, 503), (4, 429)])
def test_samples_that_are_too_many_at_once_wait_for_their_turn(connect: Connect, most: int, status: int) -> None:
    """None that is finished, and paid for, is lost or drawn again, and the probe gets through: that takes no retry."""
    server_takes = FewAtOnce(most, status=status)
    with serving(server_takes) as server:
        engine = connect(server, retries=0)
        engine.capabilities()
        refused, asked = server_takes.refused, len(server.answered)
        assert len(engine.generate(ASK, n=10, options=OPTIONS).samples) == 10
        answered = len(server.answered) - asked - (server_takes.refused - refused)
        assert answered == 10
        assert server_takes.busiest == most


def test_the_turns_of_one_that_was_refused_count_as_its_time(connect: Connect) -> None:
    """Of a server that takes one at a time, and many that wait, it would hang instead of going to the cloud."""
    server_takes = FewAtOnce(1, seconds=0.0)
    with serving(server_takes) as server:
        engine = connect(server, timeout_seconds=1.5)
        engine.capabilities()
        server_takes.seconds = 0.3
        answered = len(server.answered) - server_takes.refused
        with pytest.raises((BusyError, OverdueError)):
            engine.generate(ASK, n=30, options=OPTIONS)
        assert len(server.answered) - server_takes.refused - answered < 15


def test_how_many_at_once_a_server_takes_is_remembered(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next prompt has none refused for being too many."""
    monkeypatch.setattr("confroute.edge.width._WIDER_SECONDS", 60.0)
    server_takes = FewAtOnce(2)
    with serving(server_takes) as server:
        engine = connect(server)
        engine.generate(ASK, n=10, options=OPTIONS)
        refused = server_takes.refused
        assert refused
        engine.generate(ASK, n=10, options=OPTIONS)
        assert server_takes.refused == refused


def test_more_at_once_are_tried_after_a_while(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others that a server was busy with may be done."""
    monkeypatch.setattr("confroute.edge.width._WIDER_SECONDS", 0.0)
    server_takes = FewAtOnce(1)
    with serving(server_takes) as server:
        engine = connect(server)
        engine.generate(ASK, n=4, options=OPTIONS)
        server_takes.most = 10
        engine.generate(ASK, n=10, options=OPTIONS)
        assert server_takes.busiest > 4


def test_a_server_with_place_for_none_says_what_to_lower(connect: Connect) -> None:
    """One request alone is made again as often as retries says, and its error names connections."""
    server_takes = FewAtOnce(10)
    with serving(server_takes) as server:
        engine = connect(server, retries=1)
        engine.capabilities()
        server_takes.most = 0
        with pytest.raises(ModelError, match=r"status 429\)\. Try again later.*lower connections"):
            engine.generate(ASK, n=1, options=OPTIONS)
        assert len(server.answered) == 2
        with pytest.raises(ModelError, match="status 429"):
            engine.generate(ASK, n=4, options=OPTIONS)


def test_a_wait_that_a_crowd_is_asked_for_is_kept(connect: Connect) -> None:
    """As that of one request, and where there is no time for it, it is an error at once."""
    server_takes = FewAtOnce(10, seconds=0.3)
    with serving(server_takes) as server:
        ask_to_wait(server, "60")
        engine = connect(server, timeout_seconds=3)
        engine.capabilities()
        server_takes.most = 1
        begun = time.monotonic()
        with pytest.raises(ModelError, match="60 seconds until the next"):
            engine.generate(ASK, n=3, options=OPTIONS)
        assert time.monotonic() - begun < 1


@pytest.mark.parametrize("on_loop", [False, True])
def test_to_close_an_engine_fails_what_is_under_way(connect: Connect, on_loop: bool) -> None:
    """With an error that the router escalates for; the next request opens it again."""

    async def adecide(router: Router) -> Any:
        return await router.adecide(ASK)

    with serving(for_asked(Hang)) as server, ThreadPoolExecutor(1) as pool:
        engine = connect(server)
        router = Router(engine)
        decision = pool.submit((lambda: asyncio.run(adecide(router))) if on_loop else (lambda: router.decide(ASK)))
        assert server.hanging.wait(5)
        engine.close()
        assert (decision.result(5).record.reason, decision.result(5).record.error) == ("edge_error", "ModelError")
        server.reply = takes_all
        assert engine.generate(ASK, n=1, options=OPTIONS).samples[0].text == "answer 0"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("use_it", [False, True])
def test_a_forked_process_may_use_or_drop_an_inherited_engine(
    connect: Connect, capfd: pytest.CaptureFixture[str], use_it: bool
) -> None:
    """It connects itself, and says nothing of a loop that is its parent's."""
    with serving() as server:
        engine = ServerEngine("m", server.url, retries=0)
        engine.generate(ASK, n=1, options=OPTIONS)
        child = os.fork()
        if not child:
            status = 1
            try:
                if use_it:
                    engine.generate(ASK, n=1, options=OPTIONS)
                    engine.close()
                del engine
                gc.collect()
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert "RuntimeError" not in capfd.readouterr().err
        assert engine.generate(ASK, n=1, options=OPTIONS).samples[0].text == "answer 0"
        engine.close()
