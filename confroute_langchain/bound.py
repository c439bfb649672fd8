"""A chat model and what `bind` and `with_config` put around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackHandler, BaseCallbackManager, CallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableBinding, RunnableConfig

from confroute.credentials import without_secrets
from confroute.wording import told_by

Manager = TypeVar("Manager", CallbackManager, AsyncCallbackManager)

_SAMPLING = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """LangChain re-parents the callbacks of a `RunnableBinding` that runs inside a chain to that chain. So the model
    itself is called, with all that the bindings around it say; the outer ones prevail.
    """

    model: BaseChatModel
    arguments: Mapping[str, Any]
    bindings: tuple[RunnableBinding[Any, Any], ...]
    """From the inner to the outer."""

    @classmethod
    def of(cls, runnable: object) -> Bound | None:
        """None where there is no chat model within."""
        bindings = tuple(reversed(tuple(_bindings(runnable))))
        model = bindings[0].bound if bindings else runnable
        if not isinstance(model, BaseChatModel):
            return None
        arguments = {name: value for binding in bindings for name, value in binding.kwargs.items()}
        return cls(model=model, arguments=arguments, bindings=bindings)

    @property
    def name(self) -> str:
        """The model's own name, an address without what is secret in it; or its class."""
        for attribute in ("model_name", "model", "model_id"):
            if isinstance(name := getattr(self.model, attribute, None), str) and name:
                return without_secrets(name)
        return type(self.model).__name__

    @property
    def of_the_answer(self) -> dict[str, Any]:
        """What the model's own fields, and the arguments, say of what an answer is to be, whoever gives it, such as
        tools. A routed model says what its cloud does."""
        fields = vars(self.model)
        within = Bound.of(fields["cloud"]) if "cloud" in fields else None
        bound = {name: value for name, value in self.arguments.items() if name not in _SAMPLING}
        return {**(within.of_the_answer if within else {}), **told_by(fields), **bound}

    @property
    def key(self) -> str:
        """What LangChain's cache knows the model by, with what is bound to it. May hold keys."""
        return self.model._get_llm_string(**self.arguments)  # pyright: ignore[reportPrivateUsage]

    def config(self, manager: BaseCallbackManager) -> RunnableConfig:
        """The configuration of a run whose callbacks are *manager*'s and those of the bindings, which it is told."""
        config: RunnableConfig = {"callbacks": manager}
        for binding in self.bindings:
            for said in (binding.config, *(factory(config) for factory in binding.config_factories)):
                for handler in handlers_of(said.get("callbacks")):
                    manager.add_handler(handler)
                manager.add_tags(said.get("tags") or [])
                manager.add_metadata(said.get("metadata") or {})
                if name := said.get("run_name"):
                    config["run_name"] = name
        return config


def _bindings(runnable: object) -> Iterator[RunnableBinding[Any, Any]]:
    while isinstance(runnable, RunnableBinding):
        binding = cast("RunnableBinding[Any, Any]", runnable)
        yield binding
        runnable = binding.bound


def handlers_of(callbacks: list[BaseCallbackHandler] | BaseCallbackManager | None) -> list[BaseCallbackHandler]:
    return callbacks.handlers if isinstance(callbacks, BaseCallbackManager) else list(callbacks or ())
