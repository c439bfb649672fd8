"""Many requests to one torch model: each gets what it would alone, and what one does harms no other."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from confroute.edge.transformers import TransformersEngine, _tokens_of_prompts
from confroute.errors import ConfigurationError, ModelError
from confroute.records import Generation, Sample, SamplingOptions
from tests.edge.tiny_models import (
    LONG,
    PROMPT,
    QUESTION,
    SAMPLING,
    copy_of,
    failing_on,
    ids_of,
    in_each_layer,
    passes_of,
    passes_seen,
    teacher_forced,
    until_idle,
    user,
)

torch = pytest.importorskip("torch")

Tiny = Callable[..., TransformersEngine]


def ask_together(engine: TransformersEngine, requests: Sequence[tuple[str, int, SamplingOptions]]) -> list[Generation]:
    """All at once: none is admitted before the last one waits."""
    assert engine._loaded is not None
    batcher = engine._loaded.batcher
    submit, jobs, all_there = batcher.submit, list[Any](), threading.Event()

    def gather(job: Any) -> None:
        jobs.append(job)
        if len(jobs) == len(requests):
            submit(*jobs)
            all_there.set()
        all_there.wait(30)

    batcher.submit = gather
    try:
        with ThreadPoolExecutor(len(requests)) as pool:
            asked = [pool.submit(engine.generate, user(text), n=n, options=o) for text, n, o in requests]
            return [future.result() for future in asked]
    finally:
        batcher.submit = submit


def assert_own(engine: TransformersEngine, text: str, samples: Sequence[Sample]) -> None:
    """The logprobs are those of a plain forward pass over this prompt and this answer alone."""
    for sample in samples:
        expected = teacher_forced(engine, sample.text, f"u:{text};a:")
        assert (sample.token_logprobs or ()) == pytest.approx(expected, abs=3e-4)


requests = st.tuples(
    st.text("abcXYZ019", min_size=1, max_size=60),
    st.integers(1, 5),
    st.builds(
        SamplingOptions,
        temperature=st.sampled_from([0.0, 0.7, 2.0]),
        top_p=st.sampled_from([1.0, 0.5]),
        max_tokens=st.integers(1, 20),
        seed=st.integers(0, 99),
        alternatives=st.sampled_from([0, 3]),
    ),
)


@pytest.mark.parametrize("kind", ["full", "sliding", "alibi"])
@settings(max_examples=15)
@given(together=st.lists(requests, min_size=2, max_size=8))
def test_each_gets_its_own(tiny: Tiny, kind: str, together: list[tuple[str, int, SamplingOptions]]) -> None:
    """Whatever is asked at the same time, each answer is one to its own prompt, as many and as long as asked for."""
    engine = tiny(kind, many_eos=True)
    engine.load()
    for (text, n, options), generation in zip(together, ask_together(engine, together), strict=True):
        assert len(generation.samples) == n
        assert all(sample.output_tokens <= options.max_tokens for sample in generation.samples)
        assert all(
            len(place) == options.alternatives for sample in generation.samples for place in sample.alternatives or ()
        )
        assert_own(engine, text, generation.samples)


def test_requests_share_passes(tiny: Tiny) -> None:
    """Eight requests at once take hardly more passes than one, and each seed gives what it gives alone."""
    engine = copy_of(tiny())
    together = [(letter * 9, 2, SAMPLING) for letter in "abcdefgh"]
    with passes_seen(engine) as seen:
        answers = ask_together(engine, together)
    assert len(seen) <= 2 * SAMPLING.max_tokens
    for (text, n, options), generation in zip(together, answers, strict=True):
        alone = engine.generate(user(text), n=n, options=options)
        assert [sample.text for sample in generation.samples] == [sample.text for sample in alone.samples]


def test_a_prompt_asked_twice_at_once_is_read_once(tiny: Tiny) -> None:
    """Requests with the same prompt share its evaluation also while it is under way."""
    engine = copy_of(tiny())
    with passes_seen(engine) as seen:
        ask_together(engine, [("samequestion", 2, SAMPLING)] * 3)
    assert max(seen) == len("u:samequestion;a:")


@pytest.mark.parametrize("kind", ["full", "sliding"])
@pytest.mark.parametrize("prompt_tokens", [4, 8, 16, 40])
def test_a_prompt_in_parts(tiny: Tiny, kind: str, prompt_tokens: int) -> None:
    """However few tokens of a prompt a pass takes, the answers are the same."""
    engine = copy_of(tiny(kind))
    assert engine._loaded is not None
    engine._loaded.batcher._alone_tokens = prompt_tokens
    with passes_seen(engine) as seen:
        samples = engine.generate(QUESTION, n=3, options=SAMPLING).samples
    assert seen[: len(PROMPT) // prompt_tokens] == [prompt_tokens] * (len(PROMPT) // prompt_tokens)
    assert_own(engine, str(QUESTION[0]["content"]), samples)


@pytest.mark.parametrize(("width", "tokens"), [(64, 1280), (576, 1280), (896, 668), (4096, 512)])
def test_wide_models_read_less_at_a_time(width: int, tokens: int) -> None:
    """On a CPU, where a pass is given up after a layer, which is longer the wider the model is."""
    config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(hidden_size=width))
    model = SimpleNamespace(device=torch.device("cpu"), config=config)
    assert _tokens_of_prompts(model) == {"prompt_tokens": 128, "alone_tokens": tokens}


def test_a_prompt_better_read_whole_waits_for_a_pass_with_room(tiny: Tiny) -> None:
    """Where prompts are better not read in parts, of five only four are read where there is room for four and a half;
    one that no pass has room for is read in parts all the same."""
    engine = copy_of(tiny())
    assert engine._loaded is not None
    engine._loaded.batcher._alone_tokens = 240
    passes_of(engine).unbroken = 100
    texts = [letter * 50 for letter in "abcde"]
    with passes_seen(engine) as seen:
        answers = ask_together(engine, [(text, 1, LONG) for text in texts])
    assert seen[:2] == [4 * 55, 4 + 55]
    for text, generation in zip(texts, answers, strict=True):
        assert_own(engine, text, generation.samples)
    engine = copy_of(engine)
    assert engine._loaded is not None
    engine._loaded.batcher._alone_tokens = 40
    passes_of(engine).unbroken = 100
    with passes_seen(engine) as seen:
        engine.generate(user("f" * 80), n=1, options=SAMPLING)
    assert seen[:4] == [40, 40, 5, 1]


@pytest.mark.parametrize("kind", ["full", "sliding"])
def test_a_common_beginning_is_read_once(tiny: Tiny, kind: str) -> None:
    """A prompt that begins like one asked before is read from where it differs, and answered as if read whole."""
    engine = copy_of(tiny(kind))
    first, second = "thesameinstructions" + "A" * 9, "thesameinstructions" + "B" * 5
    engine.generate(user(first), n=1, options=SAMPLING)
    with passes_seen(engine) as seen:
        samples = engine.generate(user(second), n=3, options=SAMPLING).samples
    # Where passes are recorded, short ones are sooner read whole.
    assert seen[0] == len("BBBBB;a:" if passes_of(engine)._replays is None else f"u:{second};a:")
    assert_own(engine, second, samples)
    assert_own(engine, first, engine.generate(user(first), n=3, options=SAMPLING).samples)


def test_memory_of_prompts_is_bounded(tiny: Tiny) -> None:
    """Past kept_tokens the prompts not asked for longest are forgotten, and read again when asked again."""
    engine = copy_of(tiny(), kept_tokens=40)
    assert engine._loaded is not None
    for letter in "abcd":
        engine.generate(user(letter * 10), n=1, options=SAMPLING)
    assert sum(map(len, engine._loaded.batcher._prompts)) <= 40
    with passes_seen(engine) as seen:
        engine.generate(user("d" * 10), n=1, options=SAMPLING)
        engine.generate(user("a" * 10), n=1, options=SAMPLING)
    read = "aaaaaaaaaa;a:" if passes_of(engine)._replays is None else "u:aaaaaaaaaa;a:"
    assert [tokens for tokens in seen if tokens > 1] == [len(read)]


def test_parallel_is_a_limit(tiny: Tiny) -> None:
    """More samples than fit wait for their turn; a request for more than fit at all gets them."""
    engine = copy_of(tiny(), parallel=6, prompt_tokens=1)
    with passes_seen(engine) as seen:
        answers = ask_together(engine, [(letter * 3, 3, SAMPLING) for letter in "abcdef"])
        assert max(seen) <= max(6, 4 * len("u:aaa;a:"))
    assert all(len(generation.samples) == 3 for generation in answers)
    assert len(engine.generate(QUESTION, n=20, options=SAMPLING).samples) == 20
    with pytest.raises(ConfigurationError, match="parallel"):
        TransformersEngine("owner/name", parallel=0)


@pytest.mark.parametrize("kind", ["full", "alibi"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("out of memory for 'secret'"), "not enough memory"),
        (ValueError("secret"), "failed on a request"),
    ],
)
def test_an_error_reaches_its_caller_only(tiny: Tiny, kind: str, error: Exception, said: str) -> None:
    """Where the pass fails because of one request, that one gets the error, all others their answers, and the next
    request works."""
    engine = copy_of(tiny(kind))
    texts = ["aaaa", "bb????bb", "cccc", "dddd"]

    def ask(text: str) -> Generation | Exception:
        try:
            return engine.generate(user(text), n=2, options=SAMPLING)
        except Exception as caught:
            return caught

    with failing_on(engine, "????", error), ThreadPoolExecutor(4) as pool:
        outcomes = dict(zip(texts, pool.map(ask, texts), strict=True))
    failed = outcomes.pop("bb????bb")
    assert isinstance(failed, ModelError)
    assert said in str(failed)
    assert "secret" not in str(failed)
    for text, outcome in outcomes.items():
        assert isinstance(outcome, Generation), outcome
        assert_own(engine, text, outcome.samples)
    assert_own(engine, "bb????bb", engine.generate(user("bb????bb"), n=2, options=SAMPLING).samples)


def test_kept_prompts_make_room(tiny: Tiny) -> None:
    """A pass that runs out of memory is tried again without the prompts that are only kept."""
    engine = copy_of(tiny())
    assert engine._loaded is not None
    engine.generate(user("kept"), n=1, options=SAMPLING)
    batcher = engine._loaded.batcher

    def scarce(*_: Any) -> None:
        if len(batcher._prompts) > 1:
            raise torch.OutOfMemoryError("no memory")

    with in_each_layer(engine, scarce):
        assert_own(engine, "other", engine.generate(user("other"), n=2, options=SAMPLING).samples)


@pytest.mark.parametrize("with_samples", [False, True])
def test_a_cancelled_task_leaves_the_batch(tiny: Tiny, with_samples: bool) -> None:
    """Cancelling ends the work at the next pass, and another request goes on undisturbed."""
    engine = copy_of(tiny())
    both = partial(engine.agenerate_with_samples, options=LONG, sampling=LONG, limit=lambda _: 100)
    ask: Any = both if with_samples else partial(engine.agenerate, options=LONG)

    async def main() -> Generation:
        cancelled = asyncio.create_task(ask(user("a"), n=4))
        other = asyncio.create_task(engine.agenerate(user("b"), n=1, options=SAMPLING))
        await asyncio.sleep(0.1)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        return await other

    with passes_seen(engine, seconds=0.02) as seen:
        generation = asyncio.run(main())
        until_idle()
        assert len(seen) < LONG.max_tokens / 2
    assert_own(engine, "b", generation.samples)


def test_cancelled_before_it_began_it_never_does(tiny: Tiny) -> None:
    """A task that is cancelled while its prompt is still being written out leaves no work behind."""
    engine = copy_of(tiny())
    engine.load()
    form = engine._loaded.format
    encode, begun, go_on = form.encode, threading.Event(), threading.Event()

    def slowly(*arguments: Any) -> Any:
        begun.set()
        go_on.wait(5)
        return encode(*arguments)

    form.encode = slowly

    async def main() -> None:
        task = asyncio.create_task(engine.agenerate(user("a"), n=2, options=SAMPLING))
        await asyncio.to_thread(begun.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()

    with passes_seen(engine) as seen:
        asyncio.run(main())
        time.sleep(0.2)
        assert seen == []


def test_a_prompt_that_cannot_be_begun_is_its_caller_s_error(tiny: Tiny) -> None:
    """Memory may run out already where a common beginning is copied; others go on, and so does the next request."""
    engine = copy_of(tiny())
    assert engine._loaded is not None
    passes = engine._loaded.batcher._passes
    begin = passes.prompt

    def scarce(ids: tuple[int, ...], *known: Any) -> Any:
        if ids_of("z")[0] in ids:
            raise torch.OutOfMemoryError("no memory")
        return begin(ids, *known)

    passes.prompt = scarce
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(engine.generate, user("other"), n=2, options=SAMPLING)
        with pytest.raises(ModelError, match="not enough memory"):
            engine.generate(user("zzz"), n=2, options=SAMPLING)
        assert_own(engine, "other", other.result().samples)


def test_a_pass_that_nobody_waits_for_is_given_up(tiny: Tiny) -> None:
    """In the middle of the model, so that a long prompt is no reason to go on; the prompt can be asked again."""
    engine = copy_of(tiny())
    assert engine._loaded is not None
    begun, go_on, reached = threading.Event(), threading.Event(), list[int]()

    def note(layer: int, _: Any) -> None:
        reached.append(layer)
        begun.set()
        go_on.wait(5)

    async def main() -> None:
        task = asyncio.create_task(engine.agenerate(QUESTION, n=2, options=SAMPLING))
        await asyncio.to_thread(begun.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()

    with in_each_layer(engine, note):
        asyncio.run(main())
        until_idle()
    assert reached == [0]
    samples = engine.generate(QUESTION, n=2, options=SAMPLING).samples
    assert_own(engine, str(QUESTION[0]["content"]), samples)


def test_ctrl_c_leaves_the_batch(tiny: Tiny) -> None:
    """Ctrl-C reaches the caller within a pass or two, and the model stops."""
    engine = copy_of(tiny())
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with passes_seen(engine, seconds=0.02) as seen:
            threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT)).start()
            with pytest.raises(KeyboardInterrupt):
                engine.generate(user("a"), n=4, options=LONG)
            passes = len(seen)
            time.sleep(0.3)
            assert len(seen) <= passes + 2
    finally:
        signal.signal(signal.SIGINT, before)
    assert engine.generate(user("a"), n=1, options=SAMPLING).samples


def test_no_thread_stays_behind(tiny: Tiny) -> None:
    """The thread that runs the model ends with the last request."""
    engine = copy_of(tiny())
    ask_together(engine, [("a", 2, SAMPLING), ("b", 2, SAMPLING)])
    until_idle()
