"""Samples of several requests: never copies of each other that pass for agreement."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from confroute import ConfigurationError, Router, SamplingOptions
from confroute.edge.probing import PROBE
from confroute.edge.server import ServerEngine
from confroute.records import Message
from tests.edge.scripted_server import Reply, Request, completion, serving

pytest.importorskip("openai")

ASK: list[Message] = [{"role": "user", "content": "Capital of Peru?"}]
OPTIONS = SamplingOptions(max_tokens=8, temperature=0.7)

Connect = Callable[..., ServerEngine]


def seeded(
    slots: int, *, heeds: bool = True, refuses: bool = False, own: int | None = 42
) -> Callable[[Request], Reply]:
    """As llama-server with --seed 42 and so many slots: what it says is that of the request's seed, or its *own*. One
    may take no heed of the request's, or refuse it."""
    fresh = count(2**40, 100)

    def reply(request: Request) -> Reply:
        n: int = request.get("n", 1)
        if n > slots or (refuses and "seed" in request):
            return 400, {"error": {"message": "no"}}
        given = request.get("seed") if heeds else None
        first = given if given is not None else own if own is not None else next(fresh)
        logprob = -0.5 if request.get("logprobs") else None
        return completion([f"name of {first + i}" for i in range(n)], logprob=logprob)

    return reply


@pytest.mark.parametrize("slots", [1, 2, 3, 10])
def test_a_server_with_a_seed_of_its_own_is_given_others(connect: Connect, slots: int) -> None:
    """Its requests without one would repeat each other: of one prompt, and of the waves that a router draws in."""
    with serving(seeded(slots), draws=False) as server:
        engine = connect(server)
        first = engine.generate(ASK, n=10, options=OPTIONS).samples
        again = engine.generate(ASK, n=10, options=OPTIONS).samples
        assert len({sample.text for sample in (*first, *again)}) == 20
        assert engine.capabilities().seeds


def test_a_router_has_no_agreement_of_copies(connect: Connect) -> None:
    """Ten samples that say ten things are sure of nothing, drawn in waves or one by one."""
    for slots in (1, 2, 10):
        with serving(seeded(slots), draws=False) as server:
            record = Router(connect(server), threshold=0.99, samples=10).decide(ASK).record
            assert record.route == "cloud"


@pytest.mark.parametrize("without", [{"heeds": False}, {"refuses": True}])
@pytest.mark.parametrize("slots", [1, 2])
def test_requests_that_repeat_each_other_are_found_out(connect: Connect, slots: int, without: dict[str, Any]) -> None:
    """Two samples of one request may differ all the same. Where no seed is heeded, nothing but an error is left."""
    wrong = pytest.raises(ConfigurationError, match="the same text however high the temperature")
    with serving(seeded(slots, **without), draws=False) as server, wrong:
        connect(server).generate(ASK, n=10, options=OPTIONS)


@pytest.mark.parametrize("slots", [1, 2])
def test_a_server_that_takes_no_seeds_is_given_none(connect: Connect, slots: int) -> None:
    """It draws of its own accord. A seed that the caller gave is passed on in any case."""
    with serving(seeded(slots, refuses=True, own=None), draws=False) as server:
        engine = connect(server)
        assert len({sample.text for sample in engine.generate(ASK, n=4, options=OPTIONS).samples}) == 4
        can = engine.capabilities()
        assert (can.seeds, can.draws, can.n) == (False, True, slots > 1)
        assert all("seed" not in request for request in server.answered)


def test_answers_of_a_cache_are_found_out(connect: Connect) -> None:
    """A gateway may give again what it gave before: without a seed and an n, the requests for a prompt are all one."""
    fresh = count()
    given: dict[str, Reply] = {}

    def reply(request: Request) -> Reply:
        if "seed" in request:
            return 400, {"error": {"message": "no"}}
        return given.setdefault(json.dumps(request, sort_keys=True), completion([f"name {next(fresh)}"]))

    with serving(reply, draws=False) as server:
        engine = connect(server)
        with pytest.raises(ConfigurationError, match="a cache before it"):
            engine.generate(ASK, n=10, options=OPTIONS)
        assert not engine.capabilities().draws


@pytest.mark.parametrize("logprob", [None, -0.5])
def test_answers_of_a_cache_that_heeds_no_seed_are_found_out(connect: Connect, logprob: float | None) -> None:
    """Where a prompt's requests differ by nothing else. A server that draws is none."""
    fresh = count()
    given: dict[str, Reply] = {}

    def reply(request: Request) -> Reply:
        key = json.dumps({**request, "seed": 0}, sort_keys=True)
        return given.setdefault(key, completion([f"name {next(fresh)}"], logprob=logprob))

    with serving(reply, draws=False) as server:
        engine = connect(server)
        with pytest.raises(ConfigurationError, match="a cache before it"):
            engine.generate(ASK, n=10, options=OPTIONS)
        assert not engine.capabilities().draws
    with serving(seeded(1), draws=False) as server:
        assert connect(server).capabilities().draws


def test_greedy_requests_have_no_seed(connect: Connect) -> None:
    """They draw nothing; and the caller's own seed is left as it is."""
    with serving(seeded(1), draws=False) as server:
        engine = connect(server)
        engine.generate(ASK, n=2, options=SamplingOptions(max_tokens=8, temperature=0.0))
        assert all("seed" not in request for request in server.answered)
        engine.generate(ASK, n=1, options=SamplingOptions(max_tokens=8, temperature=0.7, seed=5))
        assert server.answered[-1]["seed"] == 5


def test_copies_within_a_request_are_asked_for_apart(connect: Connect) -> None:
    """As LocalAI, which draws each of the n with the request's seed: what is drawn is as if it took no n."""

    def copies(request: Request) -> Reply:
        _, body = seeded(1)({**request, "n": 1})
        return 200, {**body, "choices": body["choices"] * request.get("n", 1)}

    with serving(copies, draws=False) as server:
        engine = connect(server)
        assert len({sample.text for sample in engine.generate(ASK, n=10, options=OPTIONS).samples}) == 10
        assert (engine.capabilities().n, engine.capabilities().draws) == (False, True)


def test_seeds_stay_within_32_bits(connect: Connect) -> None:
    """Where those of the samples are counted from the caller's; the last of them is llama-server's word for any."""
    with serving(seeded(1), draws=False) as server:
        options = SamplingOptions(max_tokens=8, temperature=0.7, seed=2**32 - 3)
        connect(server).generate(ASK, n=4, options=options)
        assert sorted(request["seed"] for request in server.answered) == [0, 1, 2**32 - 3, 2**32 - 2]


def test_no_seed_is_used_twice(connect: Connect) -> None:
    """Not after a reply that was short of what it was asked for, whose seeds may have been used all the same."""

    def short(request: Request) -> Reply:
        status, body = seeded(5, own=None)(request)
        if status == 200 and request["messages"] == ASK and request.get("n", 1) > 1:
            body["choices"] = body["choices"][-2:]
        return status, body

    with serving(short, draws=False) as server:
        options = SamplingOptions(max_tokens=8, temperature=0.7, seed=3)
        samples = connect(server).generate(ASK, n=10, options=options).samples
        assert len({sample.text for sample in samples}) == 10


def opens_alike(tokens: int, *, draws: bool = True) -> Callable[[Request], Reply]:
    """As a model that begins whatever it says with the same *tokens*."""
    fresh = count()

    def reply(request: Request) -> Reply:
        cut = request["max_tokens"] <= tokens
        texts = [
            "Here are some ideas for" + ("" if cut or not draws else f" a name: {next(fresh)}")
            for _ in range(request.get("n", 1))
        ]
        status, body = completion(texts, logprob=-0.5 if request.get("logprobs") else None)
        for i in range(len(texts) if cut else 0):
            body["choices"][i]["finish_reason"] = "length"
        return status, body

    return reply


@pytest.mark.parametrize("tokens", [8, 64])
def test_the_same_opening_is_not_the_same_text(connect: Connect, tokens: int) -> None:
    """A few tokens in which all samples agree are followed by more before that is held against the server."""
    with serving(opens_alike(tokens), draws=False) as server:
        can = connect(server).capabilities()
        assert (can.draws, can.n) == (True, True)
        assert (
            max(request["max_tokens"] for request in server.asked if request["messages"] == list(PROBE)) <= 8 * tokens
        )
    with serving(opens_alike(tokens, draws=False), draws=False) as server:
        assert not connect(server).capabilities().draws
