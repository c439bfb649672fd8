"""llama.cpp's server in a process that forks, and in those that are forked."""

from __future__ import annotations

import copy
import socket
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from confroute import ModelError, SamplingOptions
from confroute.edge.llamacpp import LlamaCppEngine
from confroute.records import Message

FRANCE: list[Message] = [{"role": "user", "content": "What is the capital of France? Answer with one word."}]
GREEDY = SamplingOptions(max_tokens=12)

xllamacpp = pytest.importorskip("xllamacpp")


_FORKING = """
import gc, os, sys
from confroute import SamplingOptions
from confroute.edge.llamacpp import LlamaCppEngine

engine = LlamaCppEngine(sys.argv[1], context_tokens=256, parallel=2, threads=1)
asking = {"messages": [{"role": "user", "content": "Hello"}], "n": 1, "options": SamplingOptions(max_tokens=2)}
assert engine.generate(**asking).samples
child = os.fork()
if child:
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert engine.generate(**asking).samples
    sys.exit(code)
assert engine.generate(**asking).samples
del engine
gc.collect()
os._exit(0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
def test_a_forked_process_is_answered_by_its_parent(small_llamacpp: LlamaCppEngine) -> None:
    """It may drop its engine without waiting for threads that are the parent's, and the parent goes on."""
    command = [sys.executable, "-W", "ignore", "-c", _FORKING, str(small_llamacpp.path)]
    done = subprocess.run(command, timeout=60, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr[-500:]


_ORPHAN = """
import asyncio, os, sys, threading, time
from confroute import SamplingOptions
from confroute.edge.llamacpp import LlamaCppEngine

engine = LlamaCppEngine(sys.argv[1], context_tokens=256, parallel=2, threads=1)
asking = {"messages": [{"role": "user", "content": "Hello"}], "n": 1, "options": SamplingOptions(max_tokens=2)}
assert engine.generate(**asking).samples
parent = os.getpid()
if os.fork():
    os._exit(0)
while os.getppid() == parent:
    time.sleep(0.01)
time.sleep(0.2)

async def together():
    return await asyncio.gather(*(engine.agenerate(**asking) for _ in range(3)))

print(len(asyncio.run(together())), engine.generate(**asking).samples[0].output_tokens, flush=True)
"""


@pytest.mark.real_model
@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
def test_a_forked_process_whose_parent_is_gone_loads_its_own(small_llamacpp: LlamaCppEngine) -> None:
    """As a service that becomes a daemon once it has loaded; each of its requests failed. It ends by itself, too."""
    command = [sys.executable, "-W", "ignore", "-c", _ORPHAN, str(small_llamacpp.path)]
    done = subprocess.run(command, timeout=60, capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.stdout.split(), done.stderr[-500:]) == (["3", "2"], "")


def test_a_request_meets_a_server_while_another_is_loaded(
    small_llamacpp: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a parent that has just gone: it fails as one that came a moment before, and its thread may be any of many."""
    small_llamacpp.load()
    orphan = copy.copy(small_llamacpp)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        orphan._server = SimpleNamespace(listening_address=f"http://127.0.0.1:{gone.getsockname()[1]}")
    orphan._is_own = False
    orphan._waiting = small_llamacpp._waiting
    server: Any = xllamacpp.Server
    met: list[BaseException | None] = []

    def loading(settings: Any) -> Any:
        met.append(raised_by(lambda: orphan._generate(orphan._exchange(), FRANCE, 1, GREEDY)))
        return server(settings)

    monkeypatch.setattr(xllamacpp, "Server", loading)
    assert orphan.generate(FRANCE, n=1, options=GREEDY).samples
    assert [type(error) for error in met] == [ModelError]


def raised_by(call: Callable[[], Any]) -> BaseException | None:
    try:
        call()
    except Exception as error:
        return error
    return None
