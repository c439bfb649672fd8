"""The drivers: one procedure gives the same whichever way it is run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing, closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.steps import END, Call, Emit, Flow, Source, arun, astream, relay, run, stream

Drive = Callable[[Flow[Any]], Any]
"""Runs a flow to its end and gives its result and what it emitted (None where the driver drops that)."""


def by_run(flow: Flow[Any]) -> tuple[Any, None]:
    return run(flow), None


def by_arun(flow: Flow[Any]) -> tuple[Any, None]:
    return asyncio.run(arun(flow)), None


def by_stream(flow: Flow[Any]) -> tuple[Any, list[Any]]:
    emitted: list[Any] = []
    driver = stream(flow)
    while True:
        try:
            emitted.append(next(driver))
        except StopIteration as stop:
            return stop.value, emitted


def by_astream(flow: Flow[Any]) -> tuple[Any, list[Any]]:
    async def drive() -> tuple[Any, list[Any]]:
        results: list[Any] = []
        emitted = [piece async for piece in astream(flow, results.append)]
        return results[0], emitted

    return asyncio.run(drive())


DRIVERS = pytest.mark.parametrize("drive", [by_run, by_arun, by_stream, by_astream])
STREAMS = pytest.mark.parametrize("drive", [by_stream, by_astream])


class Pieces:
    """A stream that can be read either way, fails after its last piece if told so, and knows whether it was closed."""

    def __init__(self, *pieces: str, error: Exception | None = None) -> None:
        self.left = list(pieces)
        self.error = error
        self.closed = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.left:
            return self.left.pop(0)
        raise self.error or StopIteration

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        await asyncio.sleep(0)
        if self.left:
            return self.left.pop(0)
        raise self.error or StopAsyncIteration

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


def emitting(pieces: Pieces) -> Flow[str]:
    """Emit each piece in upper case; an error of the source is emitted as its text. Returns the pieces together."""
    source: Source = yield Call(lambda: Source(pieces))
    read = ""
    try:
        while (piece := (yield source.next())) is not END:
            read += piece
            yield Emit(piece.upper())
    except ConnectionError as error:
        yield Emit(f"failed: {error}")
    return read


@given(st.lists(st.sampled_from(["call", "acall", "emit", "error"]), max_size=8))
def test_all_drivers_agree(plan: list[str]) -> None:
    """Whatever the steps, the four drivers give the same result, and the two streams the same pieces."""

    def flow() -> Flow[list[Any]]:
        outcomes: list[Any] = []
        for i, kind in enumerate(plan):
            if kind == "call":
                outcomes.append((yield Call(lambda i=i: i)))
            elif kind == "acall":

                async def acall(i: int = i) -> int:
                    return i

                outcomes.append((yield Call(lambda i=i: i, acall)))
            elif kind == "emit":
                outcomes.append((yield Emit(i)))
            else:
                try:
                    yield Call(lambda: 1 // 0)
                except ZeroDivisionError as error:
                    outcomes.append(type(error).__name__)
        return outcomes

    expected = [{"emit": None, "error": "ZeroDivisionError"}.get(kind, i) for i, kind in enumerate(plan)]
    emitted = [i for i, kind in enumerate(plan) if kind == "emit"]
    assert by_run(flow()) == by_arun(flow()) == (expected, None)
    assert by_stream(flow()) == by_astream(flow()) == (expected, emitted)


@DRIVERS
def test_uncaught_error_of_a_step_is_raised(drive: Drive) -> None:
    """An error that the procedure does not catch reaches the caller as it was, with its own type."""

    def flow() -> Flow[None]:
        yield Call(lambda: dict[str, str]()["absent"])

    with pytest.raises(KeyError, match="absent"):
        drive(flow())


@DRIVERS
def test_error_of_the_procedure_itself_is_raised(drive: Drive) -> None:
    """An error between steps is not swallowed by a driver."""

    def flow() -> Flow[None]:
        yield Call(lambda: None)
        raise ConnectionError("own")

    with pytest.raises(ConnectionError, match="own"):
        drive(flow())


@DRIVERS
def test_stop_iteration_of_a_step_is_an_ordinary_error(drive: Drive) -> None:
    """A step that runs an iterator dry fails; it neither ends the procedure nor hangs the event loop."""

    def flow() -> Flow[str]:
        try:
            yield Call(lambda: next(iter(())))
        except RuntimeError:
            return "caught"
        return "ended"

    assert drive(flow())[0] == "caught"


@DRIVERS
def test_cleanup_of_the_procedure_runs_once(drive: Drive) -> None:
    """A finally clause runs, once, when a step fails."""
    cleaned: list[bool] = []

    def flow() -> Flow[None]:
        try:
            yield Call(lambda: 1 // 0)
        finally:
            cleaned.append(True)

    with pytest.raises(ZeroDivisionError):
        drive(flow())
    assert cleaned == [True]


@STREAMS
def test_source_is_read_to_its_end_and_closed(drive: Drive) -> None:
    """All pieces in order, and one close."""
    pieces = Pieces("a", "b", "c")
    assert drive(emitting(pieces)) == ("abc", ["A", "B", "C"])
    assert pieces.closed == 1


@STREAMS
def test_error_of_a_source_reaches_the_procedure(drive: Drive) -> None:
    """A source that breaks after two pieces throws into the procedure, which goes on; the source is closed."""
    pieces = Pieces("a", "b", error=ConnectionError("broken"))
    assert drive(emitting(pieces)) == ("ab", ["A", "B", "failed: broken"])
    assert pieces.closed == 1


def test_reader_that_stops_early_closes_the_source() -> None:
    """Closing the stream after its first piece closes the source, which the procedure could not do any more."""
    pieces = Pieces("a", "b")
    with closing(stream(emitting(pieces))) as driver:
        assert next(driver) == "A"
        assert pieces.closed == 0
    assert pieces.closed == 1
    assert pieces.left == ["b"]


async def test_reader_that_stops_early_closes_the_source_async() -> None:
    """The same on an event loop, by awaiting the source's own close."""
    pieces = Pieces("a", "b")
    async with aclosing(astream(emitting(pieces))) as driver:
        assert await anext(driver) == "A"
        assert pieces.closed == 0
    assert pieces.closed == 1
    assert pieces.left == ["b"]


async def test_cancelled_reader_closes_the_source() -> None:
    """A cancelled task is not an error that the procedure could take for the model's; the source is closed."""
    pieces, begun, caught = Pieces("a"), asyncio.Event(), list[Exception]()

    def flow() -> Flow[None]:
        yield Call(lambda: Source(pieces))
        try:
            yield Call(lambda: None, wait)
        except Exception as error:
            caught.append(error)

    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(arun(flow()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pieces.closed == 1
    assert caught == []


@STREAMS
def test_source_without_close_is_fine(drive: Drive) -> None:
    """A bare iterator has nothing to close."""

    class Bare:
        closed = None

        def __next__(self) -> str:
            raise StopIteration

        async def __anext__(self) -> str:
            raise StopAsyncIteration

        def __iter__(self) -> Iterator[str]:
            return self

        def __aiter__(self) -> AsyncIterator[str]:
            return self

    assert drive(emitting(Bare())) == ("", [])  # type: ignore[arg-type]


async def test_synchronous_step_does_not_block_the_loop() -> None:
    """A step without an asynchronous twin waits here for something only the running event loop can do."""
    released = threading.Event()

    def flow() -> Flow[bool]:
        return (yield Call(lambda: released.wait(timeout=30)))

    async def release() -> None:
        released.set()

    result, _ = await asyncio.gather(arun(flow()), release())
    assert result is True


async def test_asynchronous_twin_is_preferred() -> None:
    """On an event loop the asynchronous form runs, and runs on the loop's own thread."""
    threads: list[int] = []

    async def acall() -> str:
        threads.append(threading.get_ident())
        return "async"

    def flow() -> Flow[str]:
        return (yield Call(lambda: "sync", acall))

    assert await arun(flow()) == "async"
    assert threads == [threading.get_ident()]


@STREAMS
def test_relay_converts_what_is_emitted(drive: Drive) -> None:
    """Each piece goes through the conversion, which may emit none or several; calls and the result pass through."""

    def doubled(piece: str) -> Flow[None]:
        if piece != "B":
            yield Emit(piece)
            yield Emit((yield Call(lambda: piece * 2)))

    assert drive(relay(emitting(Pieces("a", "b", "c")), doubled)) == ("abc", ["A", "AA", "C", "CC"])


@STREAMS
def test_relay_throws_errors_of_steps_into_the_inner_procedure(drive: Drive) -> None:
    """An error of a step reaches the relayed procedure, not the conversion."""

    def same(piece: str) -> Generator[Any, Any, None]:
        yield Emit(piece)

    pieces = Pieces("a", error=ConnectionError("broken"))
    assert drive(relay(emitting(pieces), same)) == ("a", ["A", "failed: broken"])
    assert pieces.closed == 1


def test_relay_closes_the_inner_procedure() -> None:
    """A reader that stops early ends the relayed procedure, too."""
    ended: list[bool] = []

    def flow() -> Flow[None]:
        try:
            yield Emit("a")
            yield Emit("b")
        finally:
            ended.append(True)

    def same(piece: str) -> Flow[None]:
        yield Emit(piece)

    inner = flow()
    with closing(stream(relay(inner, same))) as driver:
        assert next(driver) == "a"
    assert ended == [True]


@DRIVERS
def test_all_streams_are_closed_though_one_cannot_be(drive: Drive) -> None:
    """The failure is told, once the others are."""

    class Stuck(Pieces):
        def close(self) -> None:
            super().close()
            raise OSError("stuck")

        async def aclose(self) -> None:
            self.close()

    opened = [Pieces("a"), Stuck("b"), Pieces("c")]

    def flow() -> Flow[None]:
        for each in opened:
            yield Call(lambda each=each: Source(each))

    with pytest.raises(OSError, match="stuck"):
        drive(flow())
    assert [each.closed for each in opened] == [1, 1, 1]
