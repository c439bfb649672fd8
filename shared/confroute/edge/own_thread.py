"""A request's work in a thread of its own, awaited.

`asyncio.to_thread` has few more threads than there are cores, six on two: other requests would wait for one though the
engine has room for them, and so would whatever else the application hands to its event loop's threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_own_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What *work* gives, in the caller's context. Who is cancelled does not wait for it; it goes on to its end."""
    return await asyncio.wrap_future(begun(work, *args, **kwargs))


async def in_daemon(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same in a thread that the process does not wait for at its end. Who uses it has to break the work off."""
    return await asyncio.wrap_future(_begun(True, work, *args, **kwargs))


def begun(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """*work* under way in a thread of its own, in the caller's context."""
    return _begun(False, work, *args, **kwargs)


def _begun(daemon: bool, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    outcome: Future[T] = Future()
    outcome.set_running_or_notify_cancel()  # nor can it be cancelled any more
    context = copy_context()

    def do() -> None:
        try:
            result = context.run(work, *args, **kwargs)
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    threading.Thread(target=do, name="confroute-request", daemon=daemon).start()
    return outcome
