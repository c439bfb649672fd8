"""The caller's cloud model in LangChain, bound to one request of theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig

from confroute.errors import ConfigurationError, require
from confroute.router import Tokens
from confroute.steps import Call, Source
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
        return Call(
            lambda: self._target().invoke(self._input(), self._config(CallbackManager), **self._arguments()),
            lambda: self._target().ainvoke(self._input(), self._config(AsyncCallbackManager), **self._arguments()),
        )

    def stream(self) -> Call:
        async def aopen() -> Source:
            config = self._config(AsyncCallbackManager)
            return Source(self._target().astream(self._input(), config, **self._arguments()))

        return Call(
            lambda: Source(self._target().stream(self._input(), self._config(CallbackManager), **self._arguments())),
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

    def _bound(self) -> Runnable[Any, Any]:
        if not self.kwargs.get("tools"):
            return self.cloud.bind(**self.kwargs)
        options = dict(self.kwargs)
        tools = options.pop("tools")
        if options.get("tool_choice", ...) is None:
            del options["tool_choice"]
        bindable = chat_model_of(self.cloud).bind_tools(tools, **options)
        return bindable.bind(**bound_arguments(self.cloud))

    # LangChain re-parents the callbacks of a RunnableBinding that runs inside a chain to that chain. So the model
    # itself is called, with the arguments bound to it.
    def _target(self) -> BaseChatModel:
        return chat_model_of(self._bound())

    def _arguments(self) -> dict[str, Any]:
        return {**bound_arguments(self._bound()), **({"stop": self.stop} if self.stop else {})}

    def _config(self, manager_class: type[Manager]) -> RunnableConfig:
        return {"callbacks": self.run.child("cloud", manager_class)} if self.run else {}


def bound_arguments(cloud: object) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    while isinstance(cloud, RunnableBinding):
        binding = cast("RunnableBinding[Any, Any]", cloud)
        arguments = {**binding.kwargs, **arguments}
        cloud = binding.bound
    return arguments
