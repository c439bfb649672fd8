"""A LlamaIndex LLM as the edge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import LLM

from confroute.edge.borrowed import BorrowedModel
from confroute.edge.choices import read_choice
from confroute.records import Message, Sample, SamplingOptions
from confroute_llamaindex.cloud import field_of, model_name, token_counts


class LLMEdge(BorrowedModel[LLM]):
    """Answers with a LlamaIndex LLM, such as Ollama's. Its samples are not shown to callback managers, but
    instrumentation sees each: it has no way to be told not to.
    """

    rest_field = "additional_kwargs"

    def __init__(self, llm: LLM) -> None:
        super().__init__(llm, model_name(llm))

    def ask(self, model: LLM, messages: Sequence[Message], options: SamplingOptions) -> tuple[Sample, int]:
        return _read(model.chat(_written(messages)), options.alternatives)

    async def aask(self, model: LLM, messages: Sequence[Message], options: SamplingOptions) -> tuple[Sample, int]:
        return _read(await model.achat(_written(messages)), options.alternatives)

    def limit_name(self, native: LLM) -> str | None:
        return "num_predict" if native.class_name() == "Ollama_llm" else None

    def isolation(self) -> Mapping[str, Any]:
        return {"callback_manager": CallbackManager([])}


def _written(messages: Sequence[Message]) -> list[ChatMessage]:
    return [ChatMessage(role=message["role"], content=message["content"]) for message in messages]


def _read(response: ChatResponse, alternatives: int) -> tuple[Sample, int]:
    raw: Any = response.raw
    choices: Any = field_of(raw, "choices")
    told: Any = choices[0] if choices else None
    logprobs: Any = field_of(told, "logprobs")
    input_tokens, output_tokens = token_counts(raw)
    choice = {
        "message": {"content": response.message.content},
        "logprobs": logprobs.model_dump() if hasattr(logprobs, "model_dump") else logprobs,
        "finish_reason": field_of(told, "finish_reason") or field_of(raw, "done_reason"),
    }
    return read_choice(choice, alternatives=alternatives, output_tokens=output_tokens or 0), input_tokens or 0
