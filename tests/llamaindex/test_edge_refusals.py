"""What an LLM's client calls the parameters of a request is found out where it does not take OpenAI's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.bridge.pydantic import Field
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
from llama_index.llms.openai.base import Tokenizer

from confroute import Generation, SamplingOptions, UnsupportedRequestError
from confroute_llamaindex.edge import LLMEdge
from tests.edge.scripted_server import Reply, Request, completion, serving
from tests.llamaindex.test_edge import llm
from tests.llamaindex.test_edge_samples import asked, awaited

ways = pytest.mark.parametrize("ask", [asked, awaited])
Ask = Callable[..., Generation]


class Strict(CustomLLM):
    """As Anthropic's, whose client takes the parameters that it has a *taken* name for, and no other."""

    temperature: float = 0.1
    additional_kwargs: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it
    taken: tuple[str, ...] = ("stop_sequences", "top_p")
    seen: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="strict")

    def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        for name in self.additional_kwargs:
            if name not in self.taken:
                message = f"Messages.create() got an unexpected keyword argument '{name}'"
                raise TypeError(message)
        self.seen.append({"temperature": self.temperature, **self.additional_kwargs})
        return ChatResponse(message=ChatMessage(role="assistant", content=f"Lima {len(self.seen)}"))

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    stream_complete = complete


@ways
def test_stop_strings_have_the_name_that_the_client_takes(ask: Ask) -> None:
    """A seed, which it takes by no name, is left out."""
    model = Strict()
    edge = LLMEdge(model)
    for n in (1, 2):
        assert len(ask(edge, n, SamplingOptions(temperature=0.7, top_p=0.9, stop=("END",), seed=5)).samples) == n
    assert model.seen == [{"temperature": 0.7, "top_p": 0.9, "stop_sequences": ["END"]}] * 3


def test_the_callers_own_name_is_kept_to() -> None:
    """It is the one that the client takes."""
    model = Strict(additional_kwargs={"stop_sequences": ["\n"]})
    edge = LLMEdge(model)
    asked(edge, 1, SamplingOptions(stop=("END",)))
    asked(edge, 1, SamplingOptions())
    assert [seen["stop_sequences"] for seen in model.seen] == [["END"], ["\n"]]


@ways
def test_stop_strings_that_no_name_is_taken_for_are_refused(ask: Ask) -> None:
    """An answer would go on past them."""
    model = Strict(taken=())
    with pytest.raises(UnsupportedRequestError, match='"strict" takes no stop strings'):
        ask(LLMEdge(model), 1, SamplingOptions(stop=("END",)))
    assert model.seen == []


@ways
def test_the_limit_has_the_name_that_the_caller_has_for_it(ask: Ask) -> None:
    """Not LlamaIndex's, too: OpenAI's models that think refuse it, and have the other among the further parameters."""

    def reply(request: Request) -> Reply:
        if "max_tokens" in request:
            return 400, {"error": {"message": "Use 'max_completion_tokens' instead.", "param": "max_tokens"}}
        return completion(["Lima"])

    with serving(reply) as server:
        edge = LLMEdge(llm(server.url, additional_kwargs={"max_completion_tokens": 500}))
        for n in (1, 2):
            assert len(ask(edge, n, SamplingOptions(temperature=0.7, max_tokens=8)).samples) == n
        assert {request["max_completion_tokens"] for request in server.answered} == {8}


class Words(Tokenizer):
    """Has a token for each word."""

    def encode(self, text: str, *given: Any, **told: Any) -> list[int]:
        return [len(word) for word in text.split()]


@ways
@pytest.mark.parametrize("own", [{"max_tokens": 256}, {}])
def test_the_limit_is_told_where_the_client_would_fill_it_in(ask: Ask, own: dict[str, Any]) -> None:
    """LlamaIndex has texts completed up to the end of the context where the LLM has no limit, whatever else is told."""
    text = {"index": 0, "text": "Lima", "finish_reason": "stop"}
    reply = 200, {"id": "1", "object": "text_completion", "created": 1, "model": "small", "choices": [text]}
    with serving(lambda request: reply, draws=False) as server:
        model = llm(server.url, is_chat_model=False, tokenizer=Words(), additional_kwargs=own)
        ask(LLMEdge(model), 1, SamplingOptions(max_tokens=8))
        assert [request["max_tokens"] for request in server.asked] == [8]
