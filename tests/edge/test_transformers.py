"""The torch engine: what it samples is what transformers itself would, and the prompt is evaluated once."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from confroute.conformance.subject import Subject
from confroute.edge import resolve_edge
from confroute.edge.base import EdgeEngine
from confroute.edge.transformers import TransformersEngine
from confroute.errors import ConfigurationError, ContextLengthError, ModelError, UnsupportedRequestError
from confroute.records import Sample, SamplingOptions
from confroute.testing import ENGINE_LAWS
from tests.edge.tiny_models import (
    CONTEXT_TOKENS,
    EOS,
    PROMPT,
    QUESTION,
    SAMPLING,
    copy_of,
    ids_of,
    model_of,
    passes_of,
    passes_seen,
    save_tiny,
    teacher_forced,
)

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def test_constructor_imports_no_torch() -> None:
    """Naming a model must not pay for importing torch."""
    code = (
        "import sys; from confroute.edge.transformers import TransformersEngine as E; E('owner/name'); "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


def test_is_an_edge_engine(tiny: Callable[..., TransformersEngine]) -> None:
    """The router takes it as an engine."""
    assert isinstance(tiny(), EdgeEngine)


@pytest.mark.parametrize("kind", ["full", "pieces"])
def test_there_is_a_text_and_a_logprob_for_each_token(tiny: Callable[..., TransformersEngine], kind: str) -> None:
    """Together they are the answer, whatever a decoder does with spaces and with parts of characters."""
    # Its prompts begin as others do, which would then be read on from there.
    subject = Subject(engine=copy_of(tiny(kind)), facts={"whatisit?": "a"}, context_tokens=None)
    ENGINE_LAWS["there is a logprob for each token, or for none"](subject)
    for sample in subject.ask(*QUESTION, n=20, max_tokens=40, temperature=1.0, seed=1).samples:
        assert "".join(sample.tokens or ()).strip() == sample.text


@pytest.mark.parametrize("kind", ["full", "sliding", "alibi"])
def test_greedy_equals_transformers_generate(tiny: Callable[..., TransformersEngine], kind: str) -> None:
    """At temperature 0 the tokens are those of transformers' own greedy search."""
    engine = tiny(kind)
    theirs = model_of(engine).generate(
        torch.tensor([ids_of(PROMPT)]), do_sample=False, max_new_tokens=24, pad_token_id=EOS
    )[0, len(PROMPT) :]
    generation = engine.generate(QUESTION, n=1, options=SamplingOptions(max_tokens=24))
    assert ids_of(generation.samples[0].text) == [token for token in theirs.tolist() if token != EOS]
    assert generation.input_tokens == len(PROMPT)


@pytest.mark.parametrize(("kind", "ragged"), [("full", True), ("sliding", True), ("alibi", False)])
@pytest.mark.parametrize("many_eos", [False, True])
def test_logprobs_equal_a_recomputation(
    tiny: Callable[..., TransformersEngine], kind: str, ragged: bool, many_eos: bool
) -> None:
    """However samples are decoded together, none sees another, also when some end early and leave."""
    engine = tiny(kind, many_eos=many_eos)
    options = SamplingOptions(temperature=1.5, max_tokens=24, seed=3)
    samples = engine.generate(QUESTION, n=16, options=options).samples
    assert passes_of(engine).together is ragged
    if many_eos:
        assert len({sample.output_tokens for sample in samples}) > 3
        assert all(sample.finish_reason == "stop" for sample in samples if sample.output_tokens < 24)
    for sample in samples:
        assert len(sample.text) == sample.output_tokens == len(sample.token_logprobs or ())
        assert (sample.token_logprobs or ()) == pytest.approx(teacher_forced(engine, sample.text), abs=2e-4)


def test_samples_follow_the_distribution(tiny: Callable[..., TransformersEngine]) -> None:
    """First tokens come as often as the model's softmax at the temperature says."""
    engine = tiny()
    options = SamplingOptions(temperature=1.5, max_tokens=1, seed=1)
    samples = engine.generate(QUESTION, n=4000, options=options).samples
    with torch.inference_mode():
        logits = model_of(engine)(input_ids=torch.tensor([ids_of(PROMPT)])).logits[0, -1]
    expected = (logits / 1.5).softmax(-1)
    likeliest = int(expected.argmax())
    share = sum(ids_of(sample.text) == [likeliest] for sample in samples) / len(samples)
    sd = float((expected[likeliest] * (1 - expected[likeliest]) / len(samples)) ** 0.5)
    assert abs(share - float(expected[likeliest])) < 5 * sd, "5 standard errors: p < 1e-6 unless temperature is off"


def test_same_seed_same_samples_and_no_global_state(tiny: Callable[..., TransformersEngine]) -> None:
    """A seed fixes the samples, another changes them, and torch's own generator never moves."""
    engine = tiny()
    before = torch.random.get_rng_state()
    first = engine.generate(QUESTION, n=5, options=SAMPLING)
    again = engine.generate(QUESTION, n=5, options=SAMPLING)
    other = engine.generate(QUESTION, n=5, options=SamplingOptions(temperature=0.8, max_tokens=12, seed=8))
    unseeded = engine.generate(QUESTION, n=5, options=SamplingOptions(temperature=0.8, max_tokens=12))
    assert first == again
    assert first.samples != other.samples != unseeded.samples
    assert torch.equal(before, torch.random.get_rng_state())
    assert len({sample.text for sample in first.samples}) > 1


def test_one_prefill_for_a_prompt_asked_again(tiny: Callable[..., TransformersEngine]) -> None:
    """The router's greedy answer and its samples evaluate the prompt once, and the first call leaves no trace."""
    engine = pickle.loads(pickle.dumps(tiny()))  # noqa: S301 - made in the line itself
    with passes_seen(engine) as seen:
        engine.generate(QUESTION, n=1, options=SamplingOptions(max_tokens=8))
        ours = engine.generate(QUESTION, n=10, options=SAMPLING)
        assert [tokens for tokens in seen if tokens > 10] == [len(PROMPT)]
        engine.generate([{"role": "user", "content": "another"}], n=1, options=SAMPLING)
        fresh = engine.generate(QUESTION, n=10, options=SAMPLING)
    assert ours == fresh


def test_the_end_of_the_tokenizer_ends_an_answer_too(tmp_path: Path) -> None:
    """Where the generation config knows only others, as that of the first Llama 3. None is taken into an answer."""
    end = ids_of(";")[0]
    engine = TransformersEngine(save_tiny(tmp_path, eos=end), device="cpu", dtype="float32")
    options = SamplingOptions(temperature=1.5, max_tokens=70, seed=1)
    samples = engine.generate(QUESTION, n=20, options=options).samples
    assert all(sample.output_tokens == len(sample.text) for sample in samples), "<eos> has no text"
    assert not any(";" in sample.text for sample in samples)


def test_a_tokenizer_of_more_tokens_than_the_weights_is_served(tmp_path: Path) -> None:
    """As one that a [PAD] was added to: the message that has it is answered, and it ends no answer."""
    folder = save_tiny(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"eos_token": "zz"})
    tokenizer.save_pretrained(folder)
    engine = TransformersEngine(folder, device="cpu", dtype="float32")
    for text in ("a", "azzb"):
        (sample,) = engine.generate([{"role": "user", "content": text}], n=1, options=SAMPLING).samples
        assert sample.text
    assert engine._loaded is not None
    assert engine._loaded.eos == {EOS}


def test_stop_strings_cut_text_and_logprobs(tiny: Callable[..., TransformersEngine]) -> None:
    """The answer ends before the first stop string, and has a logprob for each token that is left."""
    engine = tiny()
    whole = engine.generate(QUESTION, n=1, options=SamplingOptions(max_tokens=16)).samples[0]
    stop = whole.text[6:8]
    cut = whole.text.index(stop)
    options = SamplingOptions(max_tokens=16, stop=("never~", stop))
    assert engine.generate(QUESTION, n=1, options=options).samples[0] == Sample(
        text=whole.text[:cut],
        token_logprobs=(whole.token_logprobs or ())[:cut] or None,
        tokens=tuple(whole.text[:cut]) or None,
        output_tokens=cut,
        finish_reason="stop",
    )


def test_alternatives_are_the_likeliest_tokens(tiny: Callable[..., TransformersEngine]) -> None:
    """As many as asked for at each token, the likeliest first; a greedy answer is the first of each, with its
    logprob. Not asked for, there are none."""
    engine = tiny()
    sample = engine.generate(QUESTION, n=1, options=SamplingOptions(max_tokens=8, alternatives=3)).samples[0]
    assert sample.alternatives is not None
    for token, logprob, place in zip(
        sample.tokens or (), sample.token_logprobs or (), sample.alternatives, strict=True
    ):
        assert place[0] == (token, pytest.approx(logprob))
        assert [p for _, p in place] == sorted((p for _, p in place), reverse=True)
        assert len(place) == 3
    assert engine.generate(QUESTION, n=1, options=SamplingOptions(max_tokens=8)).samples[0].alternatives is None


def test_context_is_respected(tiny: Callable[..., TransformersEngine]) -> None:
    """A prompt that fills the context is refused unevaluated; one that leaves room gets as many tokens as fit."""
    engine = tiny()
    full = [{"role": "user", "content": "x" * (CONTEXT_TOKENS - len("u:;a:"))}]
    with pytest.raises(ContextLengthError) as caught:
        engine.generate(full, n=2, options=SAMPLING)
    assert (caught.value.prompt_tokens, caught.value.context_tokens) == (CONTEXT_TOKENS, CONTEXT_TOKENS)
    almost = [{"role": "user", "content": "x" * (CONTEXT_TOKENS - len("u:;a:") - 3)}]
    samples = engine.generate(almost, n=4, options=SamplingOptions(temperature=1.0, max_tokens=50, seed=1)).samples
    assert max(sample.output_tokens for sample in samples) == 3


def test_tiny_top_p_is_greedy(tiny: Callable[..., TransformersEngine]) -> None:
    """A nucleus of one token is greedy search, whatever the temperature."""
    greedy = tiny().generate(QUESTION, n=1, options=SamplingOptions(max_tokens=12)).samples[0]
    options = SamplingOptions(temperature=2.0, top_p=1e-9, max_tokens=12, seed=1)
    for sample in tiny().generate(QUESTION, n=3, options=options).samples:
        assert sample.text == greedy.text
        assert sample.token_logprobs == pytest.approx(greedy.token_logprobs, abs=2e-4)


def test_pickle_and_repr_carry_neither_weights_nor_paths(tiny: Callable[..., TransformersEngine]) -> None:
    """A copy sent to another process is small and answers the same; the repr names the model only."""
    engine = tiny()
    expected = engine.generate(QUESTION, n=2, options=SAMPLING)
    sent = pickle.dumps(engine)
    assert len(sent) < 2000
    copied = pickle.loads(sent).generate(QUESTION, n=2, options=SAMPLING)  # noqa: S301 - made two lines above
    for sample, own in zip(copied.samples, expected.samples, strict=True):
        assert sample.tokens == own.tokens
        assert sample.token_logprobs == pytest.approx(own.token_logprobs, abs=2e-4)  # by what else was in the batch
    assert repr(engine) == "TransformersEngine('tiny-full-False')"


def test_no_chat_template_is_an_error(tmp_path: Path) -> None:
    """A base model cannot be asked in messages, and the error says so without the messages."""
    engine = TransformersEngine(save_tiny(tmp_path / "base", template=None), device="cpu")
    with pytest.raises(ModelError, match=r'"base" has no chat template') as caught:
        engine.generate(QUESTION, n=1, options=SAMPLING)
    assert "capital" not in str(caught.value)


def test_refused_messages_are_an_error(tmp_path: Path) -> None:
    """A template that refuses a role fails with what to do, and without the text of the messages."""
    template = "{{ raise_exception('no ' + messages[0]['content']) }}"
    engine = TransformersEngine(save_tiny(tmp_path, template=template), name="picky", device="cpu")
    with pytest.raises(ModelError, match="refused the messages") as caught:
        engine.generate(QUESTION, n=1, options=SAMPLING)
    assert "capital" not in str(caught.value)


def test_damaged_checkpoint_is_a_model_error(tmp_path: Path) -> None:
    """Weights that cannot be read fail with the model's name and no path."""
    save_tiny(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"version https://git-lfs")
    with pytest.raises(ModelError, match=r'could not load "pointer"') as caught:
        TransformersEngine(str(tmp_path), name="pointer", device="cpu").load()
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("options", [{"dtype": "int3"}, {"context_tokens": 1}])
def test_wrong_settings_fail_at_once(options: dict[str, Any]) -> None:
    """A setting that can never work is refused by the constructor."""
    with pytest.raises(ConfigurationError):
        TransformersEngine("owner/name", **options)


@pytest.mark.parametrize("dtype", [None, "float32", "float16"])
def test_weights_are_rounded_unless_float32_is_asked_for(
    tiny: Callable[..., TransformersEngine], dtype: str | None
) -> None:
    """On a CPU, which computes in float32 whatever the weights are. Rounding them changes logprobs by little, and by
    nothing where torch does not multiply by weights in float16."""
    engine = copy_of(tiny(), dtype=dtype, device="cpu")
    options = SamplingOptions(temperature=1.5, max_tokens=24, seed=3)
    for sample in engine.generate(QUESTION, n=4, options=options).samples:
        theirs = teacher_forced(engine, sample.text)
        error = max(abs(ours - own) for ours, own in zip(sample.token_logprobs or (), theirs, strict=True))
        if dtype == "float32" or "fbgemm" not in torch.backends.quantized.supported_engines:
            assert error < 1e-4
        else:
            assert 1e-4 < error < 2e-2


def test_nothing_to_sample_is_refused(tiny: Callable[..., TransformersEngine]) -> None:
    """Zero samples are a mistake, not an empty answer."""
    with pytest.raises(ConfigurationError, match="not 0"):
        tiny().generate(QUESTION, n=0, options=SamplingOptions())


def test_a_file_is_known_by_its_contents(tmp_path: Path) -> None:
    """The same file installed elsewhere, at another time, is converted no second time; another of its name and size is
    told apart, wherever a fiftieth of it differs."""
    from confroute.edge.weights import fingerprint

    content = bytes(range(256)) * 4096
    for i, name in enumerate(("a", "b")):
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, (i, i))
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    block = len(content) // 50
    for begin in range(0, len(content) - block, block):
        (tmp_path / "b").write_bytes(content[:begin] + bytes(block) + content[begin + block :])
        assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")


@pytest.fixture(scope="module")
def smollm2(torch_device: str) -> TransformersEngine:
    pytest.importorskip("gguf")
    packaged: Any = resolve_edge("smollm2-135m", engine="transformers")
    return TransformersEngine(packaged._checkpoint, gguf_file=packaged._gguf_file, device=torch_device)


@pytest.mark.real_model
def test_real_model_answers(smollm2: TransformersEngine) -> None:
    """The packaged model knows the capital of France."""
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    sample = smollm2.generate(messages, n=1, options=SamplingOptions(max_tokens=24)).samples[0]
    assert "Paris" in sample.text
    assert sample.mean_logprob > -1
    assert sample.finish_reason == "stop"


@pytest.mark.real_model
def test_real_model_samples(smollm2: TransformersEngine) -> None:
    """Samples of the packaged model are decoded in ragged passes; many name Paris, about as many as on llama.cpp, where
    half of them do; not all are the same."""
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    options = SamplingOptions(temperature=0.7, max_tokens=24, seed=1)
    samples = smollm2.generate(messages, n=40, options=options).samples
    assert passes_of(smollm2).together
    assert sum("Paris" in sample.text for sample in samples) >= 10
    assert len({sample.text for sample in samples}) > 1


@pytest.mark.real_model
def test_real_model_is_converted_once(smollm2: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second start reads the cached weights; the GGUF is not opened by transformers again."""
    from confroute.edge import checkpoints as module

    smollm2.load()
    asked: list[dict[str, Any]] = []
    original = module.from_pretrained
    monkeypatch.setattr(module, "from_pretrained", lambda at, **kw: (asked.append(kw), original(at, **kw))[1])
    pickle.loads(pickle.dumps(smollm2)).load()  # noqa: S301 - made in the line itself
    assert asked == [{"dtype": "float32" if smollm2._device == "cpu" else "float16"}]
    assert not list(module.cache_folder().glob("unfinished-*"))


@pytest.mark.parametrize("kind", ["full", "sliding", "alibi"])
@pytest.mark.parametrize("layer", [0, 1, -1])
def test_hidden_states_are_those_of_a_plain_pass(
    tiny: Callable[..., TransformersEngine], kind: str, layer: int
) -> None:
    """At the token before the answer, and at the one before its last, or before its end."""
    engine = tiny(kind)
    for asked_before in (False, True):
        if asked_before:  # a prompt that was read without them
            engine.generate(QUESTION, n=1, options=SAMPLING)
        options = replace(SAMPLING, hidden_layer=layer)
        generation = engine.generate(QUESTION, n=3, options=options)
        for sample in generation.samples:
            tokens = [*ids_of(PROMPT), *ids_of(sample.text)]
            with torch.inference_mode():
                reply = model_of(engine)(input_ids=torch.tensor([tokens]), output_hidden_states=True)
            states = reply.hidden_states[layer][0]
            last = states[-1 if sample.finish_reason == "stop" else -2]
            expected = torch.stack([states[len(PROMPT) - 1], last]).numpy()
            assert sample.hidden_states is not None
            assert sample.hidden_states.shape == (2, 64)
            assert abs(sample.hidden_states - expected).max() < 2e-4
        plain = engine.generate(QUESTION, n=3, options=SAMPLING)
        assert plain == generation
        assert {sample.hidden_states is None for sample in plain.samples} == {True}


def test_a_layer_that_there_is_not_is_refused(tiny: Callable[..., TransformersEngine]) -> None:
    """By the numbers of those that there are."""
    with pytest.raises(ConfigurationError, match="layers 0 to 2, not 3"):
        tiny().generate(QUESTION, n=1, options=replace(SAMPLING, hidden_layer=3))


def test_hidden_states_that_are_not_one_of_a_token_are_refused(tmp_path: Path) -> None:
    """Gemma 3n's are four in each layer. It answers all the same where they are not asked for."""
    folder = save_tiny(tmp_path)
    shape = {**transformers.AutoConfig.from_pretrained(folder).to_dict(), "num_hidden_layers": 4, "head_dim": 16}
    shape |= {"intermediate_size": [96] * 4, "activation_sparsity_pattern": [0.0] * 4, "pad_token_id": EOS}
    shape |= {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": shape["vocab_size"], "laurel_rank": 8}
    shape |= {"layer_types": ["sliding_attention", "full_attention"] * 2, "num_kv_shared_layers": 2}
    names = ("model_type", "architectures", "rope_parameters", "hidden_act")
    config = transformers.Gemma3nTextConfig(**{name: value for name, value in shape.items() if name not in names})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.Gemma3nForCausalLM(config).save_pretrained(folder)
    engine = TransformersEngine(folder, name="3n", dtype="float32", device="cpu")
    with pytest.raises(UnsupportedRequestError, match=r'hidden states of "3n".* hidden_layer'):
        engine.generate(QUESTION, n=1, options=replace(SAMPLING, hidden_layer=-1))
    assert engine.generate(QUESTION, n=2, options=SAMPLING).samples
