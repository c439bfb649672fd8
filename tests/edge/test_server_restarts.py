"""A server that comes back as another: its copies, and what it no longer tells, never pass for certainty."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from confroute import ModelError, Router, SamplingOptions
from confroute.edge.refusals import DeniedError
from confroute.edge.server import ServerEngine
from confroute.records import Message
from tests.edge.conftest import Clock
from tests.edge.scripted_server import BreakOff, Reply, Request, ScriptedServer, completion, serving, takes_all

pytest.importorskip("openai")

ASK: list[Message] = [{"role": "user", "content": "Capital of Peru?"}]
LAST: list[Message] = [{"role": "user", "content": "Capital of Chile?"}]
OPTIONS = SamplingOptions(max_tokens=8, temperature=0.7)

Connect = Callable[..., ServerEngine]

WRONG = "the same text however high the temperature"


def copies(request: Request) -> Reply:
    return completion(["The Titanic"] * request.get("n", 1), logprob=None)


def one_copy(_: Request) -> Reply:
    return copies({})


def sure(request: Request) -> Reply:
    """As a model that is certain of the capital, behind a server that tells no logprobs."""
    fresh = itertools.count()
    texts = ["Lima" if request["messages"] == ASK else f"boat {next(fresh)}" for _ in range(request.get("n", 1))]
    return completion(texts, logprob=None)


def busy_but_sure(request: Request) -> Reply:
    return sure(request) if request["messages"] == ASK else (429, {})


def comes_back_as(server: ScriptedServer, other: Callable[[Request], Reply], *, how: str) -> None:
    """The next request is the last that this one sees, or the first that the other refuses."""

    def reply(request: Request) -> Reply:
        server.reply, server.draws = other, other is takes_all
        if how == "broken off":
            raise BreakOff
        return 503, {"error": {"message": "Loading model", "code": 503}}

    server.reply = reply


@pytest.mark.parametrize("how", ["broken off", "loading"])
def test_a_server_that_came_back_within_a_retry_is_probed_anew(connect: Connect, how: str) -> None:
    """The reply to the retry is one of a server that nobody knows."""
    with serving() as server:
        engine = connect(server, retries=1)
        engine.generate(ASK, n=3, options=OPTIONS)
        comes_back_as(server, copies, how=how)
        with pytest.raises(DeniedError, match=WRONG):
            engine.generate(ASK, n=3, options=OPTIONS)
        assert not engine.capabilities().draws


def test_a_server_that_came_back_as_it_was_has_its_reply_taken(connect: Connect) -> None:
    """A connection that broke off costs a probe, not the samples."""
    with serving() as server:
        engine = connect(server, retries=1)
        engine.generate(ASK, n=3, options=OPTIONS)
        comes_back_as(server, takes_all, how="broken off")
        before = len(server.answered)
        assert len(engine.generate(ASK, n=3, options=OPTIONS).samples) == 3
        assert len(server.answered) == before + 2


def test_a_fleet_of_which_one_is_loading_is_not_probed_for_each_request(connect: Connect, clock: Clock) -> None:
    """Each fourth request is refused for as long as that takes, those of probes among them."""
    with serving() as server:
        engine = connect(server, retries=3)
        engine.generate(ASK, n=3, options=OPTIONS)
        turns = itertools.count(1)

        def reply(request: Request) -> Reply:
            return (
                (503, {"error": {"message": "Loading model", "code": 503}}) if next(turns) % 4 == 0 else sure(request)
            )

        server.reply = lambda request: reply(request) if request["messages"] == ASK else takes_all(request)
        before = len(server.asked)
        with ThreadPoolExecutor(10) as users:
            asked = [users.submit(engine.generate, ASK, n=3, options=OPTIONS) for _ in range(20)]
        assert all(len(each.result().samples) == 3 for each in asked)
        assert len(server.asked) - before < 20 * 4 / 3 + 12
        clock.hours = 0.01
        before = len(server.asked)
        for _ in range(4):
            engine.generate(ASK, n=3, options=OPTIONS)
        assert len(server.asked) - before > 6  # it may have been restarted by now


def test_one_answer_that_a_retry_brought_waits_for_no_probe(connect: Connect) -> None:
    """There are no others that it could be a copy of; the next request has the server probed."""
    with serving() as server:
        engine = connect(server, retries=1)
        engine.capabilities()
        comes_back_as(server, busy_but_sure, how="loading")
        before = len(server.asked)
        assert engine.generate(ASK, n=1, options=OPTIONS).samples[0].text == "Lima"
        assert len(server.asked) == before + 2
        server.reply = copies
        with pytest.raises(DeniedError, match=WRONG):
            engine.generate(ASK, n=3, options=OPTIONS)


def test_what_came_back_without_an_n_is_asked_one_by_one(connect: Connect) -> None:
    """Three samples that it drew from one seed are thrown away, and three drawn."""
    fresh = itertools.count()

    def alike(request: Request) -> Reply:
        return completion([f"boat {next(fresh)}"] * request.get("n", 1))

    with serving() as server:
        engine = connect(server, retries=1)
        engine.generate(ASK, n=3, options=OPTIONS)
        comes_back_as(server, alike, how="loading")
        assert len({sample.text for sample in engine.generate(ASK, n=3, options=OPTIONS).samples}) == 3


def test_a_server_that_is_another_each_time_is_told_of(connect: Connect) -> None:
    """Two behind one address, which lose each other's connections, are no edge."""
    with serving() as server:
        engine = connect(server, retries=1)
        engine.capabilities()
        turns = itertools.cycle([None, False, None, True])
        logprobs = True

        def reply(request: Request) -> Reply:
            nonlocal logprobs
            if request["messages"] == ASK:
                turn = next(turns)
                if turn is None:
                    raise BreakOff
                logprobs = turn
            status, body = takes_all(request)
            for choice in () if logprobs else body["choices"]:
                choice["logprobs"] = None
            return status, body

        server.reply = reply
        with pytest.raises(ModelError, match="more than one at its address"):
            engine.generate(ASK, n=3, options=OPTIONS)


def test_a_server_that_came_back_while_nobody_asked_is_found_out(connect: Connect, clock: Clock) -> None:
    """By logprobs that are none, at once; else by samples that are all alike, though they were not for long."""
    with serving() as server:
        engine = connect(server)
        engine.generate(ASK, n=3, options=OPTIONS)
        server.reply, server.draws = copies, False
        with pytest.raises(DeniedError, match=WRONG):
            engine.generate(ASK, n=3, options=OPTIONS)
    with serving(lambda request: completion(["a", "b", "c"][: request.get("n", 1)], logprob=None)) as server:
        engine = connect(server)
        engine.generate(ASK, n=3, options=OPTIONS)
        server.reply, server.draws = copies, False
        clock.hours = 0.01
        with pytest.raises(DeniedError, match=WRONG):
            engine.generate(ASK, n=3, options=OPTIONS)


def test_copies_that_their_own_logprobs_make_unlikely_are_found_out(connect: Connect) -> None:
    """Ten times the same, each time with a probability of a half."""
    with serving() as server:
        engine = connect(server)
        engine.generate(ASK, n=10, options=OPTIONS)
        server.reply, server.draws = lambda request: completion(["Lima"] * request.get("n", 1), logprob=-0.8), False
        with pytest.raises(DeniedError, match=WRONG):
            engine.generate(ASK, n=10, options=OPTIONS)


@pytest.mark.parametrize("told", [True, False])
def test_a_sure_model_costs_few_probes(connect: Connect, clock: Clock, told: bool) -> None:
    """None where its logprobs say that it is; else ever fewer, and none at all while other answers differ."""

    def reply(request: Request) -> Reply:
        _, body = sure(request)
        return completion([each["message"]["content"] for each in body["choices"]], logprob=-1e-4 if told else None)

    with serving(reply) as server:
        engine = connect(server)
        for minute in range(0, 24 * 60, 20):
            clock.hours = minute / 60
            assert len(engine.generate(ASK, n=10, options=OPTIONS).samples) == 10
        # Without logprobs it is asked for those, too.
        assert len(server.asked) - len(server.answered) <= (4 if told else 22 * 6)


def test_answers_that_differ_prove_that_it_draws(connect: Connect, clock: Clock) -> None:
    """The sure ones between them are not doubted."""
    fresh = itertools.count()

    def reply(request: Request) -> Reply:
        text = "Lima" if request["messages"] == ASK else "boat {}"
        return completion([text.format(next(fresh)) for _ in range(request.get("n", 1))], logprob=None)

    other: list[Message] = [{"role": "user", "content": "A name for a dog?"}]
    with serving(reply) as server:
        engine = connect(server)
        engine.capabilities()
        clock.hours = 0.02
        before = len(server.asked) - len(server.answered)
        for messages in (other, ASK, ASK, other, ASK):
            engine.generate(messages, n=3, options=OPTIONS)
        assert len(server.asked) - len(server.answered) == before


def test_a_server_that_once_drew_is_escalated_from(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """The application goes on, and its log says what is wrong: copies, or another model with a temperature of its
    own."""

    def hot(request: Request) -> Reply:
        return takes_all(request) if request["temperature"] == 1 else (400, {"error": {"message": "temperature"}})

    for other, words in ((copies, WRONG), (hot, "no temperature below 1")):
        with serving() as server:
            engine = connect(server)
            engine.generate(ASK, n=3, options=OPTIONS)
            server.reply, server.draws = other, other is hot
            router = Router(engine)
            records = [router.decide(ASK).record for _ in range(3)]
            assert {record.reason for record in records} == {"edge_error"}
            assert records[-1].error == "DeniedError"
            assert words in caplog.text


@pytest.mark.parametrize("with_n", [True, False])
def test_what_a_renewal_finds_out_is_minded_at_once(connect: Connect, clock: Clock, with_n: bool) -> None:
    """Asked again for the logprobs that it had none of, it turns out to copy: the request that asked has no copies."""
    fresh = itertools.count()

    def draws(request: Request) -> Reply:
        n = request.get("n", 1) if with_n else 1
        return completion([f"boat {next(fresh)}" for _ in range(n)], logprob=None)

    with serving(draws) as server:
        engine = connect(server)
        engine.generate(ASK, n=3, options=OPTIONS)
        clock.hours = 1
        server.reply, server.draws = copies if with_n else one_copy, False
        with pytest.raises(DeniedError, match=WRONG):
            engine.generate(ASK, n=3, options=OPTIONS)


def test_a_renewal_that_lingered_for_hours_is_an_old_one(connect: Connect, clock: Clock) -> None:
    """What nobody waited for is known since it was found out, not since it is told."""
    fresh = itertools.count()

    def draws(request: Request) -> Reply:
        time.sleep(0.05)
        return completion([f"boat {next(fresh)}" for _ in range(request.get("n", 1))], logprob=None)

    async def leave_and_come_back(server: ScriptedServer) -> None:
        engine = connect(server)
        await engine.agenerate(ASK, n=3, options=OPTIONS)
        clock.hours = 0.1
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(engine.agenerate(ASK, n=3, options=OPTIONS), 0.02)
        before = 0
        while before < len(server.asked):  # until the probe is over
            before = len(server.asked)
            await asyncio.sleep(0.3)
        clock.hours = 3
        server.reply, server.draws = copies, False
        with pytest.raises(DeniedError, match=WRONG):
            await engine.agenerate(ASK, n=3, options=OPTIONS)

    with serving(draws) as server:
        asyncio.run(leave_and_come_back(server))
