"""The connections of a ChatOllama that is the edge: they are its event loop's, as its settings made them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from confroute import SamplingOptions
from confroute_langchain.edge import ChatModelEdge
from tests.edge.scripted_ollama import ollama

langchain_ollama = pytest.importorskip("langchain_ollama")

ASK = [{"role": "user", "content": "Capital of Peru?"}]
DRAWN = SamplingOptions(temperature=0.7, max_tokens=8)


def test_chat_ollama_is_an_edge_on_each_event_loop() -> None:
    """Which by itself answers on every other one only."""
    with ollama(keeps_connections=True) as server:
        edge = ChatModelEdge(langchain_ollama.ChatOllama(model="small", base_url=server.url))
        for _ in range(3):
            asyncio.run(edge.agenerate(ASK, n=4, options=DRAWN))
        assert len(server.chats) == 3 * 4


class Team(langchain_ollama.ChatOllama):  # type: ignore[misc]
    """A constructor of its own, and a header that only it knows of."""

    def __init__(self, team: str, url: str) -> None:
        super().__init__(model="small", base_url=url)
        self._async_client._client.headers["team"] = team


def test_a_chat_ollama_of_the_callers_own_is_an_edge_on_each_event_loop() -> None:
    """Its constructor, which may take anything, is not called again, and what it did holds."""
    with ollama(keeps_connections=True) as server:
        edge = ChatModelEdge(Team("red", server.url))
        for _ in range(3):
            asyncio.run(edge.agenerate(ASK, n=4, options=DRAWN))
        assert len(server.chats) == 3 * 4
        assert set(server.teams) == {"red"}


def test_an_ollama_client_that_the_caller_put_in_is_asked() -> None:
    """It may go elsewhere."""
    with ollama() as server:
        model = langchain_ollama.ChatOllama(model="small", base_url="http://nowhere.invalid")
        model._async_client = Team("red", server.url)._async_client
        asyncio.run(ChatModelEdge(model).agenerate(ASK, n=1, options=DRAWN))
        assert server.teams == ["red"]


@pytest.mark.parametrize(
    ("traced", "method"),
    [(lambda model: model._async_client, "chat"), (lambda model: model._async_client._client, "stream")],
)
def test_an_ollama_client_that_is_traced_is_asked(traced: Callable[[Any], Any], method: str) -> None:
    """Itself, or what it sends with."""
    seen: list[Any] = []

    with ollama() as server:
        model = langchain_ollama.ChatOllama(model="small", base_url=server.url)
        client = traced(model)
        own = getattr(client, method)

        def tracing(*given: Any, **options: Any) -> Any:
            seen.append(given)
            return own(*given, **options)

        setattr(client, method, tracing)
        asyncio.run(ChatModelEdge(model).agenerate(ASK, n=1, options=DRAWN))
        assert (len(seen), len(server.chats)) == (1, 1)
