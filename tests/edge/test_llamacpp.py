"""SmolLM2-135M on llama.cpp, for real: what the battery of all engines (test_battery.py) does not try."""

from __future__ import annotations

import asyncio
import copy
import pickle
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from confroute import ConfigurationError, MeanLogprob, ModelError, Router, SamplingOptions
from confroute.edge.llamacpp import LlamaCppEngine
from confroute.records import Message

xllamacpp = pytest.importorskip("xllamacpp")

SECRET = "zanzibarland"  # noqa: S105
FRANCE: list[Message] = [{"role": "user", "content": "What is the capital of France? Answer with one word."}]
STORY: list[Message] = [{"role": "user", "content": "Tell me a story about a fox."}]
GREEDY = SamplingOptions(max_tokens=12)


@pytest.fixture
def engine(small_llamacpp: LlamaCppEngine) -> LlamaCppEngine:
    return small_llamacpp


@pytest.fixture(scope="module")
def small(small_llamacpp: LlamaCppEngine) -> LlamaCppEngine:
    """The same with half the context."""
    return LlamaCppEngine(small_llamacpp.path, context_tokens=256, parallel=4, threads=1)


def pickled(engine: LlamaCppEngine) -> LlamaCppEngine:
    return pickle.loads(pickle.dumps(engine))  # noqa: S301


def sampling(seed: int | None = None, temperature: float = 1.0, max_tokens: int = 5) -> SamplingOptions:
    return SamplingOptions(temperature=temperature, max_tokens=max_tokens, seed=seed)


def texts(engine: LlamaCppEngine, n: int, options: SamplingOptions) -> list[str]:
    return [sample.text for sample in engine.generate(STORY, n=n, options=options).samples]


@pytest.mark.real_model
def test_greedy_answer(engine: LlamaCppEngine) -> None:
    """A known answer, the same twice, with one logprob per counted token.

    Only nearly the same: llama.cpp's sums depend on what is decoded together, and on a quantised model by some 0.1.
    """
    generation = engine.generate(FRANCE, n=1, options=GREEDY)
    (sample,) = generation.samples
    assert "Paris" in sample.text
    assert sample.finish_reason == "stop"
    assert sample.token_logprobs is not None
    assert len(sample.token_logprobs) == sample.output_tokens == generation.output_tokens
    assert 0 < sample.output_tokens <= 12
    assert all(-100 < value <= 0 for value in sample.token_logprobs)
    assert generation.input_tokens > 10
    again = engine.generate(FRANCE, n=1, options=GREEDY)
    assert again.samples[0].text == sample.text
    assert again.samples[0].token_logprobs == pytest.approx(sample.token_logprobs, abs=0.3)
    assert again.input_tokens == generation.input_tokens


@pytest.mark.real_model
def test_samples_differ(engine: LlamaCppEngine) -> None:
    """Samples of one call, and of a call with another seed, are not copies of each other."""
    drawn = texts(engine, 4, sampling(seed=1))
    assert len(set(drawn)) > 1
    assert texts(engine, 4, sampling(seed=100)) != drawn


@pytest.mark.real_model
def test_seed_is_the_draw(engine: LlamaCppEngine) -> None:
    """One seed draws one answer, and later batches of a call continue with other seeds."""
    assert texts(engine, 1, sampling(seed=5)) == texts(engine, 1, sampling(seed=5))
    assert len(set(texts(engine, 8, sampling(seed=5)))) > 4


@pytest.mark.parametrize("seed", [-1, -2, 2**32 - 1, 2**32 - 2, 2**64 + 5])
def test_any_seed_draws_again_what_it_drew(engine: LlamaCppEngine, seed: int) -> None:
    """llama.cpp takes the greatest of 32 bits for none, and counts on from the first sample's."""
    texts(engine, 2, sampling())  # reads the prompt
    assert texts(engine, 2, sampling(seed=seed)) == texts(engine, 2, sampling(seed=seed))


def test_numbers_beyond_those_of_llama_cpp_mean_what_they_say(engine: LlamaCppEngine) -> None:
    """Next to no temperature is greedy, more tokens than the context has are all that it has, and no sample is none."""
    greedy = texts(engine, 1, sampling(temperature=0.0))
    assert texts(engine, 1, sampling(temperature=1e-39)) == greedy
    assert texts(engine, 1, SamplingOptions(max_tokens=10**12, stop=(greedy[0][:3],))) != greedy
    with pytest.raises(ConfigurationError, match="n must be at least 1"):
        texts(engine, 0, sampling())


@pytest.mark.real_model
def test_logprobs_are_before_temperature(engine: LlamaCppEngine) -> None:
    """The first token's logprob is that of the full softmax, whatever the temperature it was drawn at."""
    question: list[Message] = [{"role": "user", "content": "What is the capital of Italy?"}]
    (greedy,) = engine.generate(question, n=1, options=SamplingOptions(max_tokens=1)).samples
    assert greedy.token_logprobs is not None
    assert greedy.token_logprobs[0] < -1, "the model is too sure of this token for temperature to show"
    for temperature in (0.3, 1.5):
        drawn = engine.generate(question, n=4, options=sampling(3, temperature, 1)).samples
        same = [sample.token_logprobs for sample in drawn if sample.text == greedy.text]
        for logprobs in same:
            assert logprobs == pytest.approx(greedy.token_logprobs, abs=0.3)
        assert same or temperature > 1


@pytest.mark.real_model
def test_answer_that_may_not_fit(small: LlamaCppEngine) -> None:
    """A prompt that leaves less room than max_tokens is answered as far as the context goes, and says so."""
    options = SamplingOptions(max_tokens=300, temperature=0.0)

    sample = small.generate([{"role": "user", "content": "fox " * 215}], n=1, options=options).samples[0]

    assert sample.output_tokens < 300
    assert sample.finish_reason in ("length", "stop")


@pytest.mark.real_model
def test_samples_that_fit_one_by_one(small: LlamaCppEngine) -> None:
    """Samples that fit into the context each, but not together, take turns; a busy engine is not a failing one."""
    assert len(small.generate(STORY, n=4, options=sampling(1, max_tokens=60)).samples) == 4


@pytest.mark.real_model
def test_requests_that_fit_one_by_one(small: LlamaCppEngine) -> None:
    """None is given up because of others, be it short, on another event loop, or beside one that is cancelled."""
    options = sampling(1, max_tokens=40)
    answered: list[int] = []

    async def ask(words: int, n: int) -> None:
        story: list[Message] = [{"role": "user", "content": "fox " * words + "Tell me a story."}]
        answered.append(len((await small.agenerate(story, n=n, options=options)).samples))

    async def ask_all() -> None:
        cancelled = asyncio.create_task(ask(150, 1))
        asking = [asyncio.create_task(ask(words, n)) for words, n in ((120, 1), (1, 2), (150, 1))]
        await asyncio.sleep(0.2)
        cancelled.cancel()
        await asyncio.gather(*asking)

    small._room.learn(1)  # so that all are let in together
    loops = [threading.Thread(target=asyncio.run, args=(ask_all(),)) for _ in range(2)]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join()
    assert sorted(answered) == [1, 1, 1, 1, 2, 2]


@pytest.mark.real_model
def test_answers_longer_than_expected(small: LlamaCppEngine) -> None:
    """Those that fill the cache, which ends them all, are answered after all."""
    engine = copy.copy(small)
    engine._room.learn(1)

    async def ask_all() -> list[int]:
        asking = (engine.agenerate(STORY, n=1, options=sampling(seed, max_tokens=100)) for seed in range(3))
        return [len(each.samples) for each in await asyncio.gather(*asking)]

    assert asyncio.run(ask_all()) == [1, 1, 1]


@pytest.mark.real_model
def test_router_escalates_too_long_a_prompt(engine: LlamaCppEngine, caplog: pytest.LogCaptureFixture) -> None:
    """The edge's context is the edge's limit, not the caller's: the cloud is asked."""
    record = Router(engine, estimator=MeanLogprob()).decide([{"role": "user", "content": f"{SECRET} " * 600}]).record
    assert (record.route, record.reason, record.error) == ("cloud", "edge_error", "ContextLengthError")
    assert SECRET not in caplog.text + repr(record)


@pytest.mark.real_model
def test_router_is_surer_of_common_facts(engine: LlamaCppEngine) -> None:
    """End to end: a free signal tells the capital of France from a made-up question."""
    router = Router(engine, estimator=MeanLogprob())
    options = SamplingOptions(max_tokens=12)
    odd: list[Message] = [{"role": "user", "content": "Who was the third mayor of Zanzibarland?"}]
    common, rare = router.decide(FRANCE, options).record, router.decide(odd, options).record
    assert common.confidence is not None
    assert rare.confidence is not None
    assert common.confidence > rare.confidence


@pytest.mark.real_model
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickled])
def test_copy_loads_its_own_weights(engine: LlamaCppEngine, again: Callable[[LlamaCppEngine], LlamaCppEngine]) -> None:
    """A loaded engine can be copied and pickled; the copy has its name and settings and is not loaded."""
    other = again(engine)
    assert (other.model, other._context_tokens, other._server) == ("smollm2-135m", 512, None)
    assert engine._server is not None


def test_cut_file_is_a_model_error(tmp_path: Path) -> None:
    """A file that only begins as a GGUF fails at loading with the model's name, not its path."""
    path = tmp_path / "cut.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00")
    with pytest.raises(
        ModelError, match=r'could not load "cut".* not complete.* adapter.* context_tokens=8192'
    ) as caught:
        LlamaCppEngine(path).generate(FRANCE, n=1, options=GREEDY)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    "setting",
    [
        {"context_tokens": 0},
        {"context_tokens": 1},
        {"context_tokens": 10**9},
        {"parallel": 0},
        {"parallel": 300},
        {"parallel": "4"},
        {"threads": 0},
        {"threads": 10_000},
    ],
    ids=str,
)
def test_a_setting_that_llama_cpp_cannot_have(setting: dict[str, Any]) -> None:
    """Some would end the process, or keep it busy for ever."""
    ((name, value),) = setting.items()
    with pytest.raises(ConfigurationError, match=f"{name} must be a whole number from .* not {value!r}"):
        LlamaCppEngine("none.gguf", **setting)


@pytest.mark.parametrize("path", ["/nonexistent/none.gguf", "/tmp/a\0b.gguf", "/tmp/\udcff.gguf", "~nobody-/x.gguf"])  # noqa: S108
def test_a_path_of_no_file(path: str) -> None:
    """It is the setting that is wrong."""
    with pytest.raises(ConfigurationError, match="path "):
        LlamaCppEngine(path).load()


def test_a_template_that_is_none(engine: LlamaCppEngine) -> None:
    """The setting is named."""
    with pytest.raises(ConfigurationError, match="with this chat_template"):
        LlamaCppEngine(engine.path, context_tokens=256, threads=1, chat_template="{{ bad").load()


def test_a_template_that_writes_nothing(engine: LlamaCppEngine) -> None:
    """All but the first of several samples of an empty prompt never came."""
    template = "{{ messages[0].content }}"
    other = LlamaCppEngine(engine.path, context_tokens=256, parallel=2, threads=1, chat_template=template)
    for n in (1, 2):
        with pytest.raises(ModelError, match="empty prompt"):
            other.generate([{"role": "user", "content": ""}], n=n, options=GREEDY)
    assert other.generate(FRANCE, n=2, options=GREEDY).samples


@pytest.mark.real_model
def test_parts_of_characters_are_counted(engine: LlamaCppEngine) -> None:
    """llama.cpp tells the last one's logprob only."""
    options = SamplingOptions(max_tokens=30, temperature=0.0)
    emoji = engine.generate([{"role": "user", "content": "Write five emoji of animals."}], n=2, options=options).samples
    for sample in emoji:
        assert sample.output_tokens == 30
        assert len(sample.token_logprobs or ()) == len(sample.tokens or ()) < 30


def test_what_is_no_json_is_a_model_error(engine: LlamaCppEngine) -> None:
    """The router escalates."""
    with pytest.raises(ModelError, match="TypeError"):
        engine.generate([{"role": "user", "content": {"a"}}], n=1, options=GREEDY)


def test_as_many_alternatives_as_there_are(engine: LlamaCppEngine) -> None:
    """However many are asked for."""
    options = SamplingOptions(max_tokens=1, alternatives=10**12)
    (sample,) = engine.generate(FRANCE, n=1, options=options).samples
    assert sample.alternatives is not None
    assert len(sample.alternatives[0]) > 1000


LONG = SamplingOptions(max_tokens=400, temperature=1.0)


def stops_working(within_seconds: float) -> bool:
    """Whether this process gets idle: a tenth of a second in which it uses next to no CPU."""
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        before = time.process_time()
        time.sleep(0.1)
        if time.process_time() - before < 0.02:
            return True
    return False


@pytest.mark.real_model
@pytest.mark.parametrize("options", [LONG, replace(LONG, stop=("qqq",))], ids=["streamed", "in one piece"])
def test_a_cancelled_task_stops_the_model(engine: LlamaCppEngine, options: SamplingOptions) -> None:
    """The task ends at once, llama.cpp some polls later, and the next request is answered."""

    async def cancel() -> float:
        task = asyncio.create_task(engine.agenerate(STORY, n=4, options=options))
        await asyncio.sleep(0.5)
        task.cancel()
        started = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - started

    assert asyncio.run(cancel()) < 1
    assert stops_working(within_seconds=5)
    assert "Paris" in engine.generate(FRANCE, n=1, options=GREEDY).samples[0].text


@pytest.mark.real_model
def test_ctrl_c_stops_the_model(engine: LlamaCppEngine) -> None:
    """It interrupts a request in the main thread at once, and llama.cpp does not go on with it."""
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    # A shell's background job inherits that Ctrl-C is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.5, press).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            engine.generate(STORY, n=4, options=LONG)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - pressed[0] < 1
    assert stops_working(within_seconds=5)
    assert "Paris" in engine.generate(FRANCE, n=1, options=GREEDY).samples[0].text


@pytest.mark.real_model
def test_only_this_object_may_ask(engine: LlamaCppEngine) -> None:
    """Whoever finds the port gets nothing without the key, least of all the prompts in the slots."""
    for path in ("/slots", "/v1/chat/completions"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(engine._server.listening_address + path)  # noqa: S310 - it is http
        assert refused.value.code == 401
        refused.value.close()


def test_a_pickle_has_no_key(engine: LlamaCppEngine) -> None:
    """Whoever reads it could ask the server."""
    engine.load()
    assert engine._key.encode() not in pickle.dumps(engine)
