"""Scripted models for LangChain: an edge, a cloud that streams by words, and a routed model over them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field

from confroute.testing import ScriptedEngine
from confroute_langchain import METADATA_KEY, ConfidenceRoutedChatModel

SURE = "Capital of France?"
UNSURE = "Capital of Mars?"
FAILING = "Capital of nowhere?"


def scripted_edge() -> ScriptedEngine:
    """Sure of the first question, unsure of the second, failing at the third."""
    return ScriptedEngine(
        {
            SURE: ("Paris", ["Paris", "Paris."]),
            UNSURE: ("Olympus", ["Lyon", "Rome", "Oslo", "Lima"]),
            FAILING: RuntimeError("a secret prompt"),
        }
    )


class ScriptedCloud(BaseChatModel):
    """Says *text* word by word, or raises *error* after *words_before_error* words."""

    text: str = "The cloud knows it"
    error: Any = None
    words_before_error: int = 0
    seen: list[Any] = Field(default_factory=list)
    produced: list[str] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted-cloud"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": "scripted-cloud"}

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        self.seen.append((list(messages), {"stop": stop, **kwargs}))
        for i, word in enumerate(self.text.split(" ")):
            if self.error is not None and i == self.words_before_error:
                raise self.error
            self.produced.append(word)
            yield ChatGenerationChunk(message=AIMessageChunk(content=word if i == 0 else f" {word}"))
        usage = UsageMetadata(input_tokens=11, output_tokens=4, total_tokens=15)
        last = AIMessageChunk(
            content="",
            usage_metadata=usage,
            response_metadata={"model_name": "scripted-cloud", "finish_reason": "stop"},
        )
        yield ChatGenerationChunk(message=last)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        whole = None
        for chunk in self._stream(messages, stop, **kwargs):
            whole = chunk if whole is None else whole + chunk
        assert whole is not None
        message = AIMessage(
            content=whole.message.content,
            usage_metadata=whole.message.usage_metadata,
            response_metadata=whole.message.response_metadata,
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], tool_choice=tool_choice, **kwargs)


def routed(cloud: Any = None, **settings: Any) -> ConfidenceRoutedChatModel:
    return ConfidenceRoutedChatModel(edge=scripted_edge(), cloud=cloud or ScriptedCloud(), **settings)


def record_of(message: Any) -> dict[str, Any]:
    return message.response_metadata[METADATA_KEY]
