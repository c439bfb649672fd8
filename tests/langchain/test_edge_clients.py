"""The connections of a LangChain chat model that is the edge: they are its event loop's, and end with it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from confroute import SamplingOptions
from confroute_langchain.edge import ChatModelEdge
from tests.edge.scripted_ollama import ollama
from tests.edge.scripted_server import ScriptedServer, closing_client, completion, serving

openai = pytest.importorskip("langchain_openai")
langchain_ollama = pytest.importorskip("langchain_ollama")

ASK = [{"role": "user", "content": "Capital of Peru?"}]
DRAWN = SamplingOptions(temperature=0.7, max_tokens=8)


def chat_openai(server: ScriptedServer, **settings: Any) -> Any:
    return openai.ChatOpenAI(base_url=server.url, model="m", api_key="none", max_retries=0, **settings)


def test_chat_openai_is_an_edge_on_each_event_loop() -> None:
    """Connections of a loop that ended are found by no other, nor by another model that shares LangChain's HTTP client
    with it, such as the cloud."""
    with serving(lambda request: completion(["Lima"])) as server:
        edge, other = ChatModelEdge(chat_openai(server)), chat_openai(server)
        for _ in range(3):
            generation = asyncio.run(edge.agenerate(ASK, n=4, options=DRAWN))
            assert [sample.text for sample in generation.samples] == ["Lima"] * 4
        assert asyncio.run(other.ainvoke("Capital of Peru?", extra_headers={"Connection": "close"})).text == "Lima"


def test_a_client_of_the_callers_is_asked_on_each_event_loop() -> None:
    """It may know the way, or a password, and is closed by whoever made it."""
    http = closing_client()
    http.headers["way"] = "known"
    with serving(lambda request: completion(["Lima"])) as server:
        edge = ChatModelEdge(chat_openai(server, http_async_client=http))
        for _ in range(2):
            asyncio.run(edge.agenerate(ASK, n=2, options=DRAWN))
        assert {headers.get("way") for headers in server.headers} == {"known"}
    assert not http.is_closed


def test_a_proxy_is_kept_to() -> None:
    """Though LangChain's own client for it is as one that was given."""
    with serving(lambda request: completion(["Lima"])) as proxy:
        model = openai.ChatOpenAI(
            base_url="http://nowhere.invalid/v1", model="m", api_key="none", openai_proxy=proxy.url.removesuffix("/v1")
        )
        edge = ChatModelEdge(model)
        for _ in range(2):
            asyncio.run(edge.agenerate(ASK, n=4, options=DRAWN))
        assert {headers["Host"] for headers in proxy.headers} == {"nowhere.invalid"}


def test_chat_ollama_is_an_edge_on_each_event_loop() -> None:
    """Which by itself answers on every other one only."""
    with ollama(keeps_connections=True) as server:
        edge = ChatModelEdge(langchain_ollama.ChatOllama(model="small", base_url=server.url))
        for _ in range(3):
            asyncio.run(edge.agenerate(ASK, n=4, options=DRAWN))
        assert len(server.chats) == 3 * 4
