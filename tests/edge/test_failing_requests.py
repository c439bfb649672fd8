"""What a request that fails, or ends, leaves behind on torch: nothing, for itself and for all others."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from confroute import Sample, SamplingOptions, UnsupportedRequestError
from confroute.edge.transformers import TransformersEngine
from confroute.errors import ModelError
from tests.edge.tiny_models import (
    LONG,
    QUESTION,
    SAMPLING,
    batcher_of,
    copy_of,
    passes_seen,
    save_tiny,
    until_idle,
    user,
    without_collector,
)

torch = pytest.importorskip("torch")

Tiny = Callable[..., TransformersEngine]
BRIEF = replace(SAMPLING, max_tokens=5)


def alive(kind: type[Any]) -> int:
    return sum(type(each) is kind for each in gc.get_objects())


def test_an_answer_with_samples_holds_nothing_once_it_is_given(tiny: Tiny) -> None:
    """Neither branches nor the memory they stood in wait for the garbage collector."""
    from confroute.edge.ragged_branches import RaggedBranches

    engine = copy_of(tiny())

    def limit(_: Sample) -> int:
        return 99

    with without_collector():
        before = alive(RaggedBranches)
        for i in range(5):
            engine.generate_with_samples(user(str(i)), options=BRIEF, n=4, sampling=BRIEF, limit=limit)
        until_idle()
        assert alive(RaggedBranches) == before


@pytest.mark.parametrize("error", [StopIteration(), GeneratorExit(), asyncio.CancelledError()])
def test_what_python_ends_its_own_loops_with_is_an_error_like_others(tiny: Tiny, error: BaseException) -> None:
    """asyncio passes on neither, so that who awaits the answer would wait for ever, or be cancelled by nobody."""
    engine = copy_of(tiny())

    def limit(_: Sample) -> int:
        raise error

    async def main() -> None:
        asked = engine.agenerate_with_samples(user("a"), options=BRIEF, n=2, sampling=SAMPLING, limit=limit)
        await asyncio.wait_for(asked, 10)

    with pytest.raises(ModelError, match="failed on a request"):
        asyncio.run(main())


def test_more_alternatives_than_tokens_are_all_of_them(tiny: Tiny) -> None:
    """Whoever asks for more than the vocabulary has gets it whole."""
    (sample,) = tiny().generate(QUESTION, n=1, options=replace(BRIEF, alternatives=10_000)).samples
    assert sample.alternatives
    assert sum(2.718281828459045**logprob for _, logprob in sample.alternatives[0]) == pytest.approx(1, abs=1e-3)


def ask_for_letters(engine: TransformersEngine, count: int) -> None:
    """Eight prompts at once, of so many letters."""

    def ask(letter: str) -> None:
        engine.generate(user(letter * count), n=1, options=BRIEF)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, "abcdefgh"))


@pytest.mark.parametrize("kept", [40, 0])
def test_prompts_asked_at_once_are_forgotten_afterwards(tiny: Tiny, kept: int) -> None:
    """What is kept is bounded when nothing is asked any more; no tokens at all can be wished for."""
    engine = copy_of(tiny(), kept_tokens=kept)
    ask_for_letters(engine, 30)
    until_idle()
    assert sum(map(len, batcher_of(engine)._prompts)) <= kept


def test_a_kept_prompt_keeps_nothing_of_others(tiny: Tiny) -> None:
    """Its logits are not a part of those of all that ran in the same pass."""
    engine = copy_of(tiny())
    ask_for_letters(engine, 1)
    for prompt in batcher_of(engine)._prompts.values():
        assert prompt.logits.untyped_storage().nbytes() == prompt.logits.nbytes


@pytest.mark.parametrize("kind", ["full", "alibi"])
def test_an_empty_prompt_is_refused(tmp_path: Path, kind: str) -> None:
    """A template that writes nothing for the messages leaves nothing to go on from."""
    folder = save_tiny(tmp_path, kind=kind, template="{% for m in messages %}{{ m['content'] }}{% endfor %}")
    engine = TransformersEngine(folder, device="cpu")
    with pytest.raises(ModelError, match="empty prompt"):
        engine.generate(user(""), n=1, options=BRIEF)
    assert engine.generate(user("abc"), n=1, options=BRIEF).samples


def test_half_of_a_surrogate_pair_is_an_error_without_the_text(tiny: Tiny) -> None:
    """It is no text; what it stood in is not told, neither in the chain of errors."""
    with pytest.raises(ModelError, match="surrogate") as caught:
        tiny().generate(user("secret \ud83d"), n=1, options=BRIEF)
    assert caught.value.__suppress_context__
    assert "secret" not in str(caught.value)


def test_a_cancelled_request_that_waits_holds_up_nobody(tiny: Tiny) -> None:
    """One that is too large for now, and was cancelled, is passed over by a smaller one behind it."""
    engine = copy_of(tiny(), parallel=4)

    async def main() -> None:
        running = asyncio.create_task(engine.agenerate(user("run"), n=3, options=LONG))
        await asyncio.sleep(0.2)
        large = asyncio.create_task(engine.agenerate(user("large"), n=4, options=LONG))
        await asyncio.sleep(0.1)
        large.cancel()
        await engine.agenerate(user("small"), n=1, options=replace(LONG, max_tokens=1))
        assert not running.done()
        running.cancel()

    with passes_seen(engine, seconds=0.01):
        asyncio.run(main())
    until_idle()


def test_an_error_of_no_request_is_told_to_those_that_run(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that run get it; those that wait, and the next, do not."""
    engine = copy_of(tiny(), parallel=1)
    batcher, failed = batcher_of(engine), threading.Event()
    advance = batcher._advance

    def fail_once() -> None:
        if not failed.is_set() and batcher._waiting:
            failed.set()
            raise RuntimeError("a defect")
        advance()

    monkeypatch.setattr(batcher, "_advance", fail_once)

    async def main() -> list[Any]:
        return await asyncio.gather(
            *(engine.agenerate(user(text), n=1, options=LONG) for text in "ab"), return_exceptions=True
        )

    outcomes = asyncio.run(main())
    assert failed.is_set()
    assert sorted(isinstance(each, ModelError) for each in outcomes) == [False, True]


@pytest.mark.parametrize("at", ["_around", "_admit"])
def test_a_thread_that_cannot_go_on_leaves_nobody_waiting(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Whoever runs and whoever waits gets the error, and the next request a thread that works."""
    engine = copy_of(tiny(), parallel=1)
    batcher = batcher_of(engine)

    def fail() -> Any:
        raise MemoryError

    async def main() -> list[Any]:
        asked = (engine.agenerate(user(text), n=1, options=LONG) for text in "ab")
        return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 10)

    with monkeypatch.context() as patched:
        patched.setattr(batcher, at, fail)
        patched.setattr(threading, "excepthook", lambda _: None)
        outcomes = asyncio.run(main())
    assert [type(each) for each in outcomes] == [ModelError] * 2
    assert engine.generate(user("c"), n=1, options=BRIEF).samples


def test_a_schema_beyond_the_limits_is_an_error_not_an_answer() -> None:
    """Where the library that holds an answer to it gives up in the middle, the half is not passed off as JSON."""
    pytest.importorskip("llguidance")
    from confroute.edge.schema import Schemas

    tokenizer = bytes_tokenizer()
    schemas = Schemas(tokenizer, vocabulary=257, eos=[0])
    objects = [
        {"type": "object", "properties": {f"p{i}": {"type": "integer"}}, "required": [f"p{i}"]} for i in range(3000)
    ]
    (guide,) = schemas.guides({"type": "array", "items": {"anyOf": objects}}, 1)

    def write(text: str) -> None:
        for token in tokenizer(text)["input_ids"]:
            guide.allowed(257)
            guide.take(token)

    with pytest.raises(UnsupportedRequestError, match="too large"):
        write('[{"p17": 4}]')


def bytes_tokenizer() -> Any:
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<eos>": 0, **{letter: i + 1 for i, letter in enumerate(letters)}}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<eos>")


def test_a_cache_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The weights are in memory already; that the disk is full is no reason not to answer."""
    from safetensors import SafetensorError

    from confroute.edge import checkpoints

    source = save_tiny(tmp_path / "source")
    (tmp_path / "x.gguf").write_bytes(b"GGUF" * 100)
    monkeypatch.setenv("CONFROUTE_CACHE", str(tmp_path / "cache"))
    read = checkpoints.from_pretrained
    model, tokenizer = read(source)

    def full(*_: Any, **__: Any) -> None:
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(model, "save_pretrained", full)

    def converted(*_: Any, **__: Any) -> Any:
        return model, tokenizer

    monkeypatch.setattr(checkpoints, "from_pretrained", converted)
    with caplog.at_level(logging.WARNING, "confroute"):
        assert checkpoints.from_gguf(tmp_path / "x.gguf", "float32")[0] is model
    assert "not cached" in caplog.text


_FORKING = """
import os, sys, threading, time
from confroute.edge.transformers import TransformersEngine
from tests.edge.tiny_models import LONG, SAMPLING, passes_seen, user
from dataclasses import replace

engine = TransformersEngine(sys.argv[1], device="cpu")
one = replace(SAMPLING, max_tokens=1)
when = sys.argv[2]


def go_on_as_child():
    child = os.fork()
    if child:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if when == "loading":
    def hold():
        with engine._lock:
            time.sleep(600)

    threading.Thread(target=hold, daemon=True).start()
    time.sleep(0.3)
    go_on_as_child()
    with passes_seen(engine) as seen:
        assert engine.generate(user("child"), n=1, options=one).samples
else:
    engine.load()
    with passes_seen(engine, seconds=0.02):
        busy = threading.Thread(target=engine.generate, args=(user("parent"),), kwargs={"n": 2, "options": LONG})
        busy.daemon = True
        busy.start()
        time.sleep(0.3)
        go_on_as_child()
        with passes_seen(engine) as seen:
            assert engine.generate(user("child"), n=1, options=one).samples
assert len(seen) == 1, seen
os._exit(0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
@pytest.mark.parametrize("when", ["loading", "busy"])
def test_a_forked_process_is_asked_only_what_it_is_asked(tmp_path: Path, when: str) -> None:
    """It neither waits for a lock that a thread of the parent had, nor answers what the parent was asked."""
    command = [sys.executable, "-W", "ignore", "-c", _FORKING, save_tiny(tmp_path), when]
    done = subprocess.run(command, timeout=120, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr


def test_settings_that_cannot_be_are_refused() -> None:
    """Before anything is asked, with what was given."""
    wrong: Any
    for wrong in (
        {"temperature": -1},
        {"temperature": float("nan")},
        {"top_p": None},
        {"top_p": 1.5},
        {"alternatives": -1},
        {"max_tokens": 0},
        {"max_tokens": "9"},
    ):
        with pytest.raises(Exception, match=str(next(iter(wrong.values())))) as caught:
            SamplingOptions(**wrong)
        assert type(caught.value).__name__ == "ConfigurationError"
