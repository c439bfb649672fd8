"""LangChain's callbacks: our own run, the events it sends and the cloud's run nested in it.

LangChain gives a chat model's `_generate` its run manager, but its `_stream` none; a `Run` is the same for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.callbacks.manager import BaseRunManager, ahandle_event, handle_event
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.utils.utils import LC_ID_PREFIX
from langchain_core.utils.uuid import uuid7

from confroute.records import ConfidenceRecord
from confroute.steps import Call
from confroute_langchain.ambient import TRACERS
from confroute_langchain.bound import Manager
from confroute_langchain.messages import METADATA_KEY


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The routed model's run, as far as events and children need it.

    The cloud's run is a child for tracers only (LangSmith shows a tree). A plain handler given to both would see each
    token and each use of tokens twice; see `ambient` for those that LangChain gives to both.
    """

    run_id: UUID
    parent_run_id: UUID | None = None
    handlers: list[BaseCallbackHandler]
    inheritable_handlers: list[BaseCallbackHandler]
    tags: list[str]
    metadata: dict[str, Any]
    reports_tokens: bool
    """Whether we must send the token events; in `stream` LangChain does."""

    @classmethod
    def of_manager(cls, manager: BaseRunManager | None) -> Run | None:
        """The run of a manager that LangChain handed to us."""
        if manager is None:
            return None
        return cls(
            run_id=manager.run_id,
            parent_run_id=manager.parent_run_id,
            handlers=manager.handlers,
            inheritable_handlers=manager.inheritable_handlers,
            tags=manager.inheritable_tags,
            metadata=manager.inheritable_metadata,
            reports_tokens=True,
        )

    @classmethod
    def of_stream(
        cls, config: RunnableConfig | None, manager_class: type[Manager], own: list[BaseCallbackHandler]
    ) -> tuple[Run, RunnableConfig]:
        """The run that `BaseChatModel.stream` is about to start with the config returned. Its id is chosen here and
        the callbacks are configured once, so that parent and child report to the same tracer objects.
        """
        config = ensure_config(config)
        run_id = config.get("run_id") or uuid7()
        manager: BaseCallbackManager = manager_class.configure(
            config.get("callbacks"),
            inheritable_tags=config.get("tags"),
            inheritable_metadata=config.get("metadata") or {},
        )
        run = cls(
            run_id=run_id,
            parent_run_id=manager.parent_run_id,
            handlers=[*manager.handlers, *(handler for handler in own if handler not in manager.handlers)],
            inheritable_handlers=manager.inheritable_handlers,
            tags=manager.inheritable_tags,
            metadata=manager.inheritable_metadata,
            reports_tokens=False,
        )
        return run, {**config, "run_id": run_id, "callbacks": manager}

    @property
    def message_id(self) -> str:
        """What LangChain calls the message of this run where its provider does not name it."""
        return f"{LC_ID_PREFIX}-{self.run_id}"

    def announce(self, record: ConfidenceRecord) -> Call:
        """The step that sends the record as the custom event ``confidence_routing`` of this run."""
        return self._event("on_custom_event", "ignore_custom_event", METADATA_KEY, record.to_dict())

    def token(self, chunk: ChatGenerationChunk) -> Call:
        """The step that tells handlers of a streamed piece."""
        return self._event("on_llm_new_token", "ignore_llm", chunk.text, chunk=chunk)

    def _event(self, name: str, ignored_by: str, *args: Any, **kwargs: Any) -> Call:
        kwargs = {"run_id": self.run_id, "tags": self.tags, **kwargs}
        if name == "on_custom_event":
            kwargs["metadata"] = self.metadata
        else:
            kwargs["parent_run_id"] = self.parent_run_id
        return Call(
            lambda: handle_event(self.handlers, name, ignored_by, *args, **kwargs),
            lambda: ahandle_event(self.handlers, name, ignored_by, *args, **kwargs),
        )

    def child(self, tag: str, manager_class: type[Manager]) -> Manager:
        """A callback manager for a model called within this run."""
        tracers = [handler for handler in self.inheritable_handlers if isinstance(handler, TRACERS)]
        # "ls_" keys describe our model (provider, name, limits) and would mislabel the child's run.
        metadata = {k: v for k, v in self.metadata.items() if not k.startswith("ls_")}
        manager = manager_class(
            handlers=tracers,  # pyright: ignore[reportArgumentType]
            inheritable_handlers=tracers,  # pyright: ignore[reportArgumentType]
            parent_run_id=self.run_id,
            metadata=metadata,
            inheritable_metadata=metadata,
        )
        manager.add_tags([*self.tags, tag])
        return manager
