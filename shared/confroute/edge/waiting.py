"""How OpenMP's threads wait for each other: awake while processors are idle, asleep where others want them.

A thread that is woken starts to work up to 0.1 ms later on a virtual machine, and a pass of a model hands work from
thread to thread hundreds of times. One that stays awake has its processor to itself, though, and if it waits for
another that gets none, it does so for milliseconds. GNU's OpenMP lets its threads stay awake while a process has no
more of them than there are processors, and sleep otherwise. So there is one team of them alone, or a second one that
does nothing but be there.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
import weakref
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from confroute.edge.endings import end_before_exit, interrupt
from confroute.edge.forks import renew_after_fork

T = TypeVar("T")

_SECONDS = 0.2  # between two looks
_WANTED = 0.1  # of each second, as long as the threads of this process together wait for a processor where others do
_LOOKS = 5  # until processors that were wanted count as idle
_MOST = 8  # threads of a team that does nothing
_TASKS = Path("/proc/self/task")


def in_thread_that_ends(work: Callable[[], T]) -> T:
    """What *work* gives. OpenMP keeps a team for each thread that it computed for, as long as that lives. Ctrl-C
    interrupts the work, and so does the end of the process, after which this raises SystemExit."""
    outcome: Future[T] = Future()
    within = _Thread(lambda: outcome.set_result(work()), outcome.set_exception)
    end_before_exit(within)
    try:
        within.run()
    except BaseException:
        within.end()
        raise
    return outcome.result()


class _Thread:
    """A thread whose work can be broken off by another."""

    def __init__(self, work: Callable[[], None], fail: Callable[[BaseException], None]) -> None:
        self._work = work
        self._fail = fail
        self._given_up, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._do, name="confroute-load", daemon=True)

    def run(self) -> None:
        self._thread.start()
        self._ended.wait()  # a join that is interrupted takes the thread for ended, up to Python 3.12
        self._thread.join()

    def end(self) -> None:
        self._given_up.set()
        if self._thread.ident is not None:
            interrupt(self._thread)
            self._thread.join()

    def _do(self) -> None:
        with suppress(SystemExit):  # one that came too late
            try:
                if self._given_up.is_set():
                    raise SystemExit
                self._work()
            except BaseException as error:
                self._fail(error)
            finally:
                self._ended.set()


class Waiting:
    """Decides how the threads of OpenMP wait, while a model is run by so many of them.

    Where OpenMP is another's, its user has told it how to wait, or the kernel does not say who waits for a processor,
    all is left as it is.
    """

    def __init__(self, threads: Callable[[], int]) -> None:
        self._threads = threads
        self._looks = 0  # that have to find processors idle until they count as that
        self._begin()
        renew_after_fork(self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._inside: weakref.WeakSet[_Visit] = weakref.WeakSet()
        self._watcher: threading.Thread | None = None
        self._over = threading.Event()
        self._waited = self._watched = 0.0  # seconds since the last look: those that threads have waited, and all

    @contextmanager
    def watched(self) -> Generator[None]:
        """While anybody is in here, a thread looks five times a second whether those of this process wait for
        processors."""
        # An interrupt may come anywhere; what is left of a visit then ends with it.
        visit = _Visit()
        watcher: threading.Thread | None = None
        try:
            with self._lock:
                self._inside.add(visit)
                if self._watcher is None or self._over.is_set() or not self._watcher.is_alive():
                    self._start()
            yield
        finally:
            with self._lock:
                self._inside.discard(visit)
                if not self._inside:
                    self._over.set()
                    watcher, self._watcher = self._watcher, None
            if watcher is not None and watcher.ident:
                watcher.join()

    def _start(self) -> None:
        team = _team(self._threads())
        if team:
            self._over = threading.Event()
            crowd = _Crowd(team)
            self._watcher = threading.Thread(
                target=self._watch, args=(self._over, crowd), name="confroute-watch", daemon=True
            )
            with suppress(RuntimeError):  # the interpreter ends
                self._watcher.start()

    def _watch(self, over: threading.Event, crowd: _Crowd) -> None:
        before, since = delays(), time.monotonic()
        try:
            while not over.is_set() and self._inside:
                if self._looks:
                    crowd.gather()
                else:
                    crowd.dissolve()
                over.wait(_SECONDS)
                now, at = delays(), time.monotonic()
                self._waited += sum(delay - before.get(thread, 0) for thread, delay in now.items())
                self._watched += at - since
                before, since = now, at
                # Requests may be shorter than it takes to see anything.
                if self._watched >= _SECONDS:
                    wanted = self._waited > _WANTED * self._watched
                    self._looks = _LOOKS if wanted else max(0, self._looks - 1)
                    self._waited = self._watched = 0
        finally:
            crowd.dissolve()


class _Visit:
    """Somebody whose threads are watched."""


class _Crowd:
    """A team of so many threads that does nothing."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._over: threading.Event | None = None
        self._thread: threading.Thread | None = None

    def gather(self) -> None:
        if self._over is None:
            there, self._over = threading.Event(), threading.Event()
            self._thread = threading.Thread(
                target=self._stay, args=(there, self._over), name="confroute-crowd", daemon=True
            )
            with suppress(RuntimeError):  # the interpreter ends
                self._thread.start()
                there.wait()

    def dissolve(self) -> None:
        if self._over is not None and self._thread is not None:
            self._over.set()
            if self._thread.ident:
                self._thread.join()
            self._over = None

    def _stay(self, there: threading.Event, over: threading.Event) -> None:
        try:
            library = _gnu_openmp()
            if library is not None:
                # As a compiler would have it called for a block that all threads of a team are to run.
                nothing = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)
                library.GOMP_parallel(nothing, None, ctypes.c_uint(self._size), ctypes.c_uint(0))
        finally:
            there.set()
        over.wait()


def delays() -> Mapping[int, float]:
    """The seconds that each thread of this process has waited for a processor, all its life; nothing where the kernel
    does not tell."""
    told: dict[int, float] = {}
    with suppress(OSError):
        for task in _TASKS.iterdir():
            with suppress(OSError, ValueError, IndexError):  # it may end meanwhile
                told[int(task.name)] = int((task / "schedstat").read_text().split()[1]) / 1e9
    return told


def _team(threads: int) -> int:
    """How many threads a team has to have so that those of OpenMP are more than the processors, beside the *threads*
    that run the model; 0 where that changes nothing, or would take many: OpenMP ends the process if it gets none."""
    told = any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"))
    if threads < 2 or told or not delays() or _gnu_openmp() is None:
        return 0
    team = max(2, len(os.sched_getaffinity(0)) - threads + 2)
    return team if team <= _MOST else 0


def _gnu_openmp() -> Any:
    """The library, if this process has loaded it."""
    try:
        library = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD)
    except OSError:
        return None
    # LLVM's takes its name, and its symbols, too.
    return library if hasattr(library, "GOMP_parallel") and not hasattr(library, "__kmpc_fork_call") else None
