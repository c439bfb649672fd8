"""An answer and samples of it asked of torch together: the same as one after the other, in fewer passes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from confroute.edge.transformers import TransformersEngine
from confroute.errors import ConfigurationError, ContextLengthError, ModelError
from confroute.records import Generation, Message, Sample, SamplingOptions
from tests.edge.tiny_models import (
    LONG,
    PROMPT,
    QUESTION,
    SAMPLING,
    copy_of,
    failing_on,
    passes_seen,
    until_idle,
    user,
)

torch = pytest.importorskip("torch")

Tiny = Callable[..., TransformersEngine]

GREEDY = SamplingOptions(max_tokens=12)


def together(engine: TransformersEngine, messages: Sequence[Message], **request: Any) -> list[Generation]:
    return engine.generate_with_samples(messages, **request)


def awaited(engine: TransformersEngine, messages: Sequence[Message], **request: Any) -> list[Generation]:
    return asyncio.run(engine.agenerate_with_samples(messages, **request))


def texts(generation: Generation) -> list[tuple[str, int, str | None]]:
    return [(sample.text, sample.output_tokens, sample.finish_reason) for sample in generation.samples]


@pytest.mark.parametrize("ask", [together, awaited])
@pytest.mark.parametrize("kind", ["full", "sliding", "alibi"])
@settings(max_examples=15)
@given(
    text=st.text("abcXYZ019", min_size=1, max_size=40),
    n=st.integers(1, 5),
    answer=st.builds(SamplingOptions, max_tokens=st.integers(1, 12), alternatives=st.sampled_from([0, 3])),
    seed=st.integers(0, 99),
    least=st.integers(2, 12),
)
def test_the_same_as_one_after_the_other(
    tiny: Tiny, ask: Callable[..., list[Generation]], kind: str, text: str, n: int, answer: Any, seed: int, least: int
) -> None:
    """Answer, samples and where each was cut are those of two requests, the second with the limit that the answer
    gives it."""
    engine = tiny(kind, many_eos=True)
    sampling = SamplingOptions(temperature=1.5, max_tokens=20, seed=seed)

    def limit(served: Sample) -> int:
        return max(least, 2 * served.output_tokens)

    first, second = ask(engine, user(text), options=answer, n=n, sampling=sampling, limit=limit)
    served = engine.generate(user(text), n=1, options=answer)
    most = min(sampling.max_tokens, limit(served.samples[0]))
    drawn = engine.generate(user(text), n=n, options=replace(sampling, max_tokens=most))
    assert (texts(first), texts(second)) == (texts(served), texts(drawn))
    assert first.input_tokens == second.input_tokens == served.input_tokens
    assert [len(place) for place in first.samples[0].alternatives or ()] == [answer.alternatives] * (
        first.samples[0].output_tokens if answer.alternatives else 0
    )


def test_together_they_take_the_passes_of_the_longer(tiny: Tiny) -> None:
    """The prompt is read once, and each pass after it takes the next token of the answer and of every sample."""
    engine = copy_of(tiny())
    with passes_seen(engine) as seen:
        engine.generate_with_samples(QUESTION, options=GREEDY, n=4, sampling=SAMPLING, limit=lambda _: 99)
    assert seen[0] == len(PROMPT)
    assert seen[1] == 5
    assert len(seen) <= GREEDY.max_tokens


def test_an_answer_that_needs_no_samples_ends_them(tiny: Tiny) -> None:
    """A limit of 0 lets them take the token they are at and no more."""
    engine = copy_of(tiny())
    with passes_seen(engine) as seen:
        answer, samples = engine.generate_with_samples(
            QUESTION, options=replace(GREEDY, max_tokens=3), n=2, sampling=LONG, limit=lambda _: 0
        )
    assert answer.samples[0].output_tokens <= 3
    assert len(samples.samples) == 2
    assert all(sample.output_tokens <= 4 for sample in samples.samples)
    assert len(seen) <= 4


@pytest.mark.parametrize(
    ("text", "sampling", "error"),
    [
        ("a" * 200, SAMPLING, ContextLengthError),
        ("a", replace(SAMPLING, hidden_layer=99), ConfigurationError),
        ("bb????bb", SAMPLING, ModelError),
    ],
)
@pytest.mark.parametrize("ask", [together, awaited])
def test_an_error_of_either_reaches_the_caller(
    tiny: Tiny, ask: Callable[..., list[Generation]], text: str, sampling: SamplingOptions, error: type[Exception]
) -> None:
    """Nothing of the two goes on, and the next request works."""
    engine = copy_of(tiny())
    with failing_on(engine, "????", ValueError("secret")), pytest.raises(error) as caught:
        ask(engine, user(text), options=GREEDY, n=3, sampling=sampling, limit=lambda _: 9)
    assert "secret" not in str(caught.value)
    until_idle()
    assert len(together(engine, user("a"), options=GREEDY, n=3, sampling=SAMPLING, limit=lambda _: 9)) == 2


def test_a_limit_that_fails_is_the_caller_s_error(tiny: Tiny) -> None:
    """And not a sample longer than it should be."""
    engine = copy_of(tiny())

    def broken(_: Sample) -> int:
        raise KeyError("secret")

    with pytest.raises(ModelError, match="failed") as caught:
        together(engine, user("a"), options=GREEDY, n=3, sampling=LONG, limit=broken)
    assert "secret" not in str(caught.value)
    until_idle()


def test_a_limit_that_ends_the_program_ends_its_own_request_only(tiny: Tiny) -> None:
    """What is no `Exception`, as of `sys.exit`, is raised where that request waits; the others go on."""
    engine = copy_of(tiny())

    def ending(_: Sample) -> int:
        raise SystemExit(3)

    with passes_seen(engine, seconds=0.01) as seen, ThreadPoolExecutor(1) as pool:
        other = pool.submit(engine.generate, user("other"), n=2, options=LONG)
        while not seen:
            time.sleep(0.001)
        with pytest.raises(SystemExit):
            engine.generate_with_samples(QUESTION, options=GREEDY, n=2, sampling=SAMPLING, limit=ending)
        assert not other.done(), "The test is of one that goes on."
        assert len(other.result().samples) == 2


def test_an_answer_beside_which_its_samples_do_not_fit(tiny: Tiny) -> None:
    """The samples then follow the answer, and are the same."""
    narrow, wide = copy_of(tiny(), parallel=3), copy_of(tiny())
    request: dict[str, Any] = {"options": GREEDY, "n": 3, "sampling": LONG, "limit": lambda _: 14}
    assert [texts(each) for each in together(narrow, QUESTION, **request)] == [
        texts(each) for each in together(wide, QUESTION, **request)
    ]
