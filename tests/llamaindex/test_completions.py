"""A cloud that completes texts gets the text that it would get without the edge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, CompletionResponse, LLMMetadata
from llama_index.core.bridge.pydantic import Field
from llama_index.core.llms import CustomLLM
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate

from confroute.testing import ScriptedEngine
from confroute_llamaindex import ConfidenceRoutedLLM
from tests.llamaindex.conftest import CONFIDENT, Anything

ENDPOINTS = ["complete", "stream_complete", "acomplete", "astream_complete"]
PROMPT = PromptTemplate("Capital of {x}?")


class Completing(CustomLLM):
    """Puts a prompt that is not formatted yet into its own form, as HuggingFaceLLM does; remembers what it got."""

    seen: list[str] = Field(default_factory=list[str])

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="completing")

    def complete(self, prompt: str, **kwargs: Any) -> CompletionResponse:
        self.seen.append(prompt if kwargs.get("formatted") else self.completion_to_prompt(prompt))
        return CompletionResponse(text="Paris", additional_kwargs={"own": 1})

    def stream_complete(self, prompt: str, **kwargs: Any) -> Any:
        self.complete(prompt, **kwargs)
        yield CompletionResponse(text="Par", delta="Par")
        yield CompletionResponse(text="Paris", delta="is", additional_kwargs={"own": 1})


def inst(prompt: str) -> str:
    return f"[INST] {prompt} [/INST]"


def joined(messages: Any) -> str:
    return "|".join(f"{each.role.value}:{each.content}" for each in messages)


@pytest.fixture
def pair(uncertain: ScriptedEngine) -> tuple[Completing, ConfidenceRoutedLLM]:
    """A cloud and an LLM that routes everything to it."""
    cloud = Completing(completion_to_prompt=inst, messages_to_prompt=joined, system_prompt="Be brief.")
    return cloud, ConfidenceRoutedLLM(edge=uncertain, cloud=cloud)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("kwargs", [{}, {"formatted": True}, {"formatted": False, "top_k": 3}])
async def test_a_text_is_completed_as_it_is(endpoint: str, kwargs: dict[str, Any], pair: Any, ask: Any) -> None:
    """Formatted or not, whole and streamed, and the cloud's own answer comes back with the record."""
    cloud, llm = pair
    for each in pair:
        last = (await ask(each, endpoint, "def f(x):", **kwargs))[-1]
        assert last.text == "Paris"
        assert last.additional_kwargs["own"] == 1
    assert cloud.seen[0] == cloud.seen[1] == ("def f(x):" if kwargs.get("formatted") else "[INST] def f(x): [/INST]")
    assert last.additional_kwargs["confidence_routing"]["route"] == "cloud"
    assert [message["content"] for message in llm._router.edge.requests[0][0]] == ["def f(x):"]


@pytest.mark.parametrize(
    "prompt", [PROMPT, ChatPromptTemplate([ChatMessage(role="system", content="Be kind."), ChatMessage("{x}?")])]
)
async def test_a_prompt_is_made_as_the_cloud_makes_it(prompt: Any, pair: Any) -> None:
    """`predict` and its kin; the edge reads the same prompt as messages, for which it has a form of its own."""
    cloud, llm = pair
    for each in pair:
        assert each.predict(prompt, x="France") == "Paris"
        assert await each.apredict(prompt, x="France") == "Paris"
        assert "".join(each.stream(prompt, x="France")) == "Paris"
        assert "".join([token async for token in await each.astream(prompt, x="France")]) == "Paris"
    assert cloud.seen[:4] == cloud.seen[4:]
    assert len(set(cloud.seen)) == 1
    messages = llm._router.edge.requests[0][0]
    assert [(message["role"], message["content"]) for message in messages] == [
        (message.role.value, message.content) for message in llm._get_messages(prompt, x="France")
    ]


def test_it_is_no_chat_model(pair: Any, routed: Any) -> None:
    """LlamaIndex chooses prompts by that."""
    assert not pair[1].metadata.is_chat_model
    assert routed("edge").metadata.is_chat_model


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_the_edge_completes_too(endpoint: str, ask: Callable[..., Any]) -> None:
    """One chunk or one response, with the usage that token counters read."""
    llm = ConfidenceRoutedLLM(edge=ScriptedEngine(Anything(CONFIDENT)), cloud=Completing())
    (response,) = await ask(llm, endpoint, "Capital of France?")
    assert isinstance(response, CompletionResponse)
    assert (response.text, response.delta) == ("Paris", "Paris" if "stream" in endpoint else None)
    assert response.raw["usage"]["completion_tokens"] == 1
