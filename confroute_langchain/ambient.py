"""Handlers that LangChain adds to each run of a context by itself, such as those of `get_usage_metadata_callback`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, cast

from langchain_core.tracers.base import AsyncBaseTracer, BaseTracer
from langchain_core.tracers.context import (
    _configure_hooks,  # pyright: ignore[reportPrivateUsage]
    tracing_v2_callback_var,
)

from confroute.steps import Call, Source

TRACERS = (BaseTracer, AsyncBaseTracer)


@contextmanager
def unheard(*, by_tracers: bool) -> Generator[None, None, None]:
    """Within it LangChain adds none of them; those that are tracers are left out only if *by_tracers*."""
    variables: list[ContextVar[Any]] = [variable for variable, *_ in _configure_hooks]
    if by_tracers:
        variables.append(cast("ContextVar[Any]", tracing_v2_callback_var))
    hidden = [
        (variable, variable.set(None))
        for variable in variables
        if (handler := variable.get()) is not None and (by_tracers or not isinstance(handler, TRACERS))
    ]
    try:
        yield
    finally:
        for variable, token in reversed(hidden):
            # An asynchronous generator left behind is closed in another context, where nothing is hidden.
            with suppress(ValueError):
                variable.reset(token)


def nested(call: Call) -> Call:
    """The step of a model within our run, of which only tracers are to hear: others would count what ours has told
    them again."""

    def run() -> Any:
        with unheard(by_tracers=False):
            return call.call()

    async def arun() -> Any:
        with unheard(by_tracers=False):
            return await cast("Any", call.acall)()

    return Call(run, arun)


class NestedSource(Source):
    """A stream of such a model. LangChain looks for handlers when its first piece is asked for, and only then."""

    def __init__(self, stream: Iterator[Any] | AsyncIterator[Any]) -> None:
        super().__init__(stream)
        self._begun = False

    def next(self) -> Call:
        call = super().next()
        if self._begun:
            return call
        self._begun = True
        return nested(call)
