"""OpenMP's threads stay awake where processors are idle, sleep where they are not, and no thread stays behind."""

from __future__ import annotations

import _thread
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from confroute.edge import transformers as engines
from confroute.edge import waiting
from confroute.edge.cores import openmp
from confroute.edge.transformers import TransformersEngine
from confroute.edge.waiting import Waiting, delays, in_thread_that_ends
from tests.edge.tiny_models import QUESTION, SAMPLING, passes_of, until_idle

torch = pytest.importorskip("torch")
needs_linux = pytest.mark.skipif(not delays(), reason="a kernel that does not tell who waits for a processor")
needs_openmp = pytest.mark.skipif(openmp() is None, reason="torch without OpenMP, or with one out of reach")


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("confroute-")}


def test_work_is_done_in_a_thread_that_has_ended() -> None:
    """Its result comes back, and so does its error."""
    thread = in_thread_that_ends(threading.current_thread)
    assert thread is not threading.current_thread()
    assert not thread.is_alive()
    with pytest.raises(ZeroDivisionError):
        in_thread_that_ends(lambda: 1 // 0)


def test_ctrl_c_is_not_kept_waiting() -> None:
    """Whoever presses it while a model is loaded has control back before that is done."""
    goes_on = threading.Event()

    def work() -> None:
        _thread.interrupt_main()
        goes_on.wait()

    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            in_thread_that_ends(work)
        assert not goes_on.is_set()
    finally:
        goes_on.set()
        signal.signal(signal.SIGINT, usual)


class Looks:
    """Stands for the clock, and for the end of what is watched: a look every fifth of a second, at *shares* of it that
    a thread has waited."""

    def __init__(self, shares: list[float]) -> None:
        self.shares: Iterator[float] = iter(shares)
        self.waited = 5.0
        self.now = 100.0

    def wait(self, seconds: float) -> bool:
        share = next(self.shares, None)
        if share is None:
            return True
        self.now += seconds
        self.waited += share * seconds
        return False


class Crowd:
    """Notes whether it is there before each look, and at the end."""

    def __init__(self, looks: Looks) -> None:
        self.there = False
        self.seen: list[bool] = []
        self._wait = looks.wait
        looks.wait = self.look  # type: ignore[method-assign]

    def look(self, seconds: float) -> bool:
        self.seen.append(self.there)
        return self._wait(seconds)

    def gather(self) -> None:
        self.there = True

    def dissolve(self) -> None:
        self.there = False


def watched(monkeypatch: pytest.MonkeyPatch, shares: list[float], by: Waiting | None = None) -> str:
    """For each look whether the crowd was there before it: "c", or not: "-"."""
    looks = Looks(shares)
    crowd: Any = Crowd(looks)
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: looks.now))
    monkeypatch.setattr(waiting, "delays", lambda: {1: looks.waited, 2: 3.0})
    (by or Waiting())._watch(looks, crowd)  # type: ignore[arg-type]
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


def test_what_was_seen_last_holds_until_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes while processors are wanted finds the crowd there, and one idle look is enough then."""
    by = Waiting()
    assert watched(monkeypatch, [0.5], by) == "-c"
    assert watched(monkeypatch, [0.5, 0.0], by) == "ccc"
    assert watched(monkeypatch, [0.0], by) == "c-"
    assert watched(monkeypatch, [0.0], by) == "--"


def test_threads_that_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has ended takes nothing from what others waited, and one that is new has waited since it is there."""
    told = iter([{1: 50.0}, {2: 0.001}, {2: 0.001, 3: 0.15}, {2: 0.001}])
    looks = Looks([0.0, 0.0, 0.0])
    crowd: Any = Crowd(looks)
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: looks.now))
    monkeypatch.setattr(waiting, "delays", lambda: next(told))
    Waiting()._watch(looks, crowd)  # type: ignore[arg-type]
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
    ("symbols", "environment", "threads", "told", "team"),
    [
        ({"GOMP_parallel"}, {}, 8, True, 2),
        ({"GOMP_parallel"}, {}, 4, True, 6),
        ({"GOMP_parallel"}, {}, 20, True, 2),
        ({"GOMP_parallel"}, {}, 1, True, 0),
        ({"GOMP_parallel", "__kmpc_fork_call"}, {}, 8, True, 0),
        (set[str](), {}, 8, True, 0),
        ({"GOMP_parallel"}, {"OMP_WAIT_POLICY": "active"}, 8, True, 0),
        ({"GOMP_parallel"}, {"GOMP_SPINCOUNT": "100"}, 8, True, 0),
        ({"GOMP_parallel"}, {}, 8, False, 0),
    ],
)
def test_how_many_are_a_crowd(
    monkeypatch: pytest.MonkeyPatch,
    symbols: set[str],
    environment: dict[str, str],
    threads: int,
    told: bool,
    team: int,
) -> None:
    """With the model's threads they are more than the eight processors; none where OpenMP is not GNU's, heeds what its
    user said, has one thread, or nobody tells who waits."""
    library = SimpleNamespace(**dict.fromkeys(symbols))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(waiting, "openmp", lambda: print)
    monkeypatch.setattr(waiting, "delays", lambda: {1: 0.0} if told else {})
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert waiting._team() == team
    assert not team or team + threads > 8


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

    monkeypatch.setattr(waiting, "_team", lambda: 2)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Waiting().watched():
        pass
    crowd = waiting._Crowd(2)
    crowd.gather()
    crowd.dissolve()


_SLEEPS = """
import resource, threading, torch
from confroute.edge.waiting import _Crowd

def sleeps():
    numbers = torch.ones(1 << 16)
    numbers.add_(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    for _ in range(300):
        numbers.add_(1)
    told.append(resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before)

torch.set_num_threads(2)
told = []
crowd = _Crowd(2)
for _ in range(5):
    for change in (crowd.gather, crowd.dissolve):
        change()
        thread = threading.Thread(target=sleeps)
        thread.start()
        thread.join()
print(any(crowded > 3 * alone for crowded, alone in zip(told[::2], told[1::2])), told)
"""


@needs_linux
@needs_openmp
@pytest.mark.skipif(len(delays()) == 0 or len(os.sched_getaffinity(0)) != 2, reason="made for two processors")
def test_threads_sleep_beside_a_crowd_alone() -> None:
    """In a process of its own, as in this one others have computed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    run = [sys.executable, "-c", _SLEEPS]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=True, env=environment)  # noqa: S603
    assert done.stdout.startswith("True"), done.stdout


def test_a_model_is_watched_while_it_runs(
    tiny: Callable[..., TransformersEngine], torch_device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a thread that ends with it; on an accelerator there is nothing to watch."""
    monkeypatch.setattr(waiting, "_team", lambda: 2)
    engine = TransformersEngine(tiny()._checkpoint, device=torch_device)
    tried: list[threading.Thread] = []

    def trial(model: Any) -> bool:
        tried.append(threading.current_thread())
        return usual(model)

    usual = engines.runs_ragged
    monkeypatch.setattr(engines, "runs_ragged", trial)
    engine.load()
    on_cpu = torch_device == "cpu"
    assert (threading.current_thread() in tried) is not on_cpu
    assert not on_cpu or not tried[0].is_alive()
    seen: list[set[str]] = []
    passes = passes_of(engine)
    run = passes.run

    def noting(*args: Any, **options: Any) -> Any:
        seen.append(names())
        return run(*args, **options)

    monkeypatch.setattr(passes, "run", noting)
    for _ in range(2):
        engine.generate(QUESTION, n=2, options=SAMPLING)
        until_idle()
        assert not names() & {"confroute-watch", "confroute-crowd", "confroute-load"}
    assert seen
    assert all(("confroute-watch" in each) is on_cpu for each in seen)
