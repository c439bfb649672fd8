"""How a process ends that a model runs in.

Python ends its daemon threads where they next come back to it. One that comes from torch's C++ takes the process with
it, which then has the status of an abort and not its own.

C++ takes its own objects apart at the very end, among them what llama.cpp's threads work with. A thread that still
decodes then ends the process with a segmentation fault; and in a forked process, which has none of these threads, that
end waits for them for ever.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
import time
import weakref
from contextlib import suppress
from typing import Protocol


class Ending(Protocol):
    def end(self) -> None:
        """Stop what is under way, and begin nothing more."""
        ...


_SECONDS_TO_STOP = 10.0
"""What a pass of a model may take that others run in this process."""
_THAT_WAIT = frozenset(
    {
        "anthropic",
        "asyncio",
        "backoff",
        "botocore",
        "cohere",
        "google",
        "groq",
        "grpc",
        "http",
        "httpcore",
        "mistralai",
        "openai",
        "queue",
        "selectors",
        "socket",
        "ssl",
        "subprocess",
        "tenacity",
        "threading",
        "urllib3",
    }
)
"""Packages in whose functions a thread waits for another, for a server, or until it asks that again."""

_living: weakref.WeakSet[Ending] = weakref.WeakSet()
_of_cpp: weakref.WeakSet[Ending] = weakref.WeakSet()  # those with threads that C++ waits for
_at_work: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
_interruptible: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
_has_ended = False
_lacks_threads = False  # as this process was forked from one that had engines


def end_before_exit(engine: Ending, *, of_cpp: bool = False) -> None:
    """Have ``engine.end()`` called when the interpreter exits, after all threads but daemons have ended; at once where
    it does already. Where it is one *of_cpp*, which waits for threads of its own, forked processes leave at once."""
    _living.add(engine)
    if of_cpp:
        _of_cpp.add(engine)
    if _has_ended:
        engine.end()


def wait_for(thread: threading.Thread) -> None:
    """Have the exit of the interpreter wait for this daemon, once all engines were told to end. It may outlive its
    engine, which is taken apart in it where it is the last to let go of it."""
    _at_work.add(thread)


def interrupt_at_exit(thread: threading.Thread) -> None:
    """Have this daemon, which does what others wrote, interrupted when the interpreter exits, and waited for while it
    computes. One that waits for a server may do so for ever, and is left behind."""
    _interruptible.add(thread)


def interrupt(thread: threading.Thread) -> None:
    """Raise SystemExit in *thread* where it next comes back to Python; nobody is told of it where it ends with it."""
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))


def is_at_end() -> bool:
    """Whether the interpreter exits, all threads but daemons having ended."""
    return _has_ended


def hold(of_cpp: object) -> None:
    """Have an object of C++ live as long as the process. Its end would wait for threads that are not there."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(of_cpp))


def hold_where_forked(of_cpp: object) -> None:
    """The same in a process forked from one that had engines: of llama.cpp's threads, some are the whole process's."""
    if _lacks_threads:
        hold(of_cpp)


def leave_at_once() -> None:
    """Have this process end, with its status, as soon as Python is done with it, before C++ comes to its own objects.
    On Linux; elsewhere it ends as it would."""
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        # Called with the status, as the first of the functions that were registered.
        libc.on_exit(libc._exit, None)


def _end() -> None:
    global _has_ended
    _has_ended = True
    for engine in tuple(_living):
        engine.end()
    for thread in tuple(_at_work):
        thread.join()
    interrupted = [thread for thread in tuple(_interruptible) if thread.is_alive()]
    for thread in interrupted:
        interrupt(thread)
    latest = time.monotonic() + _SECONDS_TO_STOP
    for thread in interrupted:
        while thread.is_alive() and time.monotonic() < latest and not _only_waits(thread):
            thread.join(0.02)


def _only_waits(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)  # pyright: ignore[reportPrivateUsage]
    return frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _THAT_WAIT


def _forked() -> None:
    global _lacks_threads
    if _of_cpp and not _lacks_threads:
        _lacks_threads = True
        leave_at_once()


atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
