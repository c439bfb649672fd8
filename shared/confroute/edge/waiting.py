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
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from confroute.edge.cores import openmp

T = TypeVar("T")

_SECONDS = 0.2  # between two looks
_WANTED = 0.1  # of each second, as long as the threads of this process together wait for a processor where others do
_QUIET_LOOKS = 5  # until processors that were wanted count as idle
_TASKS = Path("/proc/self/task")


def in_thread_that_ends(work: Callable[[], T]) -> T:
    """What *work* gives. OpenMP keeps a team for each thread that it computed for, as long as that lives. Ctrl-C is not
    kept waiting; the work is done to its end then, and its result dropped."""
    pool = ThreadPoolExecutor(1, "confroute-load")
    try:
        result = pool.submit(work).result()
    except BaseException:
        pool.shutdown(wait=False)
        raise
    pool.shutdown()
    return result


class Waiting:
    """Decides how the threads of OpenMP wait, while a model is run.

    Where OpenMP is another's, its user has told it how to wait, or the kernel does not say who waits for a processor,
    all is left as it is.
    """

    def __init__(self) -> None:
        self._wanted = False  # whether processors were, when last looked

    @contextmanager
    def watched(self) -> Generator[None]:
        """While in here, a thread looks five times a second whether those of this process wait for processors."""
        team = _team()
        done = threading.Event()
        watch = threading.Thread(target=self._watch, args=(done, _Crowd(team)), name="confroute-watch")
        try:
            if team:
                with suppress(RuntimeError):  # the interpreter ends
                    watch.start()
            yield
        finally:
            done.set()
            if watch.ident:
                watch.join()

    def _watch(self, done: threading.Event, crowd: _Crowd) -> None:
        if self._wanted:
            crowd.gather()
        quiet_looks = 1
        before, since = delays(), time.monotonic()
        try:
            while not done.wait(_SECONDS):
                now, at = delays(), time.monotonic()
                waited = sum(delay - before.get(thread, 0) for thread, delay in now.items())
                quiet_looks = _QUIET_LOOKS if waited > _WANTED * (at - since) else quiet_looks - 1
                self._wanted = quiet_looks > 0
                if self._wanted:
                    crowd.gather()
                else:
                    crowd.dissolve()
                before, since = now, at
        finally:
            crowd.dissolve()


class _Crowd:
    """A team of so many threads that does nothing."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._over: threading.Event | None = None
        self._thread: threading.Thread | None = None

    def gather(self) -> None:
        if self._over is None:
            there, self._over = threading.Event(), threading.Event()
            self._thread = threading.Thread(target=self._stay, args=(there, self._over), name="confroute-crowd")
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
        import torch

        try:
            tell = openmp()
            if tell is not None:
                torch.get_num_threads()  # at its first use in a thread torch sets how many there are
                tell(self._size)
                torch.ones(1 << 17).add_(1)  # enough numbers that all of the team are called
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


def _team() -> int:
    """How many threads a team has to have so that those of OpenMP are more than the processors, beside the one that
    runs the model; 0 where that changes nothing."""
    import torch

    library = ctypes.CDLL(None)
    gnu = hasattr(library, "GOMP_parallel") and not hasattr(library, "__kmpc_fork_call")  # LLVM's has both
    told = any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"))
    cores = torch.get_num_threads()
    if openmp() is None or not gnu or told or cores == 1 or not delays():
        return 0
    return max(2, len(os.sched_getaffinity(0)) - cores + 2)
