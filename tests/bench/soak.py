"""Two thousand short requests to the real model, by threads and tasks at the same time, and how soon it stops.

    python tests/bench/soak.py [--device cpu] [--requests 2000]

Sixteen threads and sixteen tasks ask each engine for the capitals of twelve countries, over and over, one greedy answer
of at most eight tokens. An answer is foreign if it does not name the capital although the engine named it when it was
asked for it alone. Memory is what the process holds (RSS), after a tenth of the requests and after all.

Then ten samples of a long prompt are cancelled, or broken off by Ctrl-C, while the prompt is read and while answers are
written: when the caller has its thread back, and when the process has stopped working (less than a tenth of a core over
50 ms). Writes docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from confroute import SamplingOptions, resolve_edge
from tests.bench.devices import about, libraries, on, torch_edge
from tests.bench.report import Goal, machine, write

CAPITALS = {
    "France": "Paris", "Japan": "Tokyo", "Egypt": "Cairo", "Italy": "Rome", "Spain": "Madrid", "Peru": "Lima",
    "England": "London", "Russia": "Moscow", "Greece": "Athens", "Cuba": "Havana", "Iran": "Tehran", "Iraq": "Baghdad",
}  # fmt: skip
SHORT = SamplingOptions(max_tokens=8)
LONG = SamplingOptions(max_tokens=600, temperature=0.7, seed=0)
AT_ONCE = 16
BUSY = 0.1
GOAL_SECONDS = 0.3


def asking(country: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"What is the capital of {country}? Answer with one word."}]


def soak(engine: Any, requests: int) -> tuple[str, list[Goal]]:
    """A row of the table, and how the goals were met."""
    known = [c for c in CAPITALS if CAPITALS[c] in engine.generate(asking(c), n=1, options=SHORT).samples[0].text]
    time.sleep(1)  # an engine's thread ends when nothing is left to do
    threads = threading.active_count()
    foreign = _ask(engine, known, requests // 10)
    held = _rss()
    started = time.perf_counter()
    foreign += _ask(engine, known, requests)
    seconds = time.perf_counter() - started
    time.sleep(1)
    name, left = type(engine).__name__, threading.active_count() - threads
    row = (
        f"| {name} | {requests:,} | {len(known)} | {foreign} | {requests / seconds:.1f} | "
        f"{held:.0f} → {_rss():.0f} | {left} |"
    )
    return row, [Goal(f"{name}: foreign answers", foreign, 0), Goal(f"{name}: threads left", left, 0)]


def _ask(engine: Any, known: Sequence[str], requests: int) -> int:
    """Half of the requests by threads and half by tasks; how many answers do not name their capital."""
    asked = [known[i % len(known)] for i in range(requests)]

    def by_thread(country: str) -> bool:
        return CAPITALS[country] in engine.generate(asking(country), n=1, options=SHORT).samples[0].text

    async def by_tasks() -> list[bool]:
        turn = asyncio.Semaphore(AT_ONCE)

        async def ask(country: str) -> bool:
            async with turn:
                generation = await engine.agenerate(asking(country), n=1, options=SHORT)
                return CAPITALS[country] in generation.samples[0].text

        return await asyncio.gather(*map(ask, asked[1::2]))

    with ThreadPoolExecutor(AT_ONCE + 1) as pool:
        tasks = pool.submit(lambda: asyncio.run(by_tasks()))
        threads = list(pool.map(by_thread, asked[::2]))
        return [*threads, *tasks.result()].count(False)


def _rss() -> float:
    """Megabytes; of Linux only."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def stopping(engine: Any, name: str) -> tuple[list[str], list[Goal]]:
    """Rows of the table, and how the goals were met."""
    started = time.perf_counter()
    engine.generate(_long(), n=1, options=replace(LONG, max_tokens=1))
    read = time.perf_counter() - started
    rows: list[str] = []
    goals: list[Goal] = []
    for phase, wait in {"reading": read / 3, "writing": read + 1}.items():
        for way, stop in (("task cancelled", _cancel), ("Ctrl-C", _interrupt)):
            measured = [stop(engine, wait) for _ in range(3)]
            back, idle = (max(times) for times in zip(*measured, strict=True))
            rows.append(f"| {name} | {phase} | {way} | {back:.2f} | {idle:.2f} |")
            goals.append(Goal(f"{name}, {way} while {phase}: seconds until the model is idle", idle, GOAL_SECONDS))
    return rows, goals


def _long() -> list[dict[str, str]]:
    """With another number each time, so that no cache has the prompt."""
    return [{"role": "user", "content": f"{next(_numbers)}. Explain this text.\n\n{topics['assignment'][:4500]}"}]


_numbers = itertools.count(1)


def _cancel(engine: Any, wait: float) -> tuple[float, float]:
    async def main() -> tuple[float, float]:
        task = asyncio.create_task(engine.agenerate(_long(), n=10, options=LONG))
        await asyncio.sleep(wait)
        assert not task.done(), "The request was answered before it could be cancelled."
        cancelled = time.perf_counter()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        back = time.perf_counter() - cancelled
        await asyncio.to_thread(_until_idle)
        return back, time.perf_counter() - cancelled

    return asyncio.run(main())


def _interrupt(engine: Any, wait: float) -> tuple[float, float]:
    sent: list[float] = []

    def send() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(wait, send)
    timer.start()
    try:
        engine.generate(_long(), n=10, options=LONG)
    except KeyboardInterrupt:
        back = time.perf_counter() - sent[0]
    else:
        raise SystemExit("The request was answered before it could be broken off.")
    _until_idle()
    return back, time.perf_counter() - sent[0]


def _until_idle() -> None:
    """Returns when the process has worked less than BUSY of a core for 50 ms."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        before = time.process_time()
        time.sleep(0.05)
        if time.process_time() - before < 0.05 * BUSY:
            return
    raise SystemExit("It does not stop.")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--requests", type=int, default=2000)
    arguments = parser.parse_args()
    device, requests = arguments.device, arguments.requests
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored in the background
    engines = [torch_edge(device), *([resolve_edge("smollm2-135m")] if device == "cpu" else [])]
    soaked: list[str] = []
    stopped: list[str] = []
    goals: list[Goal] = []
    for engine in engines:
        engine.load()
        row, kept = soak(engine, requests)
        soaked.append(row)
        print(row, flush=True)
        rows, kept_too = stopping(engine, type(engine).__name__)
        stopped += rows
        print("\n".join(rows), flush=True)
        goals += kept + kept_too
    lines = [
        f"{about(engines[0])}, {AT_ONCE} threads and {AT_ONCE} tasks at the same time. " + machine(*libraries(device)),
        "",
        "| engine | requests | capitals known | foreign answers | requests a second | MB held | threads left |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *soaked,
        "",
        "| engine | while | stopped by | caller back after at most, s | model idle after at most, s |",
        "| --- | --- | --- | ---: | ---: |",
        *stopped,
    ]
    write(f"soak{on(device)}", f"Many requests, and stopping{on(device)}", lines, goals)


if __name__ == "__main__":
    main()
