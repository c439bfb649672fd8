"""A process that a model runs in ends when it is told to, with the status that it was to end with."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no fork and no such signals there")

SECONDS = 60

LOADED = """
import os, sys, threading, time
from confroute.edge.naming import resolve_edge
from confroute.records import SamplingOptions

def ask(tokens):
    asked = [{"role": "user", "content": "Write a story of a thousand words."}]
    return engine.generate(asked, n=1, options=SamplingOptions(max_tokens=tokens))

engine = resolve_edge("smollm2-135m")
print("to load", flush=True)
engine.load()
"""

AT_WORK = """
begun = threading.Event()

def work():
    begun.set()
    ask(1500)

threading.excepthook = lambda _: None
threading.Thread(target=work, daemon=True).start()
begun.wait()
time.sleep(0.7)
sys.exit(3)
"""

FORKED = """
child = os.fork()
if child == 0:
    {work}
    sys.exit(3)
latest = time.monotonic() + 20
while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < latest:
    time.sleep(0.02)
if not ended[0]:
    os.kill(child, 9)
    sys.exit("it never ended")
sys.exit(os.waitstatus_to_exitcode(ended[1]))
"""


def ended(script: str) -> tuple[int, str]:
    command = [sys.executable, "-c", LOADED + script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
    return done.returncode, done.stderr


def test_a_daemons_request_is_broken_off_at_the_end() -> None:
    """C++ would take llama.cpp's objects apart while it decodes: a segmentation fault, most times."""
    assert ended(AT_WORK) == (3, "")


@pytest.mark.parametrize("work", ["pass", "ask(4)"], ids=["idle", "asked"])
def test_a_forked_process_ends(work: str) -> None:
    """Without the threads that its copy of llama.cpp waits for."""
    assert ended(FORKED.format(work=work)) == (3, "")


OWN = """
    from confroute.edge.llamacpp import LlamaCppEngine
    import gc
    engine = LlamaCppEngine(engine.path, context_tokens=256, parallel=1, threads=1)
    ask(4)
"""


@pytest.mark.parametrize("then", ["", "    del engine; gc.collect()"], ids=["kept", "dropped"])
def test_a_forked_process_ends_with_a_server_of_its_own(then: str) -> None:
    """Some of llama.cpp's threads are the whole process's: the parent's, which are not there."""
    assert ended(FORKED.format(work=OWN.strip() + "\n" + then)) == (3, "")


ORPHANED = """
from confroute.errors import ModelError
end, ends = os.pipe()
if os.fork():
    os.close(end)
    os.kill(os.getpid(), 9)
os.close(ends)
os.read(end, 1)  # until the parent is gone
for _ in range(2):
    try:
        ask(4)
        print("answered", flush=True)
        break
    except ModelError:
        pass  # the parent's end came after the request
"""


def test_an_orphan_does_not_wait_for_its_parent() -> None:
    """It has a copy of the socket that its parent listened on, where nobody would ever answer."""
    command = [sys.executable, "-c", LOADED + ORPHANED]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=SECONDS, check=False)  # noqa: S603
    assert done.stdout == "to load\nanswered\n"


ABANDONED = """
import asyncio, contextlib, signal
from confroute.errors import ModelError

signal.signal(signal.SIGINT, signal.default_int_handler)
threading.excepthook = lambda _: None
asked = [{"role": "user", "content": "Write a story of a thousand words."}]
numbers = {"type": "array", "items": {"type": "integer"}, "minItems": 1000}
options = SamplingOptions(max_tokens=1500, json_schema=numbers)
threading.Timer(0.7, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
with contextlib.suppress(KeyboardInterrupt):
    asyncio.new_event_loop().run_until_complete(engine.agenerate(asked, n=1, options=options))
sys.exit(3)
"""


def test_an_abandoned_loops_request_is_broken_off_at_the_end() -> None:
    """An event loop that ends without cancelling its tasks leaves their threads at work."""
    status, said = ended(ABANDONED)
    assert (status, "Fatal" in said) == (3, False)


WHILE_A_CHILD_ASKS = """
begun, begins = os.pipe()
if os.fork() == 0:
    os.write(begins, b".")
    with open(os.devnull, "w") as sys.stderr:
        ask(1500)
    os._exit(0)
os.read(begun, 1)
time.sleep(0.7)
sys.exit(3)
"""


def test_a_process_ends_while_a_forked_one_asks_it() -> None:
    """It does not stay until the other's answer is written."""
    assert ended(WHILE_A_CHILD_ASKS)[0] == 3


WHILE_ASKED = """
said = []
thread = threading.Thread(target=lambda: said.append(ask(300)))
thread.start()
time.sleep(0.5)
child = os.fork()
if child == 0:
    sys.exit(0)
os.waitpid(child, 0)
assert thread.is_alive(), "the answer came before the child had ended"
thread.join()
sys.exit(3 if said else "the child broke off its parent's request")
"""


def test_a_forked_process_ends_without_its_parents_requests() -> None:
    """It has their connections, but nobody in it waits for them."""
    assert ended(WHILE_ASKED) == (3, "")


@pytest.mark.parametrize("wait", [0.0, 0.1, 0.3])
def test_ctrl_c_while_the_weights_are_loaded_ends_it(wait: float) -> None:
    """A server told to end in its first moment waited for itself, and no second Ctrl-C was heard."""
    script = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{LOADED}"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "to load\n"
            time.sleep(wait)
            process.send_signal(signal.SIGINT)
            status = process.wait(SECONDS)
            said = process.stderr.read()
        finally:
            process.kill()
    # Where it was loaded before, it ends as ever.
    assert (status, said) == (0, "") or (status in (1, -signal.SIGINT) and said.endswith("KeyboardInterrupt\n"))


TINY = """
import os, sys, threading, time
from confroute.edge.transformers import TransformersEngine
from confroute.records import SamplingOptions

import torch
torch.set_num_threads(1)
asked = [{{"role": "user", "content": "whatisit?"}}]
options = SamplingOptions(temperature=1.0, max_tokens=110)
engine = TransformersEngine({folder!r}, device="cpu")
threading.excepthook = lambda failure: print(failure.exc_type.__name__, failure.exc_value, flush=True)
begun = threading.Event()

def work():
    while True:
        engine.generate(asked, n=64, options=options)
        begun.set()
"""

ASKED_BY_A_DAEMON = """
threading.Thread(target=work, daemon=True).start()
begun.wait()
sys.exit(3)
"""

ABANDONED_BY_A_LOOP = """
import asyncio
loop = asyncio.new_event_loop()
engine.load()
tasks = [loop.create_task(engine.agenerate(asked, n=2000, options=options)) for _ in range(20)]
loop.run_until_complete(asyncio.sleep(0.2))
sys.exit(3)
"""

LOADED_BY_A_DAEMON = """
from confroute.edge import laid_out

def slow(*_, **__):
    begun.set()
    product = torch.ones(64, 64)
    for _ in range(500_000):
        product @ product

laid_out._passes = slow
threading.Thread(target=work, daemon=True).start()
begun.wait()
sys.exit(3)
"""

LET_GO_BY_ITS_THREAD = """
import contextlib

class Lasting:
    def __del__(self):
        begun.set()
        time.sleep(0.5)
        print("let go", flush=True)

@contextlib.contextmanager
def lingering():
    yield
    time.sleep(0.5)

engine.load()
engine._loaded.batcher._around = lingering
engine._loaded.batcher._passes.lasting = Lasting()
engine.generate(asked, n=1, options=options)
del engine
begun.wait()
sys.exit(3)
"""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (ASKED_BY_A_DAEMON, "ModelError The process is at its end"),
        (ABANDONED_BY_A_LOOP, ""),
        (LOADED_BY_A_DAEMON, ""),
        (LET_GO_BY_ITS_THREAD, "let go\n"),
    ],
    ids=["asked by a daemon", "abandoned by a loop", "loaded by a daemon", "let go by its thread"],
)
def test_torch_is_at_rest_before_the_process_ends(tmp_path: Path, script: str, said: str) -> None:
    """Python would end its thread within C++, which aborts the process then; and nobody waits for its answers."""
    pytest.importorskip("torch")
    from tests.edge.tiny_models import save_tiny

    folder = save_tiny(tmp_path, eos=[])
    command = [sys.executable, "-c", TINY.format(folder=folder) + script]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
    assert done.returncode == 3
    told = {said} if script is LET_GO_BY_ITS_THREAD else {"", said}  # a daemon may come to say what it was told
    assert done.stdout[: len(said)] in told
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < SECONDS / 2


LEFT_BEHIND = """
import socket, sys, threading, time, types
import torch
from confroute.edge import endings
from confroute.edge.turns import Turns

torch.set_num_threads(1)
endings._SECONDS_TO_STOP = 1000
begun = threading.Event()
here, there = socket.socketpair()

def compute():
    product = torch.ones(64, 64)
    begun.set()
    while True:
        product @ product

def hang():
    begun.set()
    here.makefile("rb").read()

def sleep():
    begun.set()
    time.sleep(1000)

retry = types.FunctionType(sleep.__code__, dict(globals(), __name__="openai._base_client"))

threading.Thread(target=Turns(1).take, args=([{call}] * 2,), daemon=True).start()
begun.wait()
time.sleep(0.2)
sys.exit(3)
"""


@pytest.mark.parametrize("call", ["compute", "hang", "retry"])
def test_what_a_framework_s_model_still_does_neither_aborts_nor_keeps_the_process(call: str) -> None:
    """One that runs on torch in this process comes back from C++; one that waits for a server, or before it asks again,
    may never do so."""
    pytest.importorskip("torch")
    command = [sys.executable, "-c", LEFT_BEHIND.format(call=call)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
    assert (done.returncode, done.stderr) == (3, "")


AT_EXIT = """
import atexit, sys, threading, time

def last():
    print(turns.take([lambda: "last"] * 2), flush=True)
    waiting.join(20)

atexit.register(last)  # before confroute's, and so called after it
from confroute.edge.turns import Turns

turns, begun = Turns(1), threading.Event()

def compute():
    begun.set()
    while True:
        pass

def wait():
    for call in (lambda: None, lambda: print("still done")):
        turns.take([call])

threading.Thread(target=turns.take, args=([compute],), daemon=True).start()
begun.wait()
waiting = threading.Thread(target=wait, daemon=True)
waiting.start()
time.sleep(0.2)
sys.exit(3)
"""


def test_what_begins_after_the_end_is_done_and_what_waited_for_it_is_not() -> None:
    """A program may ask once more when it exits; the samples that nobody interrupted would be computed for nobody."""
    command = [sys.executable, "-c", AT_EXIT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
    assert (done.returncode, done.stdout, done.stderr) == (3, "['last', 'last']\n", "")
