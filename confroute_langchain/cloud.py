"""The caller's cloud model in LangChain, bound to one request of theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig

from confroute.contract import Tokens
from confroute.errors import ConfigurationError, require
from confroute.steps import Call
from confroute_langchain.ambient import NestedSource, nested
from confroute_langchain.bound import Bound, Manager
from confroute_langchain.runs import Run
from confroute_langchain.tools import given


def resolve_cloud(cloud: object) -> Bound:
    """*cloud* itself, or the model that langchain's `init_chat_model` makes of a string such as "openai:gpt-5"."""
    if isinstance(cloud, str):
        # Not quoted, here or below: a key may stand in a model's place.
        require("langchain", extra="init", wanted_by="a string as cloud, which init_chat_model reads,")
        from langchain.chat_models import init_chat_model

        try:
            cloud = init_chat_model(cloud)
        except Exception as error:
            raise ConfigurationError(
                f"The cloud model of this name could not be created ({type(error).__name__}). Check its name "
                '("provider:model"), that the provider\'s package is installed (openai: pip install langchain-openai) '
                "and that its API key is set in the environment (openai: OPENAI_API_KEY)."
            ) from None
    if (bound := Bound.of(cloud)) is not None:
        return bound
    around = (
        " What with_retry, with_fallbacks, configurable_fields and | make of a chat model goes around the routed model:"
        " ConfidenceRoutedChatModel(cloud=model, …).with_retry()."
    )
    raise ConfigurationError(
        f"cloud must be a LangChain chat model or a string for init_chat_model, not {type(cloud).__name__}. "
        'For example: cloud=ChatOpenAI(model="gpt-5-mini"), or cloud="openai:gpt-5-mini".'
        f"{around if isinstance(cloud, Runnable) else ''}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudCall:
    """One request to the cloud: the caller's own message objects, their stop strings and keyword arguments."""

    cloud: Bound
    messages: Sequence[BaseMessage]
    stop: list[str] | None
    kwargs: Mapping[str, Any]
    run: Run | None

    @property
    def model(self) -> str:
        return self.cloud.name

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
        return _more(before[0], usage.get("input_tokens")), _more(before[1], usage.get("output_tokens"))

    def _input(self) -> list[BaseMessage]:
        return list(self.messages)

    def _bound(self) -> tuple[Runnable[Any, Any], dict[str, Any]]:
        """The model and its arguments; those of the call prevail over those bound to it."""
        model: Runnable[Any, Any] = self.cloud.model
        arguments = dict(self.kwargs)
        if (tools := given(arguments.get("tools"))) is not None:
            del arguments["tools"]
            if arguments.get("tool_choice", ...) is None:
                del arguments["tool_choice"]
            with_tools: Runnable[Any, Any] = self.cloud.model.bind_tools(tools, **arguments)
            bound = Bound.of(with_tools)
            model, arguments = (bound.model, dict(bound.arguments)) if bound else (with_tools, {})
        stop = {"stop": self.stop} if self.stop else {}
        return model, {**self.cloud.arguments, **arguments, **stop}

    def _config(self, manager_class: type[Manager]) -> RunnableConfig:
        return self.cloud.config(self.run.child("cloud", manager_class)) if self.run else {}


def _more(before: int | None, told: int | None) -> int | None:
    return before if told is None else (before or 0) + told
