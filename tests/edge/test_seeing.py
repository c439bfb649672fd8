"""Models that see, too, on torch: transformers reads them as a whole, and they answer texts as in their own passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from confroute.edge.transformers import TransformersEngine
from confroute.errors import ModelError
from confroute.records import SamplingOptions
from tests.edge.tiny_models import EOS, ask_together, ids_of, save_tiny, user

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXT = {
    "vocab_size": 66,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": EOS,
}
EYES = {"hidden_size": 32, "intermediate_size": 32, "patch_size": 14}
# Positions of three kinds, which are alike in a text.
MROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10_000.0}
MARKS = {"image_token_id": 65, "video_token_id": 64, "vision_start_token_id": 63, "vision_end_token_id": 62}
BUILT: dict[str, dict[str, Any]] = {
    "Mistral3": {
        "text_config": {**TEXT, "head_dim": 16, "model_type": "mistral"},
        "vision_config": {**EYES, "model_type": "pixtral", "num_hidden_layers": 1, "num_attention_heads": 2},
        "image_token_index": 65,
    },
    "Qwen2_5_VL": {
        "text_config": {**TEXT, "rope_parameters": MROPE},
        "vision_config": {**EYES, "depth": 1, "num_heads": 2, "out_hidden_size": 64},
        **MARKS,
    },
}
# Reads a prompt in both directions, and then goes on from it.
PREFIX = {
    "text_config": {**TEXT, "head_dim": 16, "model_type": "gemma"},
    "vision_config": {**EYES, "model_type": "siglip_vision_model", "num_hidden_layers": 1, "num_attention_heads": 2},
    "image_token_index": 65,
    "projection_dim": 64,
}
QUESTIONS = ["hello", "whatisthecapitalofFrance", 3 * "whatisthecapitalofFranceandwhyisitnotLyon?"]
GREEDY = SamplingOptions(max_tokens=24)


def save_seeing(folder: Path, name: str, settings: dict[str, Any]) -> str:
    save_tiny(folder)
    config = getattr(transformers, f"{name}Config")(**settings)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = getattr(transformers, f"{name}ForConditionalGeneration")(config)
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.3)
        model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module", params=BUILT)
def seeing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TransformersEngine:
    folder = save_seeing(tmp_path_factory.mktemp("seeing"), request.param, BUILT[request.param])
    return TransformersEngine(folder, dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def theirs(seeing: TransformersEngine) -> Any:
    return transformers.AutoModelForImageTextToText.from_pretrained(seeing._checkpoint).eval()


def test_it_says_what_it_says_in_transformers_generate(seeing: TransformersEngine, theirs: Any) -> None:
    """Asked alone, asked again, and beside others."""
    expected = []
    for question in QUESTIONS:
        ids = torch.tensor([ids_of(f"u:{question};a:")])
        said = theirs.generate(ids, do_sample=False, max_new_tokens=24, pad_token_id=EOS)[0, ids.shape[1] :]
        expected.append([token for token in said.tolist() if token != EOS])
    requests = [(question, 2, GREEDY) for question in QUESTIONS]
    alone = [seeing.generate(user(question), n=1, options=GREEDY) for question in QUESTIONS]
    for generations in (alone, ask_together(seeing, requests)):
        for generation, said in zip(generations, expected, strict=True):
            assert [ids_of(sample.text) for sample in generation.samples] == [said] * len(generation.samples)


def test_its_logprobs_are_those_of_a_plain_pass(seeing: TransformersEngine, theirs: Any) -> None:
    """Of samples that part, after a prompt longer than any that was tried."""
    options = SamplingOptions(temperature=1.0, max_tokens=40, seed=1)
    before = ids_of(f"u:{QUESTIONS[2]};a:")
    for sample in seeing.generate(user(QUESTIONS[2]), n=4, options=options).samples:
        answer = ids_of(sample.text)
        with torch.inference_mode():
            logits = theirs(input_ids=torch.tensor([before + answer])).logits[0, len(before) - 1 : -1].float()
        expected = logits.log_softmax(-1)[range(len(answer)), answer].tolist()
        assert (sample.token_logprobs or ())[: len(answer)] == pytest.approx(expected, abs=3e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_that_reads_its_prompt_in_both_directions_is_refused(dtype: str, tmp_path: Path) -> None:
    """PaliGemma: read anew for each token, it would say something else than in `generate`, without an error."""
    engine = TransformersEngine(save_seeing(tmp_path, "PaliGemma", PREFIX), dtype=dtype, device="cpu")
    with pytest.raises(ModelError, match="says something else token by token than about whole texts"):
        engine.load()


def clip() -> Any:
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return transformers.CLIPModel(transformers.CLIPConfig(text_config=small, vision_config=small))


def florence() -> Any:
    told = {"text_config": {"model_type": "bart", "d_model": 16, "vocab_size": 66}, "image_token_id": 65}
    return transformers.Florence2ForConditionalGeneration(transformers.Florence2Config(**told))


@pytest.mark.parametrize("make", [clip, florence])
def test_a_model_that_continues_no_text_is_told_by_its_type(make: Callable[[], Any], tmp_path: Path) -> None:
    """Not that the Hub could not be reached."""
    save_tiny(tmp_path)
    model = make()
    model.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f'"{model.config.model_type}".* give its address'):
        TransformersEngine(str(tmp_path), device="cpu").load()
