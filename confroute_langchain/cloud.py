"""The caller's cloud model in LangChain, bound to one request of theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig

from confroute.contract import Tokens
from confroute.errors import ConfigurationError, require
from confroute.steps import Call
from confroute_langchain.ambient import NestedSource, nested
from confroute_langchain.runs import Manager, Run


def resolve_cloud(cloud: object) -> Runnable[Any, Any]:
    """*cloud* itself, or the model that langchain's `init_chat_model` makes of a string such as "openai:gpt-5"."""
    if isinstance(cloud, str):
        require("langchain", extra="init", wanted_by=f'cloud="{cloud}" (a string is read by init_chat_model)')
        from langchain.chat_models import init_chat_model

        try:
            return init_chat_model(cloud)
        except Exception as error:
            # Its text may show what it was given, a key included.
            raise ConfigurationError(
                f'The cloud model "{cloud}" could not be created ({type(error).__name__}). Check its name '
                '("provider:model"), that the provider\'s package is installed (openai: pip install langchain-openai) '
                "and that its API key is set in the environment (openai: OPENAI_API_KEY)."
            ) from error
    if isinstance(_unbound(cloud), BaseChatModel):
        return cast("Runnable[Any, Any]", cloud)
    raise ConfigurationError(
        f"cloud must be a LangChain chat model or a string for init_chat_model, not {type(cloud).__name__}. "
        'For example: cloud=ChatOpenAI(model="gpt-5-mini"), or cloud="openai:gpt-5-mini".'
    )


def cloud_name(cloud: Runnable[Any, Any]) -> str:
    """The model's own name, or its class."""
    model = _unbound(cloud)
    for attribute in ("model_name", "model", "model_id"):
        if isinstance(name := getattr(model, attribute, None), str) and name:
            return name
    return type(model).__name__


def chat_model_of(cloud: Runnable[Any, Any]) -> BaseChatModel:
    """The chat model within what `bind` made of it."""
    return cast("BaseChatModel", _unbound(cloud))


def _unbound(cloud: object) -> object:
    while isinstance(cloud, RunnableBinding):
        cloud = cast("RunnableBinding[Any, Any]", cloud).bound
    return cloud


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudCall:
    """One request to the cloud: the caller's own message objects, their stop strings and keyword arguments."""

    cloud: Runnable[Any, Any]
    messages: Sequence[BaseMessage]
    stop: list[str] | None
    kwargs: Mapping[str, Any]
    run: Run | None

    @property
    def model(self) -> str:
        return cloud_name(self.cloud)

    def invoke(self) -> Call:
        model, arguments = self._bound()
        return nested(
            Call(
                lambda: model.invoke(self._input(), self._config(CallbackManager), **arguments),
                lambda: model.ainvoke(self._input(), self._config(AsyncCallbackManager), **arguments),
            )
        )

    def stream(self) -> Call:
        model, arguments = self._bound()

        async def aopen() -> NestedSource:
            return NestedSource(model.astream(self._input(), self._config(AsyncCallbackManager), **arguments))

        return Call(
            lambda: NestedSource(model.stream(self._input(), self._config(CallbackManager), **arguments)),
            aopen,
        )

    def tokens(self, answer: BaseMessage, before: Tokens = (None, None)) -> Tokens:
        usage = answer.usage_metadata if isinstance(answer, AIMessage) else None
        if not usage:
            return before
        # LangChain's chunks carry increments, which add up when chunks are added.
        return (before[0] or 0) + usage["input_tokens"], (before[1] or 0) + usage["output_tokens"]

    def _input(self) -> list[BaseMessage]:
        return list(self.messages)

    # LangChain re-parents the callbacks of a RunnableBinding that runs inside a chain to that chain. So the model
    # itself is called, with the arguments bound to it.
    def _bound(self) -> tuple[BaseChatModel, dict[str, Any]]:
        """The model and its arguments; those of the call prevail over those bound to it."""
        model, arguments = chat_model_of(self.cloud), dict(self.kwargs)
        if tools := arguments.get("tools"):
            del arguments["tools"]
            if arguments.get("tool_choice", ...) is None:
                del arguments["tool_choice"]
            with_tools = model.bind_tools(tools, **arguments)
            model, arguments = chat_model_of(with_tools), bound_arguments(with_tools)
        stop = {"stop": self.stop} if self.stop else {}
        return model, {**bound_arguments(self.cloud), **arguments, **stop}

    def _config(self, manager_class: type[Manager]) -> RunnableConfig:
        return {"callbacks": self.run.child("cloud", manager_class)} if self.run else {}


def bound_arguments(cloud: object) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    while isinstance(cloud, RunnableBinding):
        binding = cast("RunnableBinding[Any, Any]", cloud)
        arguments = {**binding.kwargs, **arguments}
        cloud = binding.bound
    return arguments
