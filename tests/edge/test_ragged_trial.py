"""Whether a model can be run in ragged passes is found out by a trial."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from confroute import resolve_edge
from confroute.edge.checkpoints import from_gguf
from confroute.edge.ragged import RaggedPasses
from confroute.edge.ragged_prompt import RaggedPrompt
from confroute.edge.ragged_trial import runs_ragged
from confroute.edge.transformers import TransformersEngine
from tests.edge.tiny_models import model_of

torch = pytest.importorskip("torch")

HALVES = [torch.bfloat16, torch.float16]


@pytest.mark.real_model
@pytest.mark.parametrize("dtype", HALVES)
def test_a_deep_model_of_half_precision(dtype: Any) -> None:
    """Thirty layers in bfloat16 round their logits by a quarter of their spread, whichever way they are run; the trial
    is not misled by that, and leaves the model as it was."""
    pytest.importorskip("gguf")
    edge: Any = resolve_edge("smollm2-135m", engine="transformers")
    model = from_gguf(Path(edge._checkpoint) / edge._gguf_file, "float32")[0].eval().to(dtype)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with torch.inference_mode():
        assert runs_ragged(model)
    assert all(weight.dtype == dtype and weight.equal(before[name]) for name, weight in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
def test_one_token_unseen_is_noticed(
    tiny: Callable[..., TransformersEngine], monkeypatch: pytest.MonkeyPatch, dtype: Any
) -> None:
    """Passes that forget a prompt's fourth token are not those of the model, whatever its precision."""
    model = copy.deepcopy(model_of(tiny("full"))).to(dtype)
    with torch.inference_mode():
        assert runs_ragged(model)
        attend = RaggedPrompt.attend

        def forgetful(self: Any, layer: int, query: Any, key: Any, *rest: Any) -> Any:
            key = key.clone()
            key[:, 3:4] = -100.0
            return attend(self, layer, query, key, *rest)

        monkeypatch.setattr(RaggedPrompt, "attend", forgetful)
        assert not runs_ragged(model)


def test_values_narrower_than_keys() -> None:
    """A model that keeps them so, as DeepSeek-V3 does, is not run in ragged passes, and is as it was afterwards."""
    transformers = pytest.importorskip("transformers")
    shape: dict[str, Any] = {"vocab_size": 128, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2}
    ranks = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 16}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4, "first_k_dense_replace": 2}  # no layer of experts
    model = transformers.DeepseekV3ForCausalLM(transformers.DeepseekV3Config(**shape, **ranks, **heads)).eval()
    usual = model.config._attn_implementation
    with torch.inference_mode():
        with pytest.raises(NotImplementedError, match="keys and values alike"):
            RaggedPasses(model)
        model.set_attn_implementation(usual)
        assert not runs_ragged(model)
    assert model.config._attn_implementation == usual
