"""How many things an engine has done at the same time, in threads and on event loops; more wait for their turn."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextvars import copy_context
from typing import TypeVar

from confroute.edge.endings import interrupt_at_exit, is_at_end
from confroute.edge.failures import passed_on
from confroute.edge.forks import renew_after_fork

T = TypeVar("T")


class Turns:
    """Has *most* things done at the same time in threads of its own, and as many on each event loop.

    These are not counted together: whoever blocks an event loop until a thread or another loop is done would wait for
    turns that the blocked loop's own tasks have. A thread ends when nothing waits for it. A thing that hangs keeps its
    turn, but the end of the process does not wait for it; one that computes is interrupted then, and those that wait
    for their turn are not begun any more. What a program asks for as it exits is done.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._renew()
        renew_after_fork(self._renew)

    def __reduce__(self) -> tuple[type[Turns], tuple[int]]:
        return Turns, (self._most,)  # no turn goes to another process, or to a copy

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._waiting: deque[Callable[[], None]] = deque()
        self._loops: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}

    def take(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """The results of all *calls*, made in threads. After the first error, or Ctrl-C, those that wait are given up
        and the others left behind: a thread cannot be ended."""
        futures: list[Future[T]] = []
        try:
            futures.extend(map(self._begin, calls))
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    async def in_thread(self, call: Callable[[], T]) -> T:
        """What *call* gives, made in a thread, which goes on to its end where the caller is cancelled."""
        return await asyncio.wrap_future(self._begin(call))

    async def on_loop(self, call: Callable[[], Awaitable[T]]) -> T:
        """What *call* gives, awaited on the running event loop."""
        async with self._of_the_loop():
            try:
                return await call()
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                raise passed_on(error) from None

    def _of_the_loop(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        for each in list(self._loops):
            if each.is_closed():
                self._loops.pop(each, None)  # which its semaphore holds, so that weak keys would not do
        return self._loops.setdefault(loop, self._loops.get(loop) or asyncio.Semaphore(self._most))

    def _begin(self, call: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        # A copy of the caller's, where tracers and the like live.
        context, is_last = copy_context(), is_at_end()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                if is_at_end() and not is_last:
                    raise SystemExit  # as is raised in what was under way
                result = context.run(call)
            except BaseException as error:
                future.set_exception(passed_on(error))
            else:
                future.set_result(result)

        with self._lock:
            if self._threads >= self._most:
                self._waiting.append(work)
                return future
            self._threads += 1
        # Whoever takes it counts the thread down: the thread at its end, or this, where Ctrl-C came before it began.
        first = deque([work])
        try:
            thread = threading.Thread(target=self._work, args=(first,), name="confroute sample", daemon=True)
            interrupt_at_exit(thread)
            thread.start()
        except BaseException:
            with self._lock:
                if first:
                    first.clear()
                    self._threads -= 1
            raise
        return future

    def _work(self, first: deque[Callable[[], None]]) -> None:
        with self._lock:
            work = first.popleft() if first else None
        while work is not None:
            work()
            with self._lock:
                work = self._waiting.popleft() if self._waiting else None
                self._threads -= work is None
