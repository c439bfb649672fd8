"""What an LLM makes at its first request, a connection above all, serves all samples of it as edge."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
import time
import weakref
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.llms import LLM, CompletionResponse, CustomLLM, LLMMetadata
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai_like import OpenAILike

from confroute import SamplingOptions
from confroute_llamaindex.edge import LLMEdge
from tests.edge.scripted_ollama import ollama as scripted_ollama
from tests.edge.scripted_server import Reply, Request, ScriptedServer, closing_client, running, takes_all

ASK = [{"role": "user", "content": "Capital of Peru?"}]
GREEDY, DRAWN = SamplingOptions(max_tokens=8), SamplingOptions(temperature=0.7, max_tokens=8)


class Connecting(CustomLLM):
    """Connects when it is first asked, as OpenAI and Ollama do: a client for each form. *made* has all of them."""

    temperature: float = 0.7
    made: list[int] = Field(default_factory=list[int])
    fails: bool = False
    _client: int | None = PrivateAttr(default=None)
    _aclient: int = PrivateAttr()

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="connecting")

    def connected(self) -> int:
        self.made.append(len(self.made) + 1)
        return self.made[-1]

    def said(self) -> ChatResponse:
        if self.fails:
            raise ConnectionError
        return ChatResponse(message=ChatMessage(role="assistant", content=f"Lima {time.perf_counter_ns()}"))

    def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        self._client = self._client or self.connected()
        return self.said()

    async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        self._aclient = getattr(self, "_aclient", None) or self.connected()
        return self.said()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    stream_complete = complete


def test_one_client_for_all_samples() -> None:
    """The LLM itself is left as it was, and one that has a client already shares it."""
    model = Connecting()
    edge = LLMEdge(model)
    for _ in range(2):
        edge.generate(ASK, n=1, options=GREEDY)
        edge.generate(ASK, n=4, options=DRAWN)
    assert (len(model.made), model._client) == (1, None)
    model.chat([])
    edge.generate(ASK, n=4, options=DRAWN)
    assert len(model.made) == 2


def test_one_client_for_each_event_loop() -> None:
    """An asynchronous client is of no use on another."""
    model = Connecting()
    edge = LLMEdge(model)

    async def ask() -> None:
        for options, n in ((GREEDY, 1), (DRAWN, 4), (DRAWN, 4)):
            await edge.agenerate(ASK, n=n, options=options)

    for loops in (1, 2):
        asyncio.run(ask())
        assert len(model.made) == loops


def test_a_failed_request_keeps_its_client() -> None:
    """The next one would have to make it again."""
    model = Connecting(fails=True)
    edge = LLMEdge(model)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            edge.generate(ASK, n=1, options=GREEDY)
    assert len(model.made) == 1


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda edge: pickle.loads(pickle.dumps(edge))])  # noqa: S301 - made in the line itself
def test_a_copied_edge_connects_by_itself(copied: Any) -> None:
    """No connection is copied, which it cannot be, or sent to another process."""
    edge = LLMEdge(Connecting(made=[]))
    edge.generate(ASK, n=1, options=GREEDY)
    again = copied(edge)
    assert again.generate(ASK, n=1, options=GREEDY).samples[0].text.startswith("Lima")
    assert (len(edge._native.made), len(again._native.made)) == (1, 2)


def replies(request: Request) -> Reply:
    """As OpenAI and Ollama at once."""
    status, body = takes_all(request)
    told = [{**choice, "index": 0} for choice in body["choices"]]
    head = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    return status, {**head, **body, "choices": told, "message": told[0]["message"], "done": True}


class Counting(ScriptedServer):
    """Counts the connections that are open."""

    def __init__(self) -> None:
        super().__init__(replies)
        self.open = 0

    def get_request(self) -> Any:
        accepted = super().get_request()
        self.open += 1
        return accepted

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.open -= 1

    def comes_to(self, connections: int) -> bool:
        """It hears of closed ones a little later."""
        until = time.monotonic() + 5
        while self.open != connections and time.monotonic() < until:
            time.sleep(0.01)
        return self.open == connections


def openai_like(server: ScriptedServer, **settings: Any) -> LLM:
    return OpenAILike(model="m", api_base=server.url, api_key="k", is_chat_model=True, max_retries=0, **settings)


def ollama(server: ScriptedServer) -> LLM:
    return Ollama(model="m", base_url=server.url, context_window=1024)


@pytest.mark.parametrize("connecting", [openai_like, ollama])
def test_connections_are_closed_with_their_event_loop(connecting: Any) -> None:
    """And before that those of samples asked at once, but for one client's. No loop but the last is held."""
    loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()

    async def ask() -> None:
        loops.add(asyncio.get_running_loop())
        for n in (4, 1):
            await edge.agenerate(ASK, n=n, options=GREEDY)
            assert await asyncio.to_thread(server.comes_to, 1)

    with running(Counting()) as server:
        edge = LLMEdge(connecting(server))
        for _ in range(3):
            asyncio.run(ask())
            gc.collect()
            assert server.comes_to(0)
            assert len(loops) == 1


async def test_connections_are_closed_with_their_edge() -> None:
    """Where it goes before the event loop does."""
    with running(Counting()) as server:
        edge = LLMEdge(ollama(server))
        await edge.agenerate(ASK, n=4, options=GREEDY)
        del edge
        gc.collect()
        assert await asyncio.to_thread(server.comes_to, 0)


def test_without_an_event_loop_one_client_stays() -> None:
    """The others that samples asked at once made are closed."""
    with running(Counting()) as server:
        edge = LLMEdge(openai_like(server))
        edge.generate(ASK, n=4, options=GREEDY)
        assert server.comes_to(1)


def test_a_client_of_the_callers_stays_open() -> None:
    """Whoever made it may go on with it, and the model makes its own around it anew on each event loop."""
    http = closing_client()
    with running(Counting()) as server:
        edge = LLMEdge(openai_like(server, async_http_client=http))
        for _ in range(2):
            asyncio.run(edge.agenerate(ASK, n=4, options=GREEDY))
            assert not http.is_closed


def test_a_loop_that_is_closed_as_it_is_takes_its_clients_along() -> None:
    """Not shut down, it did not close them, and they are of no use any more. Connections hold their loop."""

    class Bound(Connecting):
        def connected(self) -> Any:
            return asyncio.get_running_loop().create_future()

    edge = LLMEdge(Bound())
    loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
    for _ in range(3):
        loop = asyncio.new_event_loop()
        loops.add(loop)
        loop.run_until_complete(edge.agenerate(ASK, n=1, options=GREEDY))
        loop.close()
        del loop
    asyncio.run(edge.agenerate(ASK, n=1, options=GREEDY))
    gc.collect()
    assert len(loops) == 0


class Stubborn:
    """A client that cannot be closed."""

    def close(self) -> None:
        raise OSError


def test_a_client_that_cannot_be_closed_keeps_none_open() -> None:
    class Mixed(Connecting):
        made: list[Any] = Field(default_factory=list[Any])

        def connected(self) -> Any:
            self.made.append(closing_client() if len(self.made) % 2 else Stubborn())
            return self.made[-1]

        async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:
            await asyncio.sleep(0)
            return await super().achat(messages)

    model = Mixed()
    asyncio.run(LLMEdge(model).agenerate(ASK, n=4, options=GREEDY))
    assert [client.is_closed for client in model.made[1::2]] == [True, True]


def test_what_was_made_on_no_loop_is_closed_with_the_engine() -> None:
    """Also where both are garbage together: else its connections could be collected before it, with a warning."""

    class Closing(Connecting):
        closed: list[int] = Field(default_factory=list[int])

        def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
            if self._client is None:
                closed, made = self.closed, self.connected()

                class Client:
                    def close(self) -> None:
                        closed.append(made)

                self._client = Client()  # type: ignore[assignment]
            return self.said()

    llm = Closing()
    edge = LLMEdge(llm)
    edge.generate(ASK, n=1, options=GREEDY)
    edge.generate(ASK, n=1, options=GREEDY)
    assert (llm.made, llm.closed) == ([1], [])
    edge.itself = edge  # type: ignore[attr-defined]
    del edge
    gc.collect()
    assert llm.closed == [1]


def test_the_size_of_the_context_is_asked_for_once() -> None:
    """Ollama's server is asked in a thread, for it takes a while, and not by each of the samples."""
    asking: list[bool] = []

    class Measuring(Ollama):
        def get_context_window(self) -> int:
            if self.context_window == -1:
                asking.append(threading.current_thread() is threading.main_thread())
            return super().get_context_window()

    with scripted_ollama() as server:
        model = Measuring(model="small", base_url=server.url)
        edge = LLMEdge(model)
        for n in (4, 1):
            asyncio.run(edge.agenerate(ASK, n=n, options=DRAWN))
            edge.generate(ASK, n=n, options=DRAWN)
        assert {chat["options"]["num_ctx"] for chat in server.chats} == {4096}
    assert (asking, model.context_window) == ([False], -1)


async def test_a_loop_that_goes_on_keeps_no_spare_clients_of_threads() -> None:
    """As a notebook's does, in which one asks without awaiting."""
    with running(Counting()) as server:
        edge = LLMEdge(openai_like(server))
        edge.generate(ASK, n=4, options=GREEDY)
        assert await asyncio.to_thread(server.comes_to, 1)
