"""What handlers and `generate` are told of an answer beside its message, as OpenAI's chat models tell it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

_INFO = ("finish_reason", "logprobs")
_TOKENS = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens", "total_tokens": "total_tokens"}


def result_of(message: BaseMessage) -> ChatResult:
    generation = ChatGeneration(message=message, generation_info=_info(message))
    return ChatResult(generations=[generation], llm_output=_output(message))


def chunk_of(message: AIMessageChunk) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=message, generation_info=_info(message))


def combined(outputs: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """The ``llm_output`` of several answers: their tokens added up, and the models that gave them."""
    told = [output for output in outputs if output]
    tokens: Counter[str] = Counter()
    for output in told:
        counts = cast("dict[str, Any]", output.get("token_usage") or {})
        tokens.update({name: count for name, count in counts.items() if isinstance(count, int)})
    models = dict.fromkeys(output["model_name"] for output in told if "model_name" in output)
    return {"token_usage": dict(tokens), "model_name": " | ".join(models)} if told else {}


def _info(message: BaseMessage) -> dict[str, Any] | None:
    metadata: dict[str, Any] = message.response_metadata
    return {name: metadata[name] for name in _INFO if metadata.get(name) is not None} or None


def _output(message: BaseMessage) -> dict[str, Any]:
    output: dict[str, Any] = {}
    usage = message.usage_metadata if isinstance(message, AIMessage) else None
    metadata: dict[str, Any] = message.response_metadata
    if metadata.get("token_usage"):
        output["token_usage"] = metadata["token_usage"]
    elif usage:
        output["token_usage"] = {theirs: usage[ours] for theirs, ours in _TOKENS.items() if ours in usage}
    if name := metadata.get("model_name"):
        output["model_name"] = name
    return output
