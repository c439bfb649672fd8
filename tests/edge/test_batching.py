"""Many requests to one torch model: each gets what it would alone, and what one does harms no other."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from confroute.edge.one_by_one import RereadPasses
from confroute.edge.transformers import TransformersEngine
from confroute.errors import ConfigurationError, ModelError
from confroute.records import Generation, SamplingOptions
from tests.edge.tiny_models import (
    LONG,
    QUESTION,
    SAMPLING,
    ask_together,
    assert_own,
    copy_of,
    failing_on,
    ids_of,
    in_each_layer,
    passes_of,
    passes_seen,
    until_idle,
    user,
)

torch = pytest.importorskip("torch")

Tiny = Callable[..., TransformersEngine]


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


def test_alternatives_are_those_of_the_request_itself(tiny: Tiny) -> None:
    """Of several who are told theirs in the same passes, each as many as it asked for."""
    engine = tiny()
    engine.load()
    together = [(letter * 9, n, replace(SAMPLING, alternatives=n)) for letter, n in (("a", 2), ("b", 3), ("c", 1))]
    for (text, n, options), generation in zip(together, ask_together(engine, together), strict=True):
        alone = engine.generate(user(text), n=n, options=options)
        for sample, expected in zip(generation.samples, alone.samples, strict=True):
            assert sample.alternatives is not None
            assert expected.alternatives is not None
            for place, own in zip(sample.alternatives, expected.alternatives, strict=True):
                assert [token for token, _ in place] == [token for token, _ in own]
                assert [logprob for _, logprob in place] == pytest.approx([logprob for _, logprob in own], abs=3e-4)


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


@pytest.mark.parametrize("kind", ["full", "alibi"])
def test_what_is_kept_of_a_prompt_beside_its_tokens_counts(tiny: Tiny, kind: str) -> None:
    """Its logits and hidden states take memory, too: of many short prompts no more is kept than as many tokens take."""
    engine = copy_of(tiny(kind), kept_tokens=60)
    for i, letter in enumerate("abcdefghijkl"):
        options = replace(SAMPLING, max_tokens=1, hidden_layer=0 if i % 2 else None)
        engine.generate(user(letter), n=1, options=options)
    until_idle()
    assert engine._loaded is not None
    prompts = list(engine._loaded.batcher._prompts.values())
    assert prompts
    if kind == "full":
        held = [sum(piece.nbytes for piece in prompt.layers.pieces) for prompt in prompts]
    else:
        held = [sum(layer.keys.nbytes + layer.values.nbytes for layer in prompt.cache.layers) for prompt in prompts]
    beside = sum(each.nbytes for prompt in prompts for each in (prompt.logits, prompt.hidden) if each is not None)
    assert sum(held) + beside <= 60 * held[0] / len(prompts[0].ids)


def test_what_keeps_nothing_of_its_prompts_keeps_none(tiny: Tiny) -> None:
    """Where all is read anew for each token, the logits alone are not worth their memory."""
    engine = copy_of(tiny())
    assert engine._loaded is not None
    engine._loaded.batcher._passes = RereadPasses(engine._loaded.model)
    engine._loaded.model.set_attn_implementation("sdpa")
    assert_own(engine, "abc", engine.generate(user("abc"), n=2, options=SAMPLING).samples)
    until_idle()
    assert not engine._loaded.batcher._prompts


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
