"""A server that may be another by now, and cannot be asked: its copies pass for certainty no sooner than it can."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from confroute import ModelError
from confroute.edge.protocol import Shared
from confroute.edge.refusals import DeniedError
from tests.edge.conftest import Clock
from tests.edge.scripted_server import Hang, Reply, Request, completion, serving
from tests.edge.test_server_restarts import ASK, LAST, OPTIONS, WRONG, Connect, busy_but_sure, copies, sure

pytest.importorskip("openai")


def fails_probes(how: str, answer: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
    """Answers only what an application asks."""

    def reply(request: Request) -> Reply:
        if request["messages"] == ASK:
            return answer(request)
        if how == "slow":
            raise Hang
        return (429 if how == "busy" else 500), {}

    return reply


def test_a_doubt_fails_no_request_of_which_the_samples_differ(connect: Connect) -> None:
    """Where the probe does, the answer is taken, and the next is not doubted at once."""
    fresh = itertools.count()
    with serving() as server:
        engine = connect(server)
        engine.capabilities()
        server.reply = fails_probes(
            "busy",
            lambda request: completion([f"boat {next(fresh)}" for _ in range(request.get("n", 1))], logprob=None),
        )
        assert len(engine.generate(ASK, n=3, options=OPTIONS).samples) == 3
        before = len(server.asked)
        assert len(engine.generate(ASK, n=3, options=OPTIONS).samples) == 3
        assert len(server.asked) == before + 1
        # That nobody knows what it is by now is not forgotten.
        server.reply = fails_probes("busy", copies)
        with pytest.raises(ModelError, match="could not be found out"):
            engine.generate(ASK, n=3, options=OPTIONS)
        assert engine.generate(ASK, n=1, options=OPTIONS).samples[0].text == "The Titanic"


@pytest.mark.parametrize("how", ["busy", "broken", "slow"])
@pytest.mark.parametrize("logprobs", [True, False])
def test_copies_pass_by_no_probe_that_failed(connect: Connect, clock: Clock, how: str, logprobs: bool) -> None:
    """That it draws was not seen: until it is, no copies are handed out, and it is asked anew soon, not often."""
    fresh = itertools.count()

    def draws(request: Request) -> Reply:
        texts = [f"boat {next(fresh)}" for _ in range(request.get("n", 1))]
        return completion(texts, logprob=-0.5 if logprobs else None)

    with serving(draws) as server:
        engine = connect(server, timeout_seconds=2 if how == "slow" else 60)
        engine.generate(ASK, n=3, options=OPTIONS)
        clock.hours = 0.01
        server.reply, server.draws = fails_probes(how, copies), False
        before = len(server.asked) - len(server.answered)
        for _ in range(8):
            with pytest.raises(ModelError, match="3 times the same") as raised:
                engine.generate(ASK, n=3, options=OPTIONS)
            assert "Titanic" not in str(raised.value)
        assert len(server.asked) - len(server.answered) - before <= 6  # of two probes
        server.reply = copies
        clock.hours += 0.005
        with pytest.raises(DeniedError, match=WRONG):
            engine.generate(ASK, n=3, options=OPTIONS)


def test_a_sure_model_is_served_again_soon_after_a_probe_failed(connect: Connect, clock: Clock) -> None:
    """As soon as one is answered, and the doubt is over. The next waits for that: a calibration of labels would end
    where three in a row fail at once."""
    with serving(sure) as server:
        engine = connect(server)
        engine.generate(ASK, n=3, options=OPTIONS)
        clock.hours = 0.1
        server.reply = busy_but_sure
        with pytest.raises(ModelError, match="could not be found out"):
            engine.generate(ASK, n=3, options=OPTIONS)
        server.reply = sure
        with ThreadPoolExecutor(4) as users:
            asked = [users.submit(engine.generate, ASK, n=3, options=OPTIONS) for _ in range(4)]
            assert [len(each.result().samples) for each in asked] == [3] * 4
        assert len(engine.generate(ASK, n=3, options=OPTIONS).samples) == 3
        server.reply = busy_but_sure
        clock.hours += 0.005
        assert len(engine.generate(ASK, n=3, options=OPTIONS).samples) == 3


def test_copies_pass_by_no_failed_probe_of_another_request(connect: Connect, clock: Clock) -> None:
    """One that is asked for more than the server could has it probed; those that go on meanwhile wait for that, where
    they are in doubt."""

    def slowly(request: Request) -> Reply:
        if request["messages"] != ASK:
            time.sleep(0.4)
        return busy_but_sure(request)

    with serving(sure) as server, ThreadPoolExecutor(4) as users:
        engine = connect(server)
        engine.generate(ASK, n=3, options=OPTIONS)
        clock.hours = 0.1
        server.reply = slowly
        asked = [users.submit(engine.generate, ASK, n=3, options=OPTIONS) for _ in range(4)]
        assert {type(each.exception()) for each in asked} == {ModelError}


@pytest.mark.parametrize("logprob", [None, -0.8])
def test_while_a_doubt_is_looked_into_no_copies_pass(connect: Connect, logprob: float | None) -> None:
    """Those of other requests wait for the same probe; also what was asked of the server when it was taken for the one
    before, and is answered after that."""

    def slow_copies(request: Request) -> Reply:
        time.sleep(0.5 if request["messages"] == LAST else 0.05)
        return completion(["Lima"] * request.get("n", 1), logprob=logprob)

    with serving() as server, ThreadPoolExecutor(10) as users:
        engine = connect(server)
        engine.generate(ASK, n=10, options=OPTIONS)
        before = len(server.asked) - len(server.answered)
        server.reply, server.draws = slow_copies, False
        asked = [users.submit(engine.generate, ASK, n=10, options=OPTIONS) for _ in range(9)]
        asked.append(users.submit(engine.generate, LAST, n=10, options=OPTIONS))
        assert {type(each.exception()) for each in asked} == {DeniedError}
        assert len(server.asked) - len(server.answered) - before < 12


def test_a_probe_is_under_way_until_all_who_waited_know_of_it() -> None:
    """Copies that come when it has just ended would pass, as if nobody had looked."""

    async def ask() -> bool:
        await asyncio.sleep(0.01)
        return True

    async def wait() -> None:
        probe = Shared(ask, seconds=1)
        waiting = [asyncio.create_task(probe.result(lingers=False)) for _ in range(2)]
        await asyncio.sleep(0)
        while not any(each.done() for each in waiting):
            assert probe.is_under_way
            await asyncio.sleep(0)
        assert await asyncio.gather(*waiting) == [True, True]
        assert not probe.is_under_way

    asyncio.run(wait())


def test_a_doubt_that_many_have_is_in_vain_once(connect: Connect, clock: Clock) -> None:
    """Many sure answers at the same time put off the next doubt no longer than one does."""

    def slow(request: Request) -> Reply:
        time.sleep(0.05)
        return sure(request)

    with serving(slow) as server, ThreadPoolExecutor(8) as users:
        engine = connect(server)
        engine.generate(ASK, n=3, options=OPTIONS)
        clock.hours = 0.02
        for each in [users.submit(engine.generate, ASK, n=3, options=OPTIONS) for _ in range(8)]:
            assert len(each.result().samples) == 3
        server.reply, server.draws = copies, False
        clock.hours = 0.1
        with pytest.raises(DeniedError, match=WRONG):
            engine.generate(ASK, n=3, options=OPTIONS)
