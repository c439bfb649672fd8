"""An edge model behind a real `transformers serve`, which knows neither n nor logprobs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from confroute import ConfigurationError, ModelError, SamplingOptions, resolve_edge
from confroute.conformance.engines import Subject
from confroute.edge.checkpoints import from_gguf
from confroute.edge.protocol import Capabilities
from confroute.edge.server import ServerEngine
from confroute.records import Message
from confroute.testing import ENGINE_LAWS
from tests.edge.scripted_server import serving

for _module in ("torch", "transformers", "gguf", "openai", "fastapi", "uvicorn"):
    pytest.importorskip(_module)

pytestmark = pytest.mark.real_model

SECRET = "zanzibarland"  # noqa: S105
OPTIONS = SamplingOptions(max_tokens=2)
CONTEXT_TOKENS = 64
DRAWN = "samples are drawn, not copied"
TOO_LONG = "too long a prompt is told with its numbers, and the next request works"
FACTS = {"What is the capital of Japan?": "Tokyo", "What is the capital of Egypt?": "Cairo"}
# The server takes the temperature of a request, but whether to draw at all, and from how many, only from here.
DRAWS = {"generation_config": '{"do_sample": true, "top_k": 0}'}

# `transformers serve`, which ends with the process that started it, even where that is killed.
COMMAND = """
import os, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
from transformers.cli.transformers import main
main()
"""


class Served:
    """A server process of the model "smollm2" on one port, for as often as it is started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "log.txt"
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self._port}/v1"

    def start(self) -> None:
        arguments = ["serve", "smollm2", "--host", "127.0.0.1", "--port", str(self._port), "--device", "cpu"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-c", COMMAND, *arguments],
                cwd=self._folder,
                # Two threads of torch would wait for each other on a busy machine.
                env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 180
        while not self._healthy():
            assert self._process.poll() is None, f"transformers serve ended: {self.log()[-2000:]}"
            assert time.monotonic() < deadline, f"transformers serve does not get ready: {self.log()[-2000:]}"
            time.sleep(0.1)

    def kill(self) -> None:
        """With SIGKILL; does nothing where it does not run."""
        if self._process is not None:
            with self._process as process:
                process.kill()
            self._process = None

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _healthy(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A running server of the packaged model, which says that its context is small."""
    folder = tmp_path_factory.mktemp("serve")
    packaged: Any = resolve_edge("smollm2-135m", engine="transformers")
    model, tokenizer = from_gguf(Path(packaged._checkpoint) / packaged._gguf_file, "float32")
    model.config.max_position_embeddings = CONTEXT_TOKENS
    for part in (model, tokenizer):
        part.save_pretrained(folder / "smollm2")
    del model

    server = Served(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


Connect = Callable[..., ServerEngine]


@pytest.fixture(scope="module")
def connect(served: Served) -> Iterator[Connect]:
    """Makes engines on that server, closed at the end."""
    engines: list[ServerEngine] = []

    def engine(model: str = "smollm2", **settings: Any) -> ServerEngine:
        with_extra: dict[str, Any] = {"extra": DRAWS, **settings}
        engines.append(ServerEngine(model, served.url, **with_extra))
        return engines[-1]

    yield engine
    for each in engines:
        each.close()


@pytest.fixture(scope="module")
def engine(connect: Connect) -> ServerEngine:
    """The one that the server is meant to be used with."""
    return connect()


def user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def test_what_it_cannot_is_found_out(engine: ServerEngine) -> None:
    """It takes n and logprobs without a word and gives neither, so the samples are requests of their own."""
    assert engine.capabilities() == Capabilities(
        n=False, logprobs=False, alternatives=0, draws=True, json_schema=False, tools=False
    )
    generation = engine.generate(user("Hello"), n=3, options=OPTIONS)
    assert [sample.token_logprobs for sample in generation.samples] == [None] * 3
    assert [sample.output_tokens for sample in generation.samples] == [2] * 3


@pytest.mark.parametrize("law", [law for law in ENGINE_LAWS if law not in (DRAWN, TOO_LONG)])
def test_it_obeys(engine: ServerEngine, law: str) -> None:
    """The laws of all engines, that requests at the same time get their own answers among them. Its context it does not
    know, so that there is no law on that; the one not here is tried below, on fewer tokens."""
    ENGINE_LAWS[law](Subject(engine=engine, facts=FACTS, context_tokens=None))


def test_a_temperature_alone_draws_nothing(engine: ServerEngine, connect: Connect) -> None:
    """Unless the checkpoint or the request says do_sample, all samples are the greedy answer: that is found out."""
    story, options = user("Tell me a story."), SamplingOptions(temperature=1.5, max_tokens=6, seed=5)
    with pytest.raises(ConfigurationError, match="the same text however high the temperature"):
        connect(extra={}).generate(story, n=3, options=options)
    assert len({sample.text for sample in engine.generate(story, n=3, options=options).samples}) > 1


def test_past_the_context_it_goes_on(engine: ServerEngine) -> None:
    """A prompt longer than the model's context is neither refused nor cut: input_tokens counts all of it, and the next
    request works."""
    generation = engine.generate(user("word " * 2 * CONTEXT_TOKENS), n=1, options=OPTIONS)
    assert generation.input_tokens > 2 * CONTEXT_TOKENS
    assert engine.generate(user("Hello"), n=1, options=OPTIONS).samples[0].output_tokens == 2


def test_a_model_that_it_does_not_have(connect: Connect) -> None:
    """It refuses another name than its own, which is told with both names, and not the prompt."""
    with pytest.raises(ConfigurationError, match=r'no model "qwen3".*It has: smollm2') as caught:
        connect("qwen3").generate(user(SECRET), n=2, options=OPTIONS)
    assert SECRET not in str(caught.value)


def test_a_parameter_that_it_does_not_know(connect: Connect) -> None:
    """Parameters outside of OpenAI's, and of its own generation_config, are refused."""
    with pytest.raises(ModelError, match=r"refused a request.*status 422") as caught:
        connect(extra={"top_k": 0}).generate(user(SECRET), n=2, options=OPTIONS)
    assert SECRET not in str(caught.value)


def test_a_refusal_that_names_a_model_which_is_there() -> None:
    """Is one of the request, not of the model's name."""
    with serving(lambda _: (400, {"detail": "'other-model' takes no system message."})) as server:
        engine = ServerEngine("other-model", server.url)
        with pytest.raises(ModelError, match=r"refused a request.*status 400"):
            engine.generate(user(SECRET), n=1, options=OPTIONS)
        engine.close()


def test_killed_in_its_answer_and_started_again(served: Served, engine: ServerEngine) -> None:
    """A server killed in the middle of an answer is a ModelError at once, without the prompt; once it runs again, on
    the same port, the same engine works."""
    engine.capabilities()
    before = served.log().count("Request received")
    with ThreadPoolExecutor(1) as pool:
        ask = user(f"Tell me a long story about {SECRET}.")
        answer = pool.submit(engine.generate, ask, n=1, options=SamplingOptions(max_tokens=2000))
        while served.log().count("Request received") == before:
            assert not answer.done(), answer.exception()
            time.sleep(0.05)
        time.sleep(0.5)
        assert not answer.done()
        try:
            served.kill()
            killed = time.monotonic()
            with pytest.raises(ModelError, match="broke off") as caught:
                answer.result(timeout=60)
            assert time.monotonic() - killed < 10
            assert SECRET not in str(caught.value)
        finally:
            served.start()
    question, word = next(iter(FACTS.items()))
    assert word in engine.generate(user(question), n=1, options=SamplingOptions(max_tokens=16)).samples[0].text
