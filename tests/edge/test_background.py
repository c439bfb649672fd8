"""The loop in a thread: whoever hands it a coroutine is told what became of it, whenever the loop ends."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from confroute import ModelError
from confroute.edge.background import BackgroundLoop


async def nothing() -> None:
    pass


async def for_ever() -> None:
    await asyncio.Event().wait()


def outcome(loop: BackgroundLoop, work: Coroutine[Any, Any, object], *, on_loop: bool) -> str:
    """What a caller of `wait` or `relay` is told."""
    try:
        return str(asyncio.run(loop.relay(work)) if on_loop else loop.wait(work))
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("on_loop", [False, True])
def test_what_runs_when_the_loop_closes_fails(on_loop: bool) -> None:
    """As a ModelError: nobody cancelled the caller, who could not tell it from having been."""
    loop = BackgroundLoop("test")
    with ThreadPoolExecutor(1) as pool:
        begun = threading.Event()

        async def work() -> None:
            begun.set()
            await for_ever()

        told = pool.submit(outcome, loop, work(), on_loop=on_loop)
        assert begun.wait(5)
        loop.close(nothing())
        assert told.result(5) == "ModelError: The engine was closed."
    assert not loop.alive


@pytest.mark.parametrize("on_loop", [False, True])
def test_what_comes_while_the_loop_closes_is_turned_away(on_loop: bool) -> None:
    """It would never be run, and its caller wait for ever."""
    loop = BackgroundLoop("test")
    closing, go_on = threading.Event(), threading.Event()

    async def last() -> None:
        closing.set()
        await asyncio.to_thread(go_on.wait, 5)

    with ThreadPoolExecutor(2) as pool:
        closed = pool.submit(loop.close, last())
        assert closing.wait(5)
        assert not loop.alive
        told = pool.submit(outcome, loop, for_ever(), on_loop=on_loop)
        assert told.result(5) == "ModelError: The engine was closed."
        go_on.set()
        closed.result(5)


def test_what_the_cancelled_begin_is_cancelled_too() -> None:
    """The loop ends with no task left, those that another begins in its end included."""
    loop = BackgroundLoop("test")
    ended: list[str] = []

    async def late() -> None:
        try:
            await for_ever()
        finally:
            ended.append("late")

    async def stubborn() -> None:
        try:
            await for_ever()
        finally:
            stubborn.task = asyncio.ensure_future(late())  # type: ignore[attr-defined]

    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(outcome, loop, stubborn(), on_loop=False)
        loop.wait(asyncio.sleep(0.05))
        loop.close(nothing())
        assert told.result(5) == "ModelError: The engine was closed."
    assert ended == ["late"]


def test_a_cancelled_caller_is_cancelled() -> None:
    """And what ran for it; the loop goes on."""
    loop = BackgroundLoop("test")
    ended = threading.Event()

    async def work() -> None:
        try:
            await for_ever()
        finally:
            ended.set()

    async def cancel() -> None:
        task = asyncio.create_task(loop.relay(work()))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert ended.wait(5)
    assert loop.wait(asyncio.sleep(0, "well")) == "well"
    loop.close(nothing())


def test_closing_among_callers_leaves_none_waiting() -> None:
    """Any number of closers and callers at the same time: each caller has a result or a ModelError."""
    end = time.monotonic() + 1.5
    loops = [BackgroundLoop("test")]
    told: set[str] = set()

    def call() -> None:
        while time.monotonic() < end:
            told.add(outcome(loops[-1], asyncio.sleep(0, "well"), on_loop=False))

    def close() -> None:
        while time.monotonic() < end:
            old = loops[-1]
            loops.append(BackgroundLoop("test"))
            old.close(nothing())

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=each, daemon=True) for each in (call, call, call, close, close)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)
    finally:
        sys.setswitchinterval(usual)
    for loop in loops:
        loop.close(nothing())
    assert told <= {"well", "ModelError: The engine was closed."}
    assert "well" in told


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_leaves_its_parents_loop_alone() -> None:
    """It has no such thread to end, and what it closes is not its own."""
    loop = BackgroundLoop("test")
    child = os.fork()
    if not child:
        try:
            loop.close(nothing())
            os._exit(1 if loop.alive else 0)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert loop.wait(asyncio.sleep(0, "well")) == "well"
    loop.close(nothing())


def test_a_closed_loop_is_an_error_that_escalates() -> None:
    """Of a kind that the router knows."""
    loop = BackgroundLoop("test")
    loop.close(nothing())
    loop.close(nothing())
    with pytest.raises(ModelError, match="closed"):
        loop.wait(nothing())
