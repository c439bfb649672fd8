"""A framework's model that asks another over the same native context while it answers, and one that is only awaited."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("llama_index.core")

from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from llama_index.core.llms import ChatMessage, ChatResponse, MockLLM

from confroute.edge.in_process import turns_on
from confroute_langchain import ConfidenceRoutedChatModel
from confroute_langchain.edge import ChatModelEdge
from confroute_llamaindex import ConfidenceRoutedLLM
from confroute_llamaindex.edge import LLMEdge
from tests.edge.test_in_process import ASK, DRAWN, GREEDY, Chat, Llama, Whole, everywhere, on_a_loop

CLOUD = FakeListChatModel(responses=["Quito"])


def routed(model: Any) -> ConfidenceRoutedChatModel:
    return ConfidenceRoutedChatModel(edge=model, cloud=CLOUD, samples=3)


class Rewriting(Chat):
    """Has *rewrite* put the question in other words before its own answer."""

    rewrite: Callable[[], Any]

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> str:
        self.rewrite()
        return self.client()


def of_llamaindex(chat: Chat) -> Any:
    return ConfidenceRoutedLLM(edge=Whole(chat), cloud=MockLLM(), samples=3).complete("Peru?")


def within_another(chat: Chat) -> Any:
    return routed(Rewriting(client=chat.client, rewrite=lambda: routed(chat).invoke("Peru?"))).invoke("Peru?")


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda chat: routed(chat).invoke("Peru?"),
        lambda chat: asyncio.run(routed(chat).ainvoke("Peru?")),
        lambda chat: list(routed(chat).stream("Peru?")),
        lambda chat: routed(chat).batch(["Peru?", "Chile?", "Cuba?"]),  # in threads
        of_llamaindex,
        within_another,
    ],
    ids=["asked", "awaited", "streamed", "batch", "llamaindex", "within another"],
)
def test_who_has_the_turn_does_not_wait_for_it(rewrite: Callable[[Chat], Any]) -> None:
    """What a model asks of the same native one for its answer is done within its turn, one after the other; the others
    that ask wait for theirs."""
    native = Llama()
    plain = Chat(client=native)
    edge = ChatModelEdge(Rewriting(client=native, rewrite=lambda: rewrite(plain)))
    asked = threading.Thread(target=everywhere, args=([edge, ChatModelEdge(plain)],), daemon=True)
    asked.start()
    asked.join(60)
    assert not asked.is_alive(), "it waits for itself"
    assert native.asked >= 2 * 3 * 4 * 3
    assert native.crowded == 0


def test_what_outlives_the_answer_that_it_was_asked_for_keeps_the_turn() -> None:
    """As where a model gave up waiting for it; what it asks later waits for a turn of its own."""
    native, later = Llama(), threading.Event()
    plain = ChatModelEdge(Chat(client=native))
    left: list[Future[Any]] = []

    def ask() -> None:
        plain.generate(ASK, n=20, options=GREEDY)
        later.wait(20)
        plain.generate(ASK, n=20, options=GREEDY)

    def give_up() -> None:
        left.append(others.submit(copy_context().run, ask))
        latest = time.monotonic() + 20
        while not native.asked and time.monotonic() < latest:
            time.sleep(0.0005)
        assert native.asked, "it waits for itself"
        raise TimeoutError

    with ThreadPoolExecutor(1) as others:
        with pytest.raises(TimeoutError):
            ChatModelEdge(Rewriting(client=native, rewrite=give_up)).generate(ASK, n=1, options=GREEDY)
        plain.generate(ASK, n=5, options=GREEDY)
        later.set()
        plain.generate(ASK, n=20, options=GREEDY)
        left[0].result(20)
    assert native.crowded == 0


class Slow(list[Callable[[], Any]]):
    """Of which the second and the others are at hand only once *first* was given and *go* is set."""

    def __init__(self, calls: list[Callable[[], Any]]) -> None:
        super().__init__(calls)
        self.go = threading.Event()

    def __iter__(self) -> Iterator[Callable[[], Any]]:
        for i in range(len(self)):
            if i:
                self.go.wait(20)
            yield self[i]


def test_what_outlives_the_answer_while_it_is_begun_waits_for_a_turn() -> None:
    """Of several samples, one was begun within the turn and the others as the next had it: on a native model in two
    threads at once."""
    native = Llama()
    calls = Slow([native] * 3)
    left: list[Future[Any]] = []

    def give_up() -> None:
        left.append(others.submit(copy_context().run, lambda: turns_on(native).take(calls)))
        while not native.asked:
            time.sleep(0.0005)

    def take_long() -> None:
        calls.go.set()
        for _ in range(20):
            native()

    with ThreadPoolExecutor(1) as others:
        turns_on(native).take([give_up])
        turns_on(native).take([take_long])
        left[0].result(20)
    assert (native.asked, native.crowded) == (23, 0)


def test_an_answer_does_not_wait_for_those_who_go_on_asking() -> None:
    """What it left behind has turns of its own from then on, as anybody else."""
    native, left, enough = Llama(), list[threading.Thread](), threading.Event()

    def go_on() -> None:
        while not enough.is_set():
            turns_on(native).take([native])

    def leave() -> None:
        for _ in range(3):
            left.append(threading.Thread(target=partial(copy_context().run, go_on)))
            left[-1].start()
        while native.asked < 9:
            time.sleep(0.0005)

    answered = threading.Thread(target=lambda: turns_on(native).take([leave]), daemon=True)
    answered.start()
    answered.join(20)
    is_answered = not answered.is_alive()
    enough.set()
    for each in left:
        each.join(20)
    assert is_answered
    assert native.crowded == 0


def test_a_context_that_lives_on_holds_no_native_model() -> None:
    """As that of a connection that is kept, or of a task on another loop: gigabytes, where the next is loaded."""
    native, contexts = Llama(), list[Any]()
    known = weakref.ref(native)
    for _ in range(2):
        turns_on(native).take([lambda: contexts.append(copy_context())])
    del native
    deadline = time.monotonic() + 5
    while known() is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert known() is None


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_ctrl_c_as_a_thread_begins_makes_no_room_for_a_second(
    monkeypatch: pytest.MonkeyPatch, is_begun: bool
) -> None:
    """Two threads in a native model end the process. Nor does it take the room away."""
    native, begin = Llama(), threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if is_begun:
            begin(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            turns_on(native).take([native])
    with ThreadPoolExecutor(4) as users:
        asked = [users.submit(turns_on(native).take, [native] * 5) for _ in range(4)]
        assert [len(each.result(20)) for each in asked] == [5] * 4
    assert native.crowded == 0


class Awaited(Chat):
    """Written for event loops."""

    rewrite: Callable[[], Any] | None = None

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        if self.rewrite is not None:
            await self.rewrite()
        said = await asyncio.to_thread(self.client)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said))])


class AwaitedWhole(Whole):
    def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        raise NotImplementedError

    async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        return ChatResponse(message=ChatMessage(content=await asyncio.to_thread(self._model), role="assistant"))


@pytest.mark.parametrize(
    "edge_over", [lambda native: ChatModelEdge(Awaited(client=native)), lambda native: LLMEdge(AwaitedWhole(native))]
)
def test_one_that_is_only_awaited_is_awaited(edge_over: Callable[[Any], Any]) -> None:
    """One request at a time on an event loop; that there is no other form is remembered."""
    native = Llama()
    edge = edge_over(native)
    on_a_loop([edge, edge])
    assert native.asked >= 2 * 4 * 3
    assert native.crowded == 0
    assert edge._turns._is_synchronous is False
    with pytest.raises(NotImplementedError):
        edge.generate(ASK, n=1, options=GREEDY)


def test_one_that_is_only_awaited_may_await_another() -> None:
    """Over the same native one, within its own turn."""
    native = Llama()
    inner = routed(Awaited(client=native))
    edge = ChatModelEdge(Awaited(client=native, rewrite=partial(inner.ainvoke, "Peru?")))
    asyncio.run(asyncio.wait_for(edge.agenerate(ASK, n=3, options=DRAWN), 20))
    assert native.crowded == 0


def test_what_neither_form_can_is_its_error() -> None:
    """It is asked in both again, the next time."""

    class Incapable(Awaited):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
            raise NotImplementedError

    edge = ChatModelEdge(Incapable(client=Llama()))
    with pytest.raises(NotImplementedError):
        asyncio.run(edge.agenerate(ASK, n=2, options=DRAWN))
    assert edge._turns._is_synchronous is None
