"""Work in a thread of its own is awaited like a coroutine, and neither waits for others nor keeps them waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from confroute import SamplingOptions
from confroute.edge.own_thread import in_own_thread
from confroute.edge.transformers import TransformersEngine
from tests.edge.tiny_models import QUESTION

called_by: ContextVar[str] = ContextVar("called_by", default="nobody")


def divided(dividend: int, *, by: int) -> tuple[float, str]:
    return dividend / by, called_by.get()


async def test_what_it_gives_or_raises_in_the_callers_context() -> None:
    """Whatever that is."""
    called_by.set("the test")
    assert await in_own_thread(divided, 6, by=4) == (1.5, "the test")
    with pytest.raises(ZeroDivisionError):
        await in_own_thread(divided, 6, by=0)


async def test_as_many_at_once_as_are_asked_for() -> None:
    """Each of a hundred waits for all others."""
    barrier = threading.Barrier(100)
    await asyncio.gather(*(in_own_thread(barrier.wait, 20) for _ in range(100)))


async def test_who_is_cancelled_does_not_wait() -> None:
    """The work goes on to its end, and its thread goes with it."""
    begun, go_on, threads = threading.Event(), threading.Event(), list[threading.Thread]()

    def work() -> None:
        threads.append(threading.current_thread())
        begun.set()
        go_on.wait(20)

    task = asyncio.create_task(in_own_thread(work))
    await asyncio.to_thread(begun.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert threads[0].is_alive()
    go_on.set()
    threads[0].join(20)
    assert not threads[0].is_alive()


@asynccontextmanager
async def without_threads() -> AsyncGenerator[None]:
    """The event loop's own threads are all at work for somebody else."""
    go_on = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        pool.submit(go_on.wait, 60)
        try:
            yield
        finally:
            go_on.set()


async def answered(engine: Any) -> None:
    options = SamplingOptions(max_tokens=3)
    async with without_threads():
        each = (engine.agenerate(QUESTION, n=1, options=options) for _ in range(8))
        replies = await asyncio.wait_for(asyncio.gather(*each), 50)
    assert all(reply.samples[0].output_tokens for reply in replies)


async def test_torch_leaves_the_loops_threads_alone(tiny: Callable[..., TransformersEngine]) -> None:
    """Who has them all keeps no request waiting."""
    await answered(tiny())


@pytest.mark.real_model
async def test_llamacpp_leaves_the_loops_threads_alone(small_llamacpp: Any) -> None:
    """Nor do its own requests wait for them, of which it can answer more at once than there are."""
    await answered(small_llamacpp)
