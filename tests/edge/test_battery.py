"""Every engine against the laws of all, and the laws against engines that break them."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from typing import Any

import pytest

from confroute import ConfigurationError, ModelError, Sample, SamplingOptions, resolve_edge
from confroute.edge.llamacpp import LlamaCppEngine
from confroute.edge.protocol import Capabilities
from confroute.edge.server import ServerEngine
from confroute.edge.transformers import TransformersEngine
from confroute.testing import ENGINE_LAWS, check_engine
from tests.edge.toy import BROKEN, CONTEXT, FACTS, Awaited, Brief, Thinks, Toy, ToyAtOnce


@pytest.mark.parametrize("kind", [Toy, ToyAtOnce, Awaited, Brief])
def test_an_engine_that_obeys_passes(kind: type[Toy]) -> None:
    """The laws ask nothing that an engine cannot do."""
    check_engine(kind(), facts=FACTS, context_tokens=CONTEXT)


@pytest.mark.parametrize("thoughts", [8, 40, 160])
@pytest.mark.parametrize("shown", [True, False])
def test_a_model_that_thinks_first_passes(thoughts: int, shown: bool) -> None:
    """It gets room for its thoughts, which are counted and not shown."""
    check_engine(Thinks(thoughts, shown=shown), facts=FACTS, context_tokens=CONTEXT)


def test_a_model_that_thinks_for_too_long_is_told_so() -> None:
    """Not that its answers are others'."""
    with pytest.raises(AssertionError, match="tokens it says nothing"):
        check_engine(Thinks(2000), facts=FACTS, context_tokens=CONTEXT)


def test_a_check_can_be_made_where_an_event_loop_runs() -> None:
    """As in a notebook."""

    async def check() -> None:
        check_engine(Awaited(), facts=FACTS, context_tokens=CONTEXT)

    asyncio.run(check())


class Fails(Toy):
    """Does not take NUL."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def sample(self, question: str, options: SamplingOptions, rng: random.Random) -> Sample:
        if "\x00" in question:
            raise self.error
        return super().sample(question, options, rng)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("secret"), "ValueError, which is no ModelError"),
        (ModelError("It takes no NUL."), "It takes no NUL"),
    ],
)
def test_an_error_of_the_engine_breaks_the_law_that_it_comes_with(error: Exception, told: str) -> None:
    """It is the cause, to be found; its own text is not quoted unless it is confroute's."""
    with pytest.raises(AssertionError, match=f"Fails breaks the law 'any text can be asked'.*{told}") as caught:
        check_engine(Fails(error), facts=FACTS, context_tokens=CONTEXT)
    assert caught.value.__cause__ is error
    assert "secret" not in str(caught.value)


def test_without_facts_there_is_no_check() -> None:
    """They tell answers apart."""
    with pytest.raises(ConfigurationError, match="at least one question"):
        check_engine(Toy(), facts={})


def test_laws_hold_where_python_drops_asserts() -> None:
    """With -O."""
    program = (
        "from tests.edge.toy import *; from confroute.testing import check_engine; "
        "check_engine(Copies(), facts=FACTS, context_tokens=CONTEXT)"
    )
    ran = subprocess.run([sys.executable, "-O", "-c", program], capture_output=True, text=True, check=False)  # noqa: S603
    assert "AssertionError: Copies breaks the law 'samples are drawn" in ran.stderr


@pytest.mark.parametrize("name", BROKEN)
def test_each_way_to_break_a_law_is_found(name: str) -> None:
    """By the law that it breaks."""
    engine, law = BROKEN[name]
    with pytest.raises(AssertionError, match=f"breaks the law '.*{law}"):
        check_engine(engine, facts=FACTS, context_tokens=CONTEXT)


def test_every_law_is_broken_by_something() -> None:
    """A law that nothing breaks tries nothing."""
    assert {law for law in ENGINE_LAWS if any(part in law for _, part in BROKEN.values())} == set(ENGINE_LAWS)


@pytest.mark.real_model
def test_llamacpp_obeys(small_llamacpp: LlamaCppEngine) -> None:
    """llama.cpp in this process."""
    check_engine(small_llamacpp, context_tokens=512)


@pytest.mark.real_model
def test_transformers_obeys(torch_device: str) -> None:
    """torch, on the same weights."""
    pytest.importorskip("gguf")
    packaged: Any = resolve_edge("smollm2-135m", engine="transformers")
    settings: Any = {"context_tokens": 512, "device": torch_device}
    engine = TransformersEngine(packaged._checkpoint, gguf_file=packaged._gguf_file, **settings)
    check_engine(engine, context_tokens=512)


@pytest.mark.real_model
def test_a_server_obeys(llama_server: tuple[str, str]) -> None:
    """The same model over HTTP, which takes fewer samples at a time than it is asked for."""
    url, key = llama_server
    engine = ServerEngine("smollm2-135m", url, api_key=key)
    check_engine(engine, context_tokens=512)
    # The model was not made for tools, and calls none however the server offers them.
    assert engine.capabilities() == Capabilities(
        n=True, logprobs=True, alternatives=20, draws=True, json_schema=True, tools=False, llamacpp="llama-server"
    )
    engine.close()
