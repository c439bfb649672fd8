"""Procedures that need I/O in the middle, written once and driven synchronously or asynchronously.

A procedure is a generator. It yields a `Call` where it needs something done and is sent the outcome, or has the
error thrown into it; it yields `Emit` to hand out a piece of a stream; its return value is its result. The idea is
that of httpx's ``Auth.auth_flow``.

>>> def greet():
...     name = yield Call(lambda: "Ada")
...     return f"Hello {name}"
>>> run(greet())
'Hello Ada'
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack, ExitStack, aclosing
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

T = TypeVar("T")
E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Call:
    """Something to be done. Without an *acall* the asynchronous driver runs *call* in a worker thread."""

    call: Callable[[], Any]
    acall: Callable[[], Awaitable[Any]] | None = None

    def run(self) -> Any:
        try:
            return self.call()
        except StopIteration as error:
            # None can be thrown into a generator, and a worker thread that ends with one is awaited for ever.
            raise RuntimeError("A step raised StopIteration.") from error

    async def arun(self) -> Any:
        if self.acall is None:
            return await asyncio.to_thread(self.run)
        return await self.acall()


@dataclass(frozen=True, slots=True)
class Emit(Generic[E]):
    """A piece of a stream, handed to the consumer before the procedure goes on."""

    value: E


Flow: TypeAlias = Generator[Any, Any, T]
END: Final = object()


def relay(flow: Flow[T], convert: Callable[[Any], Flow[None]]) -> Flow[T]:
    """As *flow*, with each thing it emits turned into the steps of *convert* of it."""
    resume: Callable[[], Any] = lambda: flow.send(None)
    try:
        while True:
            try:
                step = resume()
            except StopIteration as stop:
                return stop.value
            try:
                outcome = (yield from convert(step.value)) if isinstance(step, Emit) else (yield step)
            except Exception as error:
                resume = lambda error=error: flow.throw(error)
            else:
                resume = lambda outcome=outcome: flow.send(outcome)
    finally:
        flow.close()


class Source:
    """A stream opened by a procedure, an iterator or an asynchronous one. The driver closes it at the end,
    also when the consumer stops reading: the procedure itself cannot do I/O any more by then."""

    def __init__(self, stream: Iterator[Any] | AsyncIterator[Any]) -> None:
        self._stream: Any = stream

    def next(self) -> Call:
        """The step that gives the next piece, or `END`."""
        return Call(lambda: next(self._stream, END), lambda: anext(self._stream, END))

    def close(self) -> None:
        close = getattr(self._stream, "close", None)
        if close is not None:
            close()

    async def aclose(self) -> None:
        close = getattr(self._stream, "aclose", None)
        if close is not None:
            await close()


class _Progress(Generic[T]):
    """Where a procedure stands: what both drivers share."""

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self._resume: tuple[Callable[[Any], Any], Any] = flow.send, None
        self.result: T | None = None
        self.sources: list[Source] = []

    def advance(self) -> Call | Emit[Any] | None:
        """The next step, or None when the procedure has returned."""
        send, outcome = self._resume
        self._resume = self._flow.send, None
        try:
            return send(outcome)
        except StopIteration as stop:
            self.result = stop.value
            return None

    def succeed(self, outcome: Any) -> None:
        if isinstance(outcome, Source):
            self.sources.append(outcome)
        self._resume = self._flow.send, outcome

    def fail(self, error: Exception) -> None:
        self._resume = self._flow.throw, error


def stream(flow: Flow[T]) -> Generator[Any, None, T]:
    """Drive *flow*, giving what it emits as it emits it; returns its result."""
    progress = _Progress(flow)
    try:
        while (step := progress.advance()) is not None:
            if isinstance(step, Emit):
                yield step.value
                continue
            try:
                progress.succeed(step.run())
            except Exception as error:
                progress.fail(error)
        return progress.result  # pyright: ignore[reportReturnType]
    finally:
        with ExitStack() as opened:
            for source in progress.sources:
                opened.callback(source.close)
            flow.close()


async def astream(flow: Flow[T], returned: Callable[[T], None] | None = None) -> AsyncGenerator[Any, None]:
    """`stream` on an event loop. An asynchronous generator cannot return a result: *returned* is called with it."""
    progress = _Progress(flow)
    try:
        while (step := progress.advance()) is not None:
            if isinstance(step, Emit):
                yield step.value
                continue
            try:
                progress.succeed(await step.arun())
            except Exception as error:
                progress.fail(error)
        if returned is not None:
            returned(progress.result)  # pyright: ignore[reportArgumentType]
    finally:
        async with AsyncExitStack() as opened:
            for source in progress.sources:
                opened.push_async_callback(source.aclose)
            flow.close()


def run(flow: Flow[T]) -> T:
    """Drive *flow* to its end; what it emits is dropped."""
    driver = stream(flow)
    while True:
        try:
            next(driver)
        except StopIteration as stop:
            return stop.value


async def arun(flow: Flow[T]) -> T:
    """`run` on an event loop."""
    results: list[T] = []
    async with aclosing(astream(flow, results.append)) as driver:
        async for _ in driver:
            pass
    return results[0]
