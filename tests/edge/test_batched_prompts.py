"""How prompts are read of which several are asked: what they begin with once, and in which passes."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from confroute.edge.ragged_prompt import RaggedPrompt
from confroute.edge.transformers import TransformersEngine, _tokens_of_prompts
from confroute.errors import ModelError
from confroute.records import Generation
from tests.edge.tiny_models import (
    LONG,
    PROMPT,
    QUESTION,
    SAMPLING,
    ask_together,
    assert_own,
    copy_of,
    failing_on,
    passes_of,
    passes_seen,
    user,
)

torch = pytest.importorskip("torch")

Tiny = Callable[..., TransformersEngine]


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
@pytest.mark.parametrize("alone_tokens", [1000, 20])
def test_those_who_come_at_once_share_their_beginning(tiny: Tiny, kind: str, alone_tokens: int) -> None:
    """It is read once, and then what follows it in each, whether that is one pass or many; two groups do not wait for
    each other. The answers are as if read whole."""
    engine = copy_of(tiny(kind))
    assert engine._loaded is not None
    engine._loaded.batcher._alone_tokens = alone_tokens
    one, other = "theseareallthesameinstructions", "AndthesearetheOthersInstructions"
    texts = [one + "A" * 9, one + "B" * 5, other + "C" * 7, one + "D" * 2, other + "E" * 4, one]
    with passes_seen(engine) as seen:
        answers = ask_together(engine, [(text, 2, SAMPLING) for text in texts])
    for text, generation in zip(texts, answers, strict=True):
        assert_own(engine, text, generation.samples)
    assert engine._loaded.batcher._ahead == {}
    if alone_tokens == 1000 and passes_of(engine)._replays is None:  # where passes are recorded, they are read whole
        leaders = len(f"u:{texts[0]};a:") + len(f"u:{texts[2]};a:")
        followers = sum(map(len, ("BBBBB;a:", "DD;a:", "EEEE;a:", ";a:")))
        # Whichever of each group came first, with two tokens of each that writes already.
        assert sum(seen[:2]) == leaders + followers + 2 * 2
        assert max(seen[2:]) == 2 * len(texts)


@pytest.mark.parametrize(("prompts", "shared", "passes"), [(5, 15, 1), (5, 16, 2), (4, 16, 1), (4, 22, 2)])
def test_little_in_common_is_not_waited_for(tiny: Tiny, prompts: int, shared: int, passes: int) -> None:
    """Another pass costs as much as some tokens more: those with a beginning too short, or too few of them to spare
    that many, are read in one."""
    engine = copy_of(tiny())
    if passes_of(engine)._replays is not None:
        pytest.skip("short prompts are sooner read whole")
    texts = [("same" * 9)[: shared - len("u:")] + letter * 3 for letter in "ABCDE"[:prompts]]
    with passes_seen(engine) as seen:
        ask_together(engine, [(text, 1, SAMPLING) for text in texts])
    assert [tokens > prompts for tokens in seen[:3]] == [True, passes == 2, False]


def test_what_many_begin_with_is_not_compared_for_each_pass(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has been read there is nothing to spare, and each pair would be compared token by token every time."""
    engine = copy_of(tiny())
    if passes_of(engine)._replays is not None:
        pytest.skip("short prompts are sooner read whole")
    assert engine._loaded is not None
    engine._loaded.batcher._alone_tokens = 20
    compared: list[int] = []
    shares = RaggedPrompt.shares

    def counted(ours: RaggedPrompt, theirs: RaggedPrompt) -> int:
        compared.append(ours.read)
        return shares(ours, theirs)

    texts = ["theseareallthesameinstructions" + letter * 60 for letter in "ABCD"]
    with monkeypatch.context() as patch, passes_seen(engine) as seen:
        patch.setattr(RaggedPrompt, "shares", counted)
        ask_together(engine, [(text, 1, SAMPLING) for text in texts])
    assert len(seen) > 10
    assert compared
    assert not any(compared)


@pytest.mark.parametrize("failing", ["X", "Y"])
def test_one_that_others_wait_for_fails(tiny: Tiny, failing: str) -> None:
    """Whoever of them fails, does so alone."""
    engine = copy_of(tiny())
    texts = ["theseareallthesameinstructions" + letter * 4 for letter in "XYZABC"]

    def ask(text: str) -> Generation | ModelError:
        try:
            return engine.generate(user(text), n=2, options=SAMPLING)
        except ModelError as error:
            return error

    with failing_on(engine, failing * 4, ValueError("secret")), ThreadPoolExecutor(6) as pool:
        outcomes = dict(zip(texts, pool.map(ask, texts), strict=True))
    for text, outcome in outcomes.items():
        assert isinstance(outcome, ModelError) == (failing in text)
        if isinstance(outcome, Generation):
            assert_own(engine, text, outcome.samples)


def test_many_who_come_while_one_writes_begin_together(tiny: Tiny) -> None:
    """One that writes waits for a longer pass where six wait to begin; where it is one, that one's prompt is read in
    parts. The answers are their own."""
    engine = copy_of(tiny())
    assert engine._loaded is not None
    engine._loaded.batcher._prompt_tokens = 60
    with passes_seen(engine, seconds=0.05) as seen, ThreadPoolExecutor(8) as pool:
        first = pool.submit(engine.generate, user("first"), n=1, options=LONG)
        while len(seen) < 2:
            time.sleep(0.001)
        texts = [letter * 50 for letter in "abcdeh"]
        answers = ask_together(engine, [(text, 1, SAMPLING) for text in texts])
        before = len(seen)
        last = pool.submit(engine.generate, user("g" * 90), n=1, options=SAMPLING).result()
        assert not first.done(), "The test is of those who come while one writes."
    shared = 0 if passes_of(engine)._replays else len("u:")
    assert 1 + 6 * (55 - shared) in seen[:before]
    assert max(seen[before:]) == 1 + 60
    for text, generation in zip((*texts, "g" * 90), (*answers, last), strict=True):
        assert_own(engine, text, generation.samples)


@pytest.mark.parametrize(
    ("jobs", "writing", "tokens"), [(7, 1, 360), (7, 3, 60), (8, 2, 180), (9, 1, 400), (3, 3, 60), (5, 0, 400)]
)
def test_who_writes_waits_longer_for_many(tiny: Tiny, jobs: int, writing: int, tokens: int) -> None:
    """For so many tokens of prompts as there wait for each that writes, and never for more than nobody waits for."""
    batcher = copy_of(tiny(), kept_tokens=1)._loaded.batcher  # type: ignore[union-attr]
    batcher._prompt_tokens, batcher._alone_tokens, batcher._running = 60, 400, [None] * jobs
    assert batcher._tokens_of_prompts(writing) == tokens


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
