"""A LangChain chat model as the edge."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.language_models import BaseChatModel, SimpleChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_messages
from langchain_core.runnables import Runnable, RunnableConfig
from langsmith import tracing_context  # pyright: ignore[reportUnknownVariableType] - its kwargs

from confroute.edge.borrowed import BorrowedModel, routed_edge
from confroute.edge.borrowed_replies import REASONS, Reply, gravest, token_logprobs
from confroute.edge.clients import Again
from confroute.edge.cut_prompts import with_cached
from confroute.edge.sdk_clients import is_handed_on, sdk_clients_of
from confroute.edge.usage import with_thoughts_of
from confroute.errors import ConfigurationError, UnsupportedRequestError
from confroute.records import Message, SamplingOptions
from confroute_langchain.ambient import unheard
from confroute_langchain.bound import Bound


class ChatModelEdge(BorrowedModel[BaseChatModel]):
    """Answers with a LangChain chat model, such as ChatOllama, past LangChain's cache, which would give one sample for
    all, and unseen by callbacks and tracers: the record says what was asked.
    """

    tools = True

    def __init__(self, model: Runnable[Any, Any], *, connections: int | None = None) -> None:
        bound = Bound.of(model)
        if bound is None:
            raise ConfigurationError(
                f"edge must be a chat model, an engine, or a model's name, not {type(model).__name__}."
            )
        from confroute_langchain.settings import Settings  # which imports this

        if isinstance(bound.model, Settings):
            raise ConfigurationError(routed_edge("ConfidenceRoutedChatModel"))
        super().__init__(bound.model, bound.name, bound.arguments, connections=connections)
        self.bound = bound

    def ask(
        self, model: BaseChatModel, messages: Sequence[Message], options: SamplingOptions, arguments: Mapping[str, Any]
    ) -> Reply:
        with tracing_context(enabled=False), unheard(by_tracers=True):
            calling, offered = self._calling(model, options)
            return _read(calling.invoke(_written(messages), _UNSEEN, **{**arguments, **offered}))

    async def aask(
        self, model: BaseChatModel, messages: Sequence[Message], options: SamplingOptions, arguments: Mapping[str, Any]
    ) -> Reply:
        with tracing_context(enabled=False), unheard(by_tracers=True):
            calling, offered = self._calling(model, options)
            return _read(await calling.ainvoke(_written(messages), _UNSEEN, **{**arguments, **offered}))

    def _calling(
        self, model: BaseChatModel, options: SamplingOptions
    ) -> tuple[Runnable[Any, AIMessage], Mapping[str, Any]]:
        """The model, and the arguments that offer the tools in the form that it takes them in. Some give another model
        that knows them, or something around it."""
        if not options.tools:
            return model, {}
        choice = {"tool_choice": "any"} if options.must_call else {}
        try:
            with_tools = model.bind_tools([dict(tool) for tool in options.tools], **choice)
        except NotImplementedError as error:
            raise UnsupportedRequestError(f'"{self.model}" calls no tools.') from error
        bound = Bound.of(with_tools)
        return (bound.model, bound.arguments) if bound else (with_tools, {})

    def stop_arguments(self, stop: Sequence[str]) -> Mapping[str, Any]:
        return {"stop": list(stop)}  # which all chat models take

    def is_synchronous(self, native: BaseChatModel) -> bool:
        # LangChain would run it in the event loop's few threads.
        of_langchain = (BaseChatModel._agenerate, SimpleChatModel._agenerate)  # pyright: ignore[reportPrivateUsage]
        kind = type(native)
        if kind._agenerate not in of_langchain:  # pyright: ignore[reportPrivateUsage]
            return False
        streams = native._should_stream(async_api=True, **self._bound)  # pyright: ignore[reportPrivateUsage]
        return not streams or kind._astream is BaseChatModel._astream  # pyright: ignore[reportPrivateUsage]

    def loop_clients(self, again: Again) -> Mapping[str, Any]:
        native: Any = self._native
        if getattr(native, "http_socket_options", None):
            return {}  # which go into the HTTP client when it is made
        proxy = next((proxy for name in _PROXIES if (proxy := getattr(native, name, None))), None)
        # With a proxy, LangChain has its own where one that was given would be, and no other can be given.
        of_proxy = getattr(native, "http_async_client", None)
        return {**sdk_clients_of(native, again, proxy=proxy, of_proxy=of_proxy), **_ollama_clients(native, again)}

    def isolation(self) -> Mapping[str, Any]:
        return {"cache": False, "callbacks": None}


# Said rather than left out, which would have those of the chain around it.
_UNSEEN: RunnableConfig = {"callbacks": []}
_PROXIES = ("openai_proxy", "anthropic_proxy")
"""Fields for the proxy that a model's HTTP client is made with."""


def _ollama_clients(model: Any, again: Again) -> dict[str, Any]:
    """For ChatOllama, which makes its clients of its settings. A copy does it, for a class of the caller's own may be
    made in any way, and what was changed on the client since is handed on."""
    langchain_ollama = sys.modules.get("langchain_ollama")
    if langchain_ollama is None or not isinstance(model, langchain_ollama.ChatOllama):
        return {}

    def made() -> Any:
        copied: Any = model.model_copy(update={"validate_model_on_init": False})
        langchain_ollama.ChatOllama._set_clients(copied)
        return copied._async_client

    own: Any = model._async_client
    fresh = again.once(own, made)
    is_its_own = type(own) is type(fresh) and own._client.base_url == fresh._client.base_url
    if is_its_own and own.__dict__.keys() == fresh.__dict__.keys() and is_handed_on(own._client, fresh._client):
        return {"_async_client": fresh}
    return {}  # it is the caller's


def _written(messages: Sequence[Message]) -> list[BaseMessage]:
    return convert_to_messages([dict(message) for message in messages])


def _read(message: AIMessage) -> Reply:
    metadata: dict[str, Any] = message.response_metadata
    usage = message.usage_metadata
    calls: list[Any] = [*message.tool_calls, *message.invalid_tool_calls]
    details: Any = metadata.get("incomplete_details")
    incomplete = cast("dict[str, Any]", details) if isinstance(details, dict) else {}
    choice = {
        "message": {
            "content": message.text,
            "reasoning_content": _thoughts(message),
            "tool_calls": [{"function": {**call, "arguments": call["args"]}} for call in calls],
        },
        "logprobs": {"content": token_logprobs(metadata.get("logprobs"))},
        "finish_reason": gravest([incomplete.get("reason"), *map(metadata.get, REASONS)]),
    }
    if not usage:
        return Reply(choice=choice)
    # A hit of LangChain's own cache may tell of its cost alone.
    told, within = usage.get("input_tokens", 0), usage.get("input_token_details", {})
    cached = (within.get("cache_read") or 0) + (within.get("cache_creation") or 0)
    inputs = with_cached(told, cached)
    outputs = with_thoughts_of(
        usage.get("total_tokens"),
        inputs,
        usage.get("output_tokens", 0),
        uncertain=told + cached - inputs,
        thoughts=usage.get("output_token_details", {}).get("reasoning"),
    )
    return Reply(choice=choice, input_tokens=inputs, output_tokens=outputs)


def _thoughts(message: AIMessage) -> str:
    """Those that are told apart from the text, without what goes with them and no two answers share, such as ids."""
    blocks = _dicts(message.content)
    # OpenAI's has its text in parts, and Ollama's is outside of the content.
    summaries = [part for block in blocks for part in _dicts(block.get("summary"))]
    said = [part.get(name) for part in [*blocks, *summaries] for name in ("reasoning", "thinking")]
    said += [part.get("text") for part in summaries]
    return "".join(str(each) for each in [message.additional_kwargs.get("reasoning_content"), *said] if each)


def _dicts(listed: Any) -> list[dict[str, Any]]:
    return [each for each in cast("list[Any]", listed) if isinstance(each, dict)] if isinstance(listed, list) else []
