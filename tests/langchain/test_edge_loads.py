"""A LangChain chat model of the caller's own that loads what it runs on at its first call does so once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from pydantic import PrivateAttr

from confroute import Generation
from confroute_langchain.edge import ChatModelEdge
from tests.langchain.test_edge_inner import Around
from tests.langchain.test_edge_samples import ASK, DRAWN, GREEDY, Scripted, asked, awaited

ways = pytest.mark.parametrize("ask", [asked, awaited])
Ask = Callable[..., Generation]


class Weights:
    """Take a while to load; *fails* are the errors of the first loads."""

    loads = 0
    fails: list[BaseException] = []  # noqa: RUF012 - renewed by each test

    def __init__(self) -> None:
        Weights.loads += 1
        time.sleep(0.05)
        if Weights.fails:
            raise Weights.fails.pop()


@pytest.fixture(autouse=True)
def unloaded() -> None:
    Weights.loads, Weights.fails = 0, []


class Loading(Scripted):
    """As every tutorial has it."""

    answer: Callable[[int], str] = lambda call: f"Lima {call}"
    temperature: float = 0.1
    _pipe: Any = PrivateAttr(default=None)

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> str:
        self.load()
        return super()._call(messages, stop, run_manager)

    def load(self) -> None:
        if self._pipe is None:
            self._pipe = Weights()


class InAField(Loading):
    loaded: Any = None

    def load(self) -> None:
        if self.loaded is None:
            self.loaded = Weights()


class Cached(Loading):
    @cached_property
    def weights(self) -> Weights:
        return Weights()

    def load(self) -> None:
        assert self.weights


class Together(Loading):
    """Keeps them in a pair."""

    def load(self) -> None:
        if self._pipe is None:
            self._pipe = ("its name", Weights())


class Waiting(Loading):
    """Has an asynchronous form."""

    async def _agenerate(self, *given: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        return self._generate(*given, **kwargs)


kinds = pytest.mark.parametrize("kind", [Loading, InAField, Cached, Together, Waiting])


@ways
@kinds
def test_it_loads_once(ask: Ask, kind: type[Loading]) -> None:
    """Not for each sample, of which each has a copy. The caller's own object is left as it was."""
    model = kind()
    before = dict(vars(model)), dict(model.__pydantic_private__ or {})
    edge = ChatModelEdge(model)
    for options, n in ((GREEDY, 1), (DRAWN, 10), (DRAWN, 10), (DRAWN, 10)):
        ask(edge, n, options)
    # What is made on an event loop may be of no use on another.
    assert Weights.loads == (4 if (kind, ask) == (Waiting, awaited) else 1)
    assert before == (dict(vars(model)), dict(model.__pydantic_private__ or {}))


@ways
def test_so_does_the_one_that_it_is_around(ask: Ask) -> None:
    model = Loading()
    edge = ChatModelEdge(Around(llm=model))
    for _ in range(3):
        ask(edge, 10, DRAWN)
    assert (Weights.loads, model._pipe) == (1, None)


def test_threads_wait_for_the_first_to_load() -> None:
    edge = ChatModelEdge(Loading())
    with ThreadPoolExecutor(10) as threads:
        assert len(list(threads.map(lambda _: asked(edge, 10, DRAWN), range(10)))) == 10
    assert Weights.loads == 1


@pytest.mark.parametrize("kind", [Loading, Waiting])
def test_so_do_the_tasks_of_an_event_loop(kind: type[Loading]) -> None:
    async def requests() -> None:
        await asyncio.gather(*(edge.agenerate(ASK, n=10, options=DRAWN) for _ in range(10)))

    edge = ChatModelEdge(kind())
    asyncio.run(requests())
    assert Weights.loads == 1


def test_a_cancelled_load_keeps_none_waiting() -> None:
    """The next in the line loads."""

    class Slow(Waiting):
        async def _agenerate(self, *given: Any, **kwargs: Any) -> Any:
            if self._pipe is None:
                await asyncio.sleep(0.1)
            return await super()._agenerate(*given, **kwargs)

    async def requests() -> list[Any]:
        tasks = [asyncio.create_task(edge.agenerate(ASK, n=2, options=DRAWN)) for _ in range(4)]
        await asyncio.sleep(0.05)
        tasks[0].cancel()
        tasks[2].cancel()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)

    edge = ChatModelEdge(Slow())
    replies = asyncio.run(requests())
    assert [isinstance(reply, Generation) for reply in replies] == [False, True, False, True]
    assert Weights.loads == 1


@ways
def test_a_load_that_failed_is_made_again(ask: Ask) -> None:
    edge = ChatModelEdge(Loading())
    Weights.fails = [OSError(), ValueError()]
    for error in (ValueError, OSError):
        with pytest.raises(error):
            ask(edge, 2, DRAWN)
    for _ in range(2):
        assert len(ask(edge, 4, DRAWN).samples) == 4
    assert Weights.loads <= 2 + 4


def test_a_server_that_is_slow_to_fail_is_not_waited_for_by_each_in_turn() -> None:
    """Ten requests would wait ten times as long."""

    class Down(Loading):
        def load(self) -> None:
            time.sleep(0.2)
            raise ConnectionError

    def fails(_: int) -> None:
        with pytest.raises(ConnectionError):
            asked(edge, 2, DRAWN)

    edge = ChatModelEdge(Down())
    start = time.monotonic()
    with ThreadPoolExecutor(10) as threads:
        list(threads.map(fails, range(10)))
    assert time.monotonic() - start < 1.5


def test_a_model_that_asks_itself_does_not_wait_for_itself() -> None:
    """By the same edge, while it is asked for the first time."""

    class Asking(Loading):
        def load(self) -> None:
            super().load()
            if not within:
                within.append(True)
                asked(edge, 1, GREEDY)

    within: list[bool] = []
    edge = ChatModelEdge(Asking())
    asking = threading.Thread(target=asked, args=(edge, 2, DRAWN), daemon=True)
    asking.start()
    asking.join(5)
    assert not asking.is_alive()


@pytest.mark.parametrize(
    "made",
    [lambda: 3, lambda: "said", lambda: [1, 2], lambda: {"a": (1, 2)}, lambda: AIMessage("said"), lambda: len],
    ids=["number", "text", "list", "mapping", "message", "function"],
)
def test_what_changes_by_the_call_is_not_handed_on(made: Callable[[], Any]) -> None:
    class Remembering(Loading):
        def load(self) -> None:
            found.append(self._pipe)
            self._pipe = made()

    found: list[Any] = []
    asked(ChatModelEdge(Remembering()), 3, DRAWN)
    assert found == [None] * 3


def test_what_says_a_temperature_is_the_copys() -> None:
    """As a sampler's settings, which a greedy answer would leave to samples that are to differ."""

    class Sampler:
        def __init__(self, temperature: float) -> None:
            self.temperature = temperature

    class Sampling(Loading):
        def load(self) -> None:
            if self._pipe is None:
                self._pipe = Sampler(self.temperature)
            drawn.append(self._pipe.temperature)

    drawn: list[float] = []
    edge = ChatModelEdge(Sampling())
    asked(edge, 1, GREEDY)
    asked(edge, 2, DRAWN)
    assert drawn == [0.0, 0.7, 0.7]
