"""A LlamaIndex LLM as the edge."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from inspect import getattr_static
from typing import Any, cast

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import LLM, CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools.types import BaseTool, ToolMetadata

from confroute.edge.borrowed import BorrowedModel, routed_edge
from confroute.edge.borrowed_replies import REASONS, Reply, gravest, token_logprobs
from confroute.edge.turns import Turns
from confroute.edge.usage import field_of
from confroute.errors import ConfigurationError, UnsupportedRequestError
from confroute.records import Message, SamplingOptions
from confroute_llamaindex.cloud import model_name, token_counts

_UNMEASURED = -1


class LLMEdge(BorrowedModel[LLM]):
    """Answers with a LlamaIndex LLM, such as Ollama's, tools included where it is one that calls functions. Its samples
    are not shown to callback managers, but instrumentation sees each: it has no way to be told not to.
    """

    rest_field = "additional_kwargs"
    tools = True

    def __init__(self, llm: LLM, *, connections: int | None = None) -> None:
        from confroute_llamaindex.llm import ConfidenceRoutedLLM  # which imports this

        if isinstance(llm, ConfidenceRoutedLLM):
            raise ConfigurationError(routed_edge("ConfidenceRoutedLLM"))
        super().__init__(llm, model_name(llm), connections=connections)
        self._measuring, self._context_window = Turns(1), None

    def ask(
        self, model: LLM, messages: Sequence[Message], options: SamplingOptions, arguments: Mapping[str, Any]
    ) -> Reply:
        if self._has_to_measure(model):
            self._measuring.take([lambda: self._measure(model)])
        history = [_written(message) for message in messages]
        if not options.tools:
            return _read(model.chat(history, **arguments))
        calling = self._calling(model)
        return _read(calling.chat_with_tools(**_offer(history, options), **arguments), calling)

    async def aask(
        self, model: LLM, messages: Sequence[Message], options: SamplingOptions, arguments: Mapping[str, Any]
    ) -> Reply:
        if self._has_to_measure(model):
            await self._measuring.in_thread(lambda: self._measure(model))
        history = [_written(message) for message in messages]
        if not options.tools:
            return _read(await model.achat(history, **arguments))
        calling = self._calling(model)
        return _read(await calling.achat_with_tools(**_offer(history, options), **arguments), calling)

    def _calling(self, model: LLM) -> FunctionCallingLLM:
        if isinstance(model, FunctionCallingLLM) and model.metadata.is_function_calling_model:
            return model
        raise UnsupportedRequestError(f'"{self.model}" calls no tools.')

    def _has_to_measure(self, model: Any) -> bool:
        return getattr(model, "context_window", None) == _UNMEASURED and hasattr(model, "get_context_window")

    def _measure(self, model: Any) -> None:
        """Have Ollama's ask its server for the size of the context, which takes a while, and remember it for the copies
        to come."""
        if self._context_window is None:
            self._context_window = model.get_context_window()
        model.context_window = self._context_window

    def limit_name(self, native: LLM) -> str | None:
        return "num_predict" if native.class_name() == "Ollama_llm" else None

    def is_synchronous(self, native: LLM) -> bool:
        # That one runs the model on the event loop. HuggingFaceLLM and LlamaCPP have no other.
        return getattr_static(type(native), "achat") is getattr_static(CustomLLM, "achat")

    def isolation(self) -> Mapping[str, Any]:
        measured = self._context_window is not None and self._has_to_measure(self._native)
        return {"callback_manager": silent()} | ({"context_window": self._context_window} if measured else {})


def silent() -> CallbackManager:
    """A callback manager without handlers, which LlamaIndex cannot be asked for: it adds the global ones."""
    manager = CallbackManager()
    manager.handlers = []
    return manager


class _Description(ToolMetadata):
    """A tool's with the parameters that the caller gave, whatever made their schema."""

    def __init__(self, function: Mapping[str, Any]) -> None:
        super().__init__(description=function.get("description") or "", name=function["name"], fn_schema=None)
        self._parameters: Mapping[str, Any] = function.get("parameters") or {"type": "object", "properties": {}}

    def get_parameters_dict(self) -> dict[str, Any]:
        return dict(self._parameters)  # to which some add


class Offered(BaseTool):
    """A tool to be shown to the model. What it calls is run by whoever asked."""

    def __init__(self, function: Mapping[str, Any]) -> None:
        self._metadata = _Description(function)

    @property
    def metadata(self) -> ToolMetadata:
        return self._metadata

    def __call__(self, input: Any) -> Any:  # noqa: A002 - the base class's word
        raise NotImplementedError("A tool is run by whoever offered it, not by the edge.")


def _offer(history: list[ChatMessage], options: SamplingOptions) -> dict[str, Any]:
    return {
        "tools": [Offered(tool["function"]) for tool in options.tools],
        "chat_history": history,
        "allow_parallel_tool_calls": True,
        "tool_required": options.must_call,
    }


def _written(message: Message) -> ChatMessage:
    calls = [
        ToolCallBlock(
            tool_call_id=call.get("id"),
            tool_name=call["function"]["name"],
            tool_kwargs=_arguments(call["function"]["arguments"]),
        )
        for call in message.get("tool_calls") or ()
    ]
    said = [TextBlock(text=message["content"])] if message["content"] or not calls else []
    answered = message.get("tool_call_id")
    return ChatMessage(
        role=message["role"],
        blocks=[*said, *calls],
        additional_kwargs={"tool_call_id": answered} if answered else {},
    )


def _arguments(told: str) -> dict[str, Any] | str:
    """An object, which is what all integrations take, or what is no JSON of one."""
    try:
        read: Any = json.loads(told)
    except ValueError:
        return told
    return cast("dict[str, Any]", read) if isinstance(read, dict) else told


def _read(response: ChatResponse, calling: FunctionCallingLLM | None = None) -> Reply:
    raw: Any = response.raw
    told = _first(raw, "choices")
    tokens = token_logprobs(field_of(told, "logprobs")) or token_logprobs(field_of(raw, "logprobs"))
    input_tokens, output_tokens = token_counts(response)
    # Not what a choice calls its stop_reason: vLLM has the stop string there.
    reasons = [
        field_of(field_of(raw, "incomplete_details"), "reason"),
        *(field_of(each, "finish_reason") for each in (told, _first(raw, "candidates"))),
        *(field_of(raw, name) for name in REASONS),
    ]
    choice = {
        "message": {
            "content": response.message.content,
            "reasoning_content": _thoughts(response.message),
            "tool_calls": [{"function": call} for call in (_calls(response, calling) if calling else ())],
        },
        "logprobs": {"content": tokens or _spelled(response)},
        "finish_reason": gravest(reasons),
    }
    return Reply(choice=choice, input_tokens=input_tokens or 0, output_tokens=output_tokens or 0)


def _spelled(response: ChatResponse) -> list[dict[str, Any]]:
    """The tokens that LlamaIndex's own field tells the logprobs of, if they spell the answer: those of OpenAI's
    integration are the most probable ones, drawn or not."""
    places = [[token.model_dump() for token in place] for place in response.logprobs or () if place]
    text = (response.message.content or "").strip()
    if not text or not "".join(place[0]["token"] for place in places).strip().startswith(text):
        return []
    return [{**place[0], "top_logprobs": place} for place in places]


def _thoughts(message: ChatMessage) -> str:
    """Those that are told apart from the text."""
    blocks = [block.content for block in message.blocks if isinstance(block, ThinkingBlock)]
    told = [*blocks, *map(message.additional_kwargs.get, ("thinking", "reasoning_content"))]
    return "".join(str(each) for each in told if each)


def _first(raw: Any, name: str) -> Any:
    listed = field_of(raw, name)
    return cast("list[Any]", listed)[0] if listed and isinstance(listed, list | tuple) else None


def _calls(response: ChatResponse, model: FunctionCallingLLM) -> list[dict[str, Any]]:
    blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    # Some integrations have them elsewhere, and alone know where.
    told = blocks or model.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    return [{"name": call.tool_name, "arguments": call.tool_kwargs} for call in told]
