"""What an LLM makes at its first request, a connection above all, serves all samples of it as edge."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata

from confroute import SamplingOptions
from confroute_llamaindex.edge import LLMEdge

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
        return ChatResponse(message=ChatMessage(role="assistant", content="Lima"))

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
    assert again.generate(ASK, n=1, options=GREEDY).samples[0].text == "Lima"
    assert (len(edge._native.made), len(again._native.made)) == (1, 2)
