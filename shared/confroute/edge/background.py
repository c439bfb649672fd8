"""An event loop in a thread of its own, which every thread and every other loop can hand coroutines to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class BackgroundLoop:
    """Runs coroutines for callers that have no loop, or one that lives shorter than what the coroutines share."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """False once closed, and in a process forked from the one that began it."""
        return self._thread.is_alive()

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result; Ctrl-C here cancels it."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()

    async def relay(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result, on the caller's own loop; cancelling the caller cancels it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def close(self, last: Coroutine[Any, Any, object]) -> None:
        """Cancel what runs, run *last*, and end the thread."""
        future = asyncio.run_coroutine_threadsafe(self._finish(last), self._loop)
        future.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._loop.stop))
        # The garbage collector may run this on any thread, the loop's own included, which cannot wait for itself.
        if threading.current_thread() is not self._thread:
            self._thread.join()
            self._loop.close()

    async def _finish(self, last: Coroutine[Any, Any, object]) -> None:
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await last
