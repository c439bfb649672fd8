"""An event loop in a thread of its own, which every thread and every other loop can hand coroutines to."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from confroute.errors import ModelError

T = TypeVar("T")


class BackgroundLoop:
    """Runs coroutines for callers that have no loop, or one that lives shorter than what the coroutines share. Those
    that `close` ends, and those that come later, are a ModelError to their callers."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._process = os.getpid()
        self._closing = False
        self._gate = threading.Lock()
        self._thread = threading.Thread(target=_run, args=(self._loop,), name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """False once closed, and in a process forked from the one that began it."""
        return not self._closing and self._thread.is_alive()

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result; Ctrl-C here cancels it."""
        future = self._submit(coroutine)
        try:
            return _result(future)
        finally:
            future.cancel()

    async def relay(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result, on the caller's own loop; cancelling the caller cancels it."""
        future = asyncio.wrap_future(self._submit(coroutine))
        try:
            # Awaited itself, it would be cancelled with the caller, and who was cancelled first not be known.
            await asyncio.wait([future])
        finally:
            future.cancel()
        return _result(future)

    def close(self, last: Coroutine[Any, Any, object]) -> None:
        """Cancel what runs, run *last*, and end the thread. Where the thread is another process's, nothing."""
        if os.getpid() != self._process:
            last.close()
            return
        with self._gate:
            first, self._closing = not self._closing, True
            if first:
                future = asyncio.run_coroutine_threadsafe(self._finish(last), self._loop)
                future.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._loop.stop))
            else:
                last.close()
        # The garbage collector may run this on any thread, the loop's own included, which cannot wait for itself.
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        with self._gate:
            if self.alive:
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        coroutine.close()
        raise _closed()

    async def _finish(self, last: Coroutine[Any, Any, object]) -> None:
        await _cancel_others()
        try:
            await last
        finally:
            await _cancel_others()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def _result(future: concurrent.futures.Future[T] | asyncio.Future[T]) -> T:
    try:
        return future.result()
    except (concurrent.futures.CancelledError, asyncio.CancelledError):
        # The caller would not be here if it had been cancelled.
        failure = _closed()
    raise failure


async def _cancel_others() -> None:
    while running := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.sleep(0)  # all have begun then, and no coroutine that they were to await is left behind
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _closed() -> ModelError:
    return ModelError("The engine was closed.")
