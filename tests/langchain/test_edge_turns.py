"""How many requests to a LangChain chat model that is the edge are under way at the same time."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

from confroute import ConfigurationError
from confroute_langchain.edge import ChatModelEdge
from tests.edge.threads import assert_a_fork_has_turns
from tests.langchain.test_edge_drawing import TRIED
from tests.langchain.test_edge_samples import ASK, DRAWN, GREEDY, Scripted, asked, awaited


class Counting(Scripted):
    """Takes *seconds* for each answer; *most* is how many it gave at the same time."""

    answer: Callable[[int], str] = lambda call: f"Lima {call}"
    seconds: float = 0.01
    under_way: list[int] = Field(default_factory=list[int])
    most: list[int] = Field(default_factory=lambda: [0])
    asked: list[str] = Field(default_factory=list[str])

    def begin(self, messages: list[BaseMessage]) -> None:
        self.asked.append(messages[-1].text)
        self.under_way.append(1)
        self.most[0] = max(self.most[0], len(self.under_way))

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> str:
        self.begin(messages)
        try:
            time.sleep(self.seconds)
            return super()._call(messages, stop, run_manager, **kwargs)
        finally:
            self.under_way.pop()

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        self.begin(messages)
        try:
            await asyncio.sleep(self.seconds)
            said = super()._call(messages, stop, run_manager, **kwargs)
        finally:
            self.under_way.pop()
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said))])


def in_threads(edge: ChatModelEdge, requests: int, n: int) -> None:
    with ThreadPoolExecutor(requests) as callers:
        list(callers.map(lambda _: edge.generate(ASK, n=n, options=DRAWN), range(requests)))


def on_a_loop(edge: ChatModelEdge, requests: int, n: int) -> None:
    async def ask() -> None:
        await asyncio.gather(*[edge.agenerate(ASK, n=n, options=DRAWN) for _ in range(requests)])

    asyncio.run(ask())


ways = pytest.mark.parametrize("ask", [in_threads, on_a_loop])
Ask = Callable[[ChatModelEdge, int, int], None]


@ways
@pytest.mark.parametrize(("given", "most"), [({}, 16), ({"connections": 3}, 3)])
def test_no_more_requests_than_connections(ask: Ask, given: dict[str, int], most: int) -> None:
    """However many requests with however many samples come at once: more wait for their turn."""
    model = Counting()
    before = threading.active_count()
    threads = [before]
    edge = ChatModelEdge(model, **given)
    watched = threading.Timer(0.05, lambda: threads.append(threading.active_count()))
    watched.start()
    ask(edge, 12, 10)
    watched.join()
    # As many as that only where threads begin faster than they end.
    assert 1 < model.most[0] <= most
    assert len(model.asked) == 120
    # The callers', the timer's and those of the samples.
    assert max(threads) - before <= 12 + 1 + most


def test_a_model_without_an_asynchronous_form_leaves_the_loop_its_threads() -> None:
    """LangChain would have it take those of the event loop, of which there are few, and which others need."""
    together = threading.Barrier(12)
    model = Scripted(answer=lambda call: f"Lima {together.wait(20)} {threading.current_thread().name}")
    generation = asyncio.run(ChatModelEdge(model).agenerate(ASK, n=12, options=DRAWN))
    assert len({sample.text for sample in generation.samples}) == 12
    assert all(sample.text.endswith("confroute sample") for sample in generation.samples)


@pytest.mark.parametrize("connections", [0, -1])
def test_at_least_one_connection(connections: int) -> None:
    """Without any nothing would ever be answered."""
    with pytest.raises(ConfigurationError, match="connections must be at least 1"):
        ChatModelEdge(Counting(), connections=connections)


def test_a_synchronous_request_does_not_wait_for_its_own_event_loop() -> None:
    """Which cannot go on with what is under way on it before that is answered."""
    edge = ChatModelEdge(Counting(), connections=1)

    async def ask() -> None:
        others = [asyncio.create_task(edge.agenerate(ASK, n=2, options=DRAWN)) for _ in range(2)]
        await asyncio.sleep(0.005)
        assert len(edge.generate(ASK, n=2, options=DRAWN).samples) == 2
        with ThreadPoolExecutor(1) as elsewhere:
            assert elsewhere.submit(edge.generate, ASK, n=2, options=DRAWN).result(20).samples
            again = elsewhere.submit(lambda: asyncio.run(edge.agenerate(ASK, n=2, options=DRAWN)))
            assert again.result(20).samples
        await asyncio.gather(*others)

    asyncio.run(ask())


def test_who_is_cancelled_takes_no_turn_along() -> None:
    """Neither one that it had nor one that it waited for."""
    model = Counting(seconds=0.02)
    edge = ChatModelEdge(model, connections=2)

    async def ask() -> None:
        for waited in (0.0, 0.01, 0.03):
            tasks = [asyncio.create_task(edge.agenerate(ASK, n=3, options=DRAWN)) for _ in range(3)]
            await asyncio.sleep(waited)
            for task in tasks[::-1]:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            await asyncio.wait_for(edge.agenerate(ASK, n=3, options=DRAWN), 20)

    asyncio.run(ask())
    assert (model.most[0], model.under_way) == (2, [])


def test_each_event_loop_has_its_turns() -> None:
    """One after the other, and at the same time."""
    model = Counting()
    edge = ChatModelEdge(model, connections=1)
    for _ in range(2):
        on_a_loop(edge, 3, 2)
    with ThreadPoolExecutor(3) as loops:
        list(loops.map(lambda _: on_a_loop(edge, 3, 2), range(3)))
    in_threads(edge, 3, 2)
    on_a_loop(edge, 1, 2)
    assert (len(edge._turns._own._loops), len(model.asked)) == (1, 38)


def test_what_waits_is_given_up_after_an_error() -> None:
    """Nobody wants its answer."""

    def failing(call: int) -> str:
        raise LookupError

    model = Counting(answer=failing)
    with pytest.raises(LookupError):
        ChatModelEdge(model, connections=1).generate(ASK, n=5, options=GREEDY)
    time.sleep(0.05)
    assert len(model.asked) <= 2  # the next may have begun before the error was heard of


@ways
def test_requests_that_come_at_once_share_a_trial(ask: Ask) -> None:
    """Whether the model draws is asked once for all of them."""
    model = Counting(answer=lambda call: f"boat {call}" if model.asked[-1] == TRIED else "Lima")
    ask(ChatModelEdge(model, connections=1), 5, 2)
    assert model.asked.count(TRIED) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_waits_for_no_turn_of_its_parents() -> None:
    """Whose threads it has none of."""
    begun, go = threading.Event(), threading.Event()

    def lima(call: int) -> str:
        begun.set()
        go.wait(20)
        return "Lima"

    edge = ChatModelEdge(Counting(answer=lima), connections=1)
    assert_a_fork_has_turns(edge, begun, go, messages=ASK, options=GREEDY)


class Streaming(Scripted):
    """Has no asynchronous form but for its stream."""

    streaming: bool | None = None

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk(f"streamed {time.perf_counter_ns()}"))


@pytest.mark.parametrize(("given", "bound"), [({}, {}), ({"streaming": False}, {}), ({}, {"stream": False})])
def test_one_that_streams_only_leaves_the_loop_its_threads(given: dict[str, Any], bound: dict[str, Any]) -> None:
    """LangChain awaits a stream where it is to stream, and else has threads of the loop's."""
    model = Streaming(answer=lambda call: f"Lima {call} {threading.current_thread().name}", **given)
    generation = asyncio.run(ChatModelEdge(model.bind(**bound)).agenerate(ASK, n=3, options=DRAWN))
    assert all(sample.text.endswith("confroute sample") for sample in generation.samples)


@pytest.mark.parametrize(("given", "bound"), [({"streaming": True}, {}), ({}, {"stream": True})])
def test_one_that_is_to_stream_is_awaited(given: dict[str, Any], bound: dict[str, Any]) -> None:
    model = Streaming(answer=str, **given)
    generation = asyncio.run(ChatModelEdge(model.bind(**bound)).agenerate(ASK, n=3, options=DRAWN))
    assert all(sample.text.startswith("streamed") for sample in generation.samples)


@pytest.mark.parametrize("error", [StopIteration, GeneratorExit, asyncio.CancelledError])
@pytest.mark.parametrize("ask", [asked, awaited])
def test_a_model_that_breaks_off_by_itself_has_failed(ask: Any, error: type[BaseException]) -> None:
    """With one of Python's own words for it, though nobody has cancelled the request."""

    def breaking_off(call: int) -> str:
        raise error

    with pytest.raises(RuntimeError, match=error.__name__):
        ask(ChatModelEdge(Scripted(answer=breaking_off)), 2, DRAWN)


class OneForm(Scripted):
    """Has both forms, and no way to answer in the asynchronous one, which counts who *awaited* it."""

    answer: Callable[[int], str] = lambda call: f"Lima {call}"
    awaited: list[str] = Field(default_factory=list[str])

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        self.awaited.append(messages[-1].text)
        raise NotImplementedError


def test_a_form_that_a_model_lacks_is_tried_once() -> None:
    """Not for each sample of each request."""
    model = OneForm()
    edge = ChatModelEdge(model)
    for n in (1, 4, 4):
        assert len(awaited(edge, n, DRAWN).samples) == n
    assert len(model.awaited) == 1


def test_what_a_model_has_not_implemented_is_its_answer() -> None:
    """Where its form is known, it is not asked in the other one."""

    def answer(call: int) -> str:
        if call > 1:
            raise NotImplementedError
        return "Lima"

    model = OneForm(answer=answer)
    edge = ChatModelEdge(model)
    awaited(edge, 1, DRAWN)
    with pytest.raises(NotImplementedError):
        awaited(edge, 1, DRAWN)
    assert len(model.awaited) == 1
