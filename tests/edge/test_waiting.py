"""OpenMP's threads stay awake where processors are idle, sleep where they are not, and no thread stays behind."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from confroute.edge import waiting
from confroute.edge.waiting import Waiting, delays
from tests.edge.threads import names

torch = pytest.importorskip("torch")
needs_linux = pytest.mark.skipif(not delays(), reason="a kernel that does not tell who waits for a processor")
needs_openmp = pytest.mark.skipif(waiting._gnu_openmp() is None, reason="no GNU OpenMP")


class Looks:
    """Stands for the clock, and for the end of what is watched: a look every fifth of a second, at *shares* of it that
    a thread has waited. A visit that is *brief* is over in little more than half of that."""

    def __init__(self, shares: list[float], brief: bool = False) -> None:
        self.shares: Iterator[float] = iter(shares)
        self.waited = 5.0
        self.now = 100.0
        self.brief = brief
        self.over = False

    def is_set(self) -> bool:
        return self.over

    def wait(self, seconds: float) -> None:
        share = next(self.shares, None)
        self.over = share is None or self.brief
        if share is not None:
            seconds *= 0.55 if self.brief else 1
            self.now += seconds
            self.waited += share * seconds


class Crowd:
    """Notes whether it is there at each look."""

    def __init__(self, looks: Looks) -> None:
        self.there = False
        self.seen: list[bool] = []
        self._wait = looks.wait
        looks.wait = self.look  # type: ignore[method-assign]

    def look(self, seconds: float) -> None:
        self.seen.append(self.there)
        self._wait(seconds)

    def gather(self) -> None:
        self.there = True

    def dissolve(self) -> None:
        self.there = False


def watched(monkeypatch: pytest.MonkeyPatch, shares: list[float], by: Waiting | None = None, **how: bool) -> str:
    """For each look whether the crowd was there meanwhile: "c", or not: "-"."""
    by = by or Waiting(int)
    looks = Looks(shares, **how)
    crowd: Any = Crowd(looks)
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: looks.now))
    monkeypatch.setattr(waiting, "delays", lambda: {1: looks.waited, 2: 3.0})
    visit = waiting._Visit()
    by._inside.add(visit)
    by._watch(looks, crowd)  # type: ignore[arg-type]
    assert not crowd.there, "It stayed when all was over."
    return "".join("c" if there else "-" for there in crowd.seen)


@pytest.mark.parametrize(
    ("shares", "there"),
    [
        ([], "-"),
        ([0.0, 0.0], "---"),
        ([0.05, 0.0], "---"),
        ([0.3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], "-ccccc--"),
        ([0.0, 0.3, 0.0], "--cc"),
        ([0.0, 0.3, 0.0, 0.0, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0], "--ccccccccc"),
    ],
    ids=["at once over", "idle", "nearly idle", "idle later", "busy later", "busy again"],
)
def test_a_crowd_is_there_while_processors_are_wanted(
    monkeypatch: pytest.MonkeyPatch, shares: list[float], there: str
) -> None:
    """It comes at the first look that sees it, and goes after a second of idle ones."""
    assert watched(monkeypatch, shares) == there


def test_what_was_seen_last_holds_for_who_comes_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes while processors are wanted finds the crowd there, until a second of idle looks is full."""
    by = Waiting(int)
    assert watched(monkeypatch, [0.5], by) == "-c"
    assert watched(monkeypatch, [0.5, 0.0], by) == "ccc"
    assert watched(monkeypatch, [0.0, 0.0, 0.0, 0.0], by) == "cccc-"
    assert watched(monkeypatch, [0.0], by) == "--"


def test_brief_visits_are_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of a tenth of a second each are as one that takes as long as both."""
    by = Waiting(int)
    assert [watched(monkeypatch, [0.5], by, brief=True) for _ in range(3)] == ["-", "-", "c"]
    assert "".join(watched(monkeypatch, [0.0], by, brief=True) for _ in range(12)) == "ccccccccccc-"


def test_threads_that_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has ended takes nothing from what others waited, and one that is new has waited since it is there."""
    told = iter([{1: 50.0}, {2: 0.001}, {2: 0.001, 3: 0.15}, *[{2: 0.001}] * 2])
    looks = Looks([0.0, 0.0, 0.0])
    crowd: Any = Crowd(looks)
    by = Waiting(int)
    visit = waiting._Visit()
    by._inside.add(visit)
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: looks.now))
    monkeypatch.setattr(waiting, "delays", lambda: next(told))
    by._watch(looks, crowd)  # type: ignore[arg-type]
    assert crowd.seen == [False, False, True, True]


@needs_linux
def test_delays_are_of_each_thread() -> None:
    """Of those that live, in seconds that never become fewer."""
    before = delays()
    assert threading.get_native_id() in before
    assert all(0 <= delay <= after for delay, after in ((before[i], d) for i, d in delays().items() if i in before))
    told: list[bool] = []
    thread = threading.Thread(target=lambda: told.append(threading.get_native_id() in delays()))
    thread.start()
    thread.join()
    assert told == [True]


def test_without_what_linux_tells_there_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nor where a kernel has the file, but nothing in it."""
    monkeypatch.setattr(waiting, "_TASKS", tmp_path / "none")
    assert delays() == {}
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "schedstat").write_text("")
    monkeypatch.setattr(waiting, "_TASKS", tmp_path)
    assert delays() == {}


@pytest.mark.parametrize(
    ("environment", "threads", "told", "loaded", "team"),
    [
        ({}, 8, True, True, 2),
        ({}, 4, True, True, 6),
        ({}, 2, True, True, 8),
        ({}, 20, True, True, 2),
        ({}, 1, True, True, 0),
        ({"OMP_WAIT_POLICY": "active"}, 8, True, True, 0),
        ({"GOMP_SPINCOUNT": "100"}, 8, True, True, 0),
        ({}, 8, False, True, 0),
        ({}, 8, True, False, 0),
    ],
)
def test_how_many_are_a_crowd(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], threads: int, told: bool, loaded: bool, team: int
) -> None:
    """With the model's threads they are more than the eight processors; none where OpenMP is not GNU's, heeds what its
    user said, has one thread, or nobody tells who waits."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(waiting, "_gnu_openmp", lambda: object() if loaded else None)
    monkeypatch.setattr(waiting, "delays", lambda: {1: 0.0} if told else {})
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert waiting._team(threads) == team
    assert not team or team + threads > 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert waiting._team(threads) == 0, "OpenMP ends the process where it gets no thread, as may be with so many."


@pytest.mark.parametrize(
    ("symbols", "gnu"), [({"GOMP_parallel"}, True), ({"GOMP_parallel", "__kmpc_fork_call"}, False), (set[str](), False)]
)
def test_another_library_of_that_name_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, symbols: set[str], gnu: bool
) -> None:
    """As LLVM's, that has GNU's symbols and its own."""
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(**dict.fromkeys(symbols)))
    monkeypatch.setattr(os, "RTLD_NOLOAD", 4, raising=False)
    assert (waiting._gnu_openmp() is not None) is gnu


@needs_linux
@needs_openmp
def test_a_crowd_is_threads_and_goes() -> None:
    """As many as it is to have, however often it is told to come or to go."""
    crowd = waiting._Crowd(4)
    for _ in range(3):
        before = set(delays())
        for _ in range(2):
            crowd.gather()
        assert len(set(delays()) - before) == 4
        for _ in range(2):
            crowd.dissolve()
        deadline = time.monotonic() + 5
        while set(delays()) - before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert "confroute-crowd" not in names()


def test_at_the_end_of_a_process_nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread can be begun then, which is no error."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(waiting, "_team", lambda _: 2)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Waiting(int).watched():
        pass
    crowd = waiting._Crowd(2)
    crowd.gather()
    crowd.dissolve()


def test_all_who_ask_at_once_are_watched_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """By one thread, that is there until the last of them leaves; after which another may be."""
    monkeypatch.setattr(waiting, "_team", lambda _: 2)
    by = Waiting(int)
    for _ in range(2):
        with ExitStack() as first, ExitStack() as second:
            first.enter_context(by.watched())
            second.enter_context(by.watched())
            assert [each.name for each in threading.enumerate()].count("confroute-watch") == 1
            first.close()
            assert "confroute-watch" in names()
        assert "confroute-watch" not in names()


def test_a_process_forked_meanwhile_is_watched_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads of the other one are not there, which is no reason to wait for them, nor to count on them later."""
    monkeypatch.setattr(waiting, "_team", lambda _: 2)
    by = Waiting(int)
    with by.watched():
        watcher, done = by._watcher, by._over
        by._begin()  # as at a fork
        with by.watched():
            assert by._watcher not in (None, watcher)
        assert by._watcher is None
    with by.watched():
        assert by._watcher is not None
    done.set()
    assert watcher is not None
    watcher.join()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer")
def test_an_interrupt_anywhere_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a thread nor a visit that never ends; and the next request is watched again."""
    monkeypatch.setattr(waiting, "_team", lambda _: 2)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    numbers = random.Random(0)
    by = Waiting(int)
    usual = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(300):
            with suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, numbers.uniform(2e-5, 1.5e-3))
                with by.watched():
                    time.sleep(0.01)
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, usual)
    assert not by._inside
    deadline = time.monotonic() + 5
    while names() & {"confroute-watch", "confroute-crowd"}:
        assert time.monotonic() < deadline, names()
        time.sleep(0.01)
    with by.watched():
        assert "confroute-watch" in names()


def test_a_crowd_that_fails_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the library does; the error is that of the crowd's own thread."""

    def odd() -> Any:
        raise MemoryError

    monkeypatch.setattr(waiting, "_team", lambda _: 2)
    monkeypatch.setattr(waiting, "_gnu_openmp", odd)
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    by = Waiting(int)
    by._looks = 5
    with by.watched():
        time.sleep(0.05)
    assert [each.exc_type for each in told] == [MemoryError]
    assert not names() & {"confroute-watch", "confroute-crowd"}


_SLEEPS = """
import resource, threading, time
import torch
from confroute.edge.waiting import _Crowd, delays

def sleeps():
    numbers = torch.ones(1 << 16)
    numbers.add_(1)
    before, since, waited = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw, time.monotonic(), sum(delays().values())
    for _ in range(300):
        numbers.add_(1)
    slept = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before
    busy = sum(delays().values()) - waited > 0.02 * (time.monotonic() - since)
    told.append(None if busy else slept)

torch.set_num_threads(2)
told = []
crowd = _Crowd(2)
for _ in range(10):
    for change in (crowd.gather, crowd.dissolve):
        change()
        thread = threading.Thread(target=sleeps)
        thread.start()
        thread.join()
pairs = [pair for pair in zip(told[::2], told[1::2]) if None not in pair]
print(any(crowded > 3 * alone for crowded, alone in pairs) if pairs else "busy", told)
"""


@needs_linux
@needs_openmp
@pytest.mark.skipif(len(delays()) == 0 or len(os.sched_getaffinity(0)) != 2, reason="made for two processors")
def test_threads_sleep_beside_a_crowd_alone() -> None:
    """In a process of its own, as in this one others have computed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    run = [sys.executable, "-c", _SLEEPS]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=True, env=environment)  # noqa: S603
    if done.stdout.startswith("busy"):
        pytest.skip("Others want the processors, beside whom threads sleep in any case.")
    assert done.stdout.startswith("True"), done.stdout
