"""Where memory runs out on torch: what nobody needs makes way, and the error is that of who asked for too much."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from confroute.edge import batching
from confroute.edge.transformers import TransformersEngine
from confroute.errors import ModelError
from tests.edge.tiny_models import (
    SAMPLING,
    batcher_of,
    copy_of,
    failing_on,
    in_each_layer,
    passes_of,
    until_idle,
    user,
    without_collector,
)

torch = pytest.importorskip("torch")

Tiny = Callable[..., TransformersEngine]
BRIEF = replace(SAMPLING, max_tokens=5)


def test_a_failed_pass_gives_back_its_memory_before_it_is_tried_again(tiny: Tiny) -> None:
    """What it computed is let go before the next try, and by the error that the caller gets."""
    engine = copy_of(tiny())
    engine.generate(user("kept"), n=1, options=BRIEF)
    computed: list[weakref.ref[Any]] = []

    def fail(layer: int, inputs: Any) -> None:
        if layer == 1:
            assert all(each() is None for each in computed)
            computed.append(weakref.ref(inputs))
            raise torch.OutOfMemoryError("out of memory")

    with without_collector(), in_each_layer(engine, fail):
        with pytest.raises(ModelError, match="not enough memory") as caught:
            engine.generate(user("abc"), n=2, options=BRIEF)
        until_idle()
        # Recorded where passes are, as it is, and again without what was kept.
        assert len(computed) == (2 if passes_of(engine)._replays is None else 3)
        assert all(each() is None for each in computed)
        assert caught.value.__cause__ is not None


@pytest.mark.parametrize("scarce", [3, 1])
def test_drawing_that_fails_is_done_again_for_each(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, scarce: int) -> None:
    """Memory that is not enough to draw for all is enough for each, with the same tokens; or the error is that of the
    request that needs more, and those who wait behind it get their answers."""
    engine = copy_of(tiny(), parallel=6)
    texts = {"a": 2, "b": 1, "c": 3, "d": 3}
    alone = {text: engine.generate(user(text), n=n, options=SAMPLING) for text, n in texts.items()}
    draw = batching.draw

    def limited(asked: Any, logits: Any) -> Any:
        if len(logits) > scarce:
            raise torch.OutOfMemoryError("out of memory")
        return draw(asked, logits)

    monkeypatch.setattr(batching, "draw", limited)

    def ask(text: str) -> Any:
        try:
            return engine.generate(user(text), n=texts[text], options=SAMPLING)
        except ModelError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        for text, outcome in zip(texts, pool.map(ask, texts), strict=True):
            if texts[text] <= scarce:
                for ours, theirs in zip(outcome.samples, alone[text].samples, strict=True):
                    assert ours.text == theirs.text
                    assert ours.token_logprobs == pytest.approx(theirs.token_logprobs, abs=1e-4)
            else:
                assert "not enough memory" in str(outcome)


@pytest.mark.parametrize("kind", ["full", "alibi"])
@pytest.mark.parametrize("call", ["prompt", "branches", "run"])
def test_memory_kept_for_later_is_given_up_where_one_needs_it_now(tiny: Tiny, kind: str, call: str) -> None:
    """Whatever it is needed for: prompts that only wait to be asked again make way, and the answer is the same."""
    engine = copy_of(tiny(kind))
    alone = engine.generate(user("zz"), n=3, options=SAMPLING)
    engine = copy_of(tiny(kind))
    for text in "abc":
        engine.generate(user(text), n=1, options=BRIEF)
    until_idle()
    batcher, passes = batcher_of(engine), passes_of(engine)
    does = getattr(passes, call)

    def scarce(*args: Any, **options: Any) -> Any:
        if len(batcher._prompts) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return does(*args, **options)

    setattr(passes, call, scarce)
    generation = engine.generate(user("zz"), n=3, options=SAMPLING)
    assert [each.text for each in generation.samples] == [each.text for each in alone.samples]
    assert len(batcher._prompts) == 1


@pytest.mark.parametrize("kind", ["full", "alibi"])
@pytest.mark.parametrize("call", ["prompt", "branches", "run"])
def test_memory_that_is_not_there_at_all_is_an_error(tiny: Tiny, kind: str, call: str) -> None:
    """Of the request that needs it; the thread that runs the model goes on, and ends."""
    engine = copy_of(tiny(kind))
    passes = passes_of(engine)
    does, seen = getattr(passes, call), list[int]()

    def scarce(*args: Any, **options: Any) -> Any:
        seen.append(1)
        raise torch.OutOfMemoryError("out of memory")

    setattr(passes, call, scarce)
    with pytest.raises(ModelError, match="not enough memory"):
        engine.generate(user("zz"), n=3, options=SAMPLING)
    until_idle()
    assert len(seen) == 1
    setattr(passes, call, does)
    assert engine.generate(user("zz"), n=3, options=SAMPLING).samples


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), "not enough memory"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "failed on a request"),
    ],
)
def test_memory_is_blamed_where_it_is_to_blame(tiny: Tiny, error: Exception, said: str) -> None:
    """Asking for less helps where memory ran out, and not where something else about memory went wrong."""
    engine = copy_of(tiny())
    with failing_on(engine, "bad", error), pytest.raises(ModelError, match=said):
        engine.generate(user("bad"), n=1, options=BRIEF)
