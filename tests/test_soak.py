"""Many requests at the same time, from threads and event loops together, through the whole of it."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from confroute.edge.server import ServerEngine
from confroute_langchain import ConfidenceRoutedChatModel
from tests.edge.scripted_server import Reply, Request, ScriptedServer, completion, serving
from tests.langchain.scripted import ScriptedCloud, record_of

pytest.importorskip("openai")

AT_ONCE = 32


def echo(request: Request) -> Reply:
    """Says the question, so that an answer given to another request shows."""
    return completion([str(request["messages"][-1]["content"])] * request.get("n", 1))


def ask_by_threads(model: Any, questions: list[str]) -> list[Any]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(model.invoke, questions))


def ask_by_tasks(model: Any, questions: list[str]) -> list[Any]:
    async def ask_all() -> list[Any]:
        return await model.abatch(questions, {"max_concurrency": AT_ONCE})

    return asyncio.run(ask_all())


def ask(model: Any, begin: int, n: int) -> None:
    """Half by threads and half by tasks, at the same time."""
    questions = [f"question {i}" for i in range(begin, begin + n)]
    half = n // 2
    with ThreadPoolExecutor(2) as pool:
        by_threads = pool.submit(ask_by_threads, model, questions[:half])
        by_tasks = pool.submit(ask_by_tasks, model, questions[half:])
        answers = [*by_threads.result(), *by_tasks.result()]
    assert [answer.text for answer in answers] == questions
    assert {record_of(answer)["route"] for answer in answers} == {"edge"}


def objects_alive(server: ScriptedServer) -> int:
    server.asked.clear()
    server.headers.clear()
    gc.collect()
    return len(gc.get_objects())


def test_two_thousand_requests_leave_nothing_behind() -> None:
    """Every answer is that to its own question, no thread stays, and not one object for each request does."""
    threads = set(threading.enumerate())  # those of earlier tests may end meanwhile
    with serving(echo) as server:
        engine = ServerEngine("m", server.url, connections=AT_ONCE)
        model = ConfidenceRoutedChatModel(edge=engine, cloud=ScriptedCloud(), samples=2, threshold=0.5)
        ask(model, 0, 400)
        before = objects_alive(server)
        ask(model, 400, 2000)
        after = objects_alive(server)
        engine.close()
    assert after - before < 1000
    # The server's own end once they notice that nobody is connected any more.
    deadline = time.monotonic() + 5
    while left := set(threading.enumerate()) - threads:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)
