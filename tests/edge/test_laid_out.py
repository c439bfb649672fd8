"""Models that transformers builds in ways of their own say what they say to transformers, or are refused."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from confroute import ContextLengthError, ModelError, SamplingOptions
from confroute.edge.laid_out import laid_out
from confroute.edge.one_by_one import CopiedPasses, RereadPasses
from confroute.edge.ragged import RaggedPasses
from confroute.edge.transformers import TransformersEngine
from tests.edge.tiny_models import (
    CHARACTERS,
    EOS,
    copy_of,
    ids_of,
    model_of,
    passes_of,
    save_tiny,
    teacher_forced,
    user,
)

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SHAPE: dict[str, Any] = {
    "vocab_size": len(CHARACTERS) + 1,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": EOS,
    "pad_token_id": EOS,
}
ATTENDING = {
    **SHAPE,
    "num_hidden_layers": 4,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
WINDOWED = {"sliding_window": 512, "layer_types": ["sliding_attention", "full_attention"] * 2}
LONGROPE = {
    "original_max_position_embeddings": 20,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0] * 8,
        "long_factor": [4.0] * 8,
    },
}
DYNAMIC = {
    "max_position_embeddings": 120,
    "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 8.0},
}

BUILT: dict[str, tuple[str, dict[str, Any], type[Any]]] = {
    # Uses a linear layer's weight beside the layer.
    "mamba": ("Mamba", {**SHAPE, "state_size": 8}, CopiedPasses),
    # Counts positions from the beginning unless it is told them.
    "bamba": ("Bamba", {**ATTENDING, **MAMBA, "attn_layer_indices": [1, 3]}, CopiedPasses),
    # Keeps its state in its layers, where requests would meet.
    "recurrent": ("RecurrentGemma", {**ATTENDING, "lru_width": 64, "attention_window_size": 16}, RereadPasses),
    # Keeps nothing of what it reads.
    "openai": ("OpenAIGPT", {"vocab_size": 66, "n_embd": 64, "n_layer": 2, "n_head": 4}, RereadPasses),
    # Turns all positions by other factors in texts of more than 20 tokens.
    "longrope": ("Phi3", {**ATTENDING, **LONGROPE}, CopiedPasses),
    # Turns positions by other factors only in texts longer than it is ever asked about.
    "dynamic": ("Llama", {**ATTENDING, **DYNAMIC}, RaggedPasses),
    # Has no place for what is beyond its limit, which others call max_position_embeddings.
    "mpt": (
        "Mpt",
        {**SHAPE, "d_model": 64, "n_layers": 2, "n_heads": 4, "max_seq_len": 124},
        CopiedPasses,
    ),
    # Views what its attention gives as rows.
    "afmoe": (
        "Afmoe",
        {**ATTENDING, **EXPERTS, **WINDOWED, "head_dim": 16, "moe_intermediate_size": 32, "num_dense_layers": 1},
        RaggedPasses,
    ),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TransformersEngine]:
    engines: dict[str, TransformersEngine] = {}

    def engine(kind: str) -> TransformersEngine:
        if kind not in engines:
            name, settings, _ = BUILT[kind]
            folder = tmp_path_factory.mktemp(kind)
            save_tiny(folder, template="{% for m in messages %}{{ m['content'] }}{% endfor %}")
            config = getattr(transformers, "OpenAIGPTConfig" if kind == "openai" else f"{name}Config")(**settings)
            with torch.random.fork_rng():
                torch.manual_seed(0)
                model_class = f"{name}LMHeadModel" if kind == "openai" else f"{name}ForCausalLM"
                getattr(transformers, model_class)(config).save_pretrained(folder)
            engines[kind] = TransformersEngine(str(folder), dtype="float32")
        return engines[kind]

    return engine


QUESTIONS = ["a", "whatisit", "whatisitandwhy", "HowManyAreThereOfThem?" * 5]


def off_by(engine: TransformersEngine, question: str, sample: Any) -> float:
    """How far the answer's logprobs are from those of one pass over all of it."""
    expected = teacher_forced(engine, "".join(sample.tokens or ()), question)
    return max(abs(a - b) for a, b in zip(sample.token_logprobs or (9.0,), expected, strict=True))


@pytest.mark.parametrize("kind", [kind for kind in BUILT if kind != "longrope"])
@pytest.mark.filterwarnings("ignore:.*fast path is not available.*")
def test_what_it_says_is_what_one_pass_over_all_of_it_gives(
    built: Callable[[str], TransformersEngine], kind: str
) -> None:
    """One request after the other, a conversation that goes on, several samples, and all at once."""
    engine = built(kind)
    assert isinstance(passes_of(engine), BUILT[kind][2])
    options = SamplingOptions(temperature=0.7, max_tokens=6, seed=1)

    def worst(question: str) -> float:
        samples = engine.generate(user(question), n=3, options=options).samples
        return max(off_by(engine, question, sample) for sample in samples if sample.tokens)

    assert max(map(worst, QUESTIONS)) < 2e-3
    with ThreadPoolExecutor(len(QUESTIONS)) as pool:
        assert max(pool.map(worst, QUESTIONS)) < 2e-3


def step_by_step(engine: TransformersEngine, question: str, sample: Any) -> list[float]:
    """log p of each token of an answer, from one plain pass for each over what is before it."""
    answer = ids_of("".join(sample.tokens or ()))
    logprobs: list[float] = []
    with torch.inference_mode():
        for i, token in enumerate(answer):
            before = torch.tensor([ids_of(question) + answer[:i]])
            logits = model_of(engine)(input_ids=before, use_cache=False).logits[0, -1].float()
            logprobs.append(float(logits.log_softmax(-1)[token]))
    return logprobs


@pytest.mark.parametrize("length", [12, 18, 20, 25])
def test_keys_that_turn_otherwise_in_longer_texts_are_read_again(
    built: Callable[[str], TransformersEngine], length: int
) -> None:
    """Where an answer crosses the length from which all positions turn by other factors (longrope), in the middle, at
    its first token or never; some samples of a request end before."""
    engine = built("longrope")
    assert isinstance(passes_of(engine), CopiedPasses)
    question = "whatisitandwhyisitnotLyon"[:length]
    options = SamplingOptions(temperature=1.0, max_tokens=16, seed=3, stop=("a", "e", "k", "R", "7"), hidden_layer=-1)
    samples = engine.generate(user(question), n=6, options=options).samples
    assert len({sample.output_tokens for sample in samples}) > 1
    for sample in samples:
        assert (sample.token_logprobs or ()) == pytest.approx(step_by_step(engine, question, sample), abs=1e-4)


def test_a_limit_by_another_name_is_kept_to(built: Callable[[str], TransformersEngine]) -> None:
    """The answer ends where the model's positions do, and a longer prompt is refused before it is read."""
    engine = built("mpt")
    options = SamplingOptions(temperature=1.0, max_tokens=40, seed=1)
    for sample in engine.generate(user("y" * 120), n=4, options=options).samples:
        assert sample.output_tokens is not None
        assert sample.output_tokens <= 4
    with pytest.raises(ContextLengthError):
        engine.generate(user("y" * 124), n=1, options=options)


def test_a_caller_in_inference_mode_loads_the_same_model(built: Callable[[str], TransformersEngine]) -> None:
    """Tensors made in it may not be written to outside, as some models write to theirs in each pass."""
    options = SamplingOptions(max_tokens=16)
    with torch.inference_mode():
        within = copy_of(built("longrope")).generate(user("whatisit"), n=1, options=options)
    assert within == built("longrope").generate(user("whatisit"), n=1, options=options)


def test_a_model_that_chooses_no_logits_is_run_with_its_cache(tmp_path: Path) -> None:
    """Its forward takes no argument for which tokens it is to compute them, nor any other that it does not know."""
    model = transformers.AutoModelForCausalLM.from_pretrained(save_tiny(tmp_path)).eval()
    forward = model.forward

    def choosing_none(
        input_ids: Any,
        cache: Any = None,
        position_ids: Any = None,
        use_cache: Any = None,
        output_hidden_states: Any = None,
    ) -> Any:
        return forward(
            input_ids=input_ids,
            cache=cache,
            position_ids=position_ids,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
        )

    model.forward = choosing_none
    _, _, passes = laid_out(lambda: (model, None), name="m", rounded=False)
    assert isinstance(passes, CopiedPasses)


@pytest.mark.filterwarnings("ignore:.*fast path is not available.*")
def test_a_model_that_is_read_again_is_in_memory_once(built: Callable[[str], TransformersEngine]) -> None:
    """The first is gone before the second is read, whatever holds it in a cycle."""
    folder = built("mamba").path
    models: list[weakref.ref[Any]] = []

    def read() -> tuple[Any, None]:
        assert all(each() is None for each in models)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        models.append(weakref.ref(model))
        return model, None

    gc.collect()
    gc.disable()
    try:
        model, _, _ = laid_out(read, name="m", rounded=False)
    finally:
        gc.enable()
    assert [each() for each in models] == [None, model]


def test_a_model_that_says_something_else_token_by_token_is_refused(tmp_path: Path) -> None:
    """Whichever way it is run, and after it was read a second time, unchanged."""
    save_tiny(tmp_path)
    reads: list[int] = []

    def read() -> tuple[Any, None]:
        model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
        forward, passed = model.forward, iter(range(1_000))

        def drifting(*args: Any, **kwargs: Any) -> Any:
            reply = forward(*args, **kwargs)
            reply.logits = reply.logits.roll(next(passed), -1)
            return reply

        model.forward = drifting
        reads.append(1)
        return model, None

    with pytest.raises(ModelError, match="says something else token by token than about whole texts, over ten tokens"):
        laid_out(read, name="a drifting one", rounded=False)
    assert len(reads) == 2


def bert() -> Any:
    shape = {"num_attention_heads": 4, "intermediate_size": 96, "max_position_embeddings": 512}
    return transformers.BertLMHeadModel(transformers.BertConfig(**SHAPE, **shape))


def gemma() -> Any:
    shape = {**ATTENDING, "head_dim": 16, "use_bidirectional_attention": True}
    return transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(**shape))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("make", [bert, gemma])
def test_a_model_that_sees_what_comes_after_is_refused(make: Callable[[], Any], dtype: str) -> None:
    """A whole text that is read anew for each token agrees with itself, in whichever direction it is read."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make().to(getattr(torch, dtype)).eval()
    with pytest.raises(ModelError, match="says something else token by token than about whole texts"):
        laid_out(lambda: (model, None), name="m", rounded=False)
