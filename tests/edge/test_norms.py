"""A model's norms as one operation each give what they gave, and what is no such norm stays as it is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.edge.norms import fuse_norms
from confroute.edge.transformers import TransformersEngine
from tests.edge.tiny_models import model_of

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm  # noqa: E402 - torch may not be there
from transformers.models.llama.modeling_llama import LlamaRMSNorm  # noqa: E402
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm  # noqa: E402

SIZE = 48


def random(module: Any, dtype: Any = torch.float32) -> Any:
    """A norm as after training."""
    generator = torch.Generator().manual_seed(1)
    module.weight.data = torch.randn(SIZE, generator=generator).mul(0.2).add(1)
    return module.to(dtype).eval()


@given(
    scale=st.sampled_from([1e-4, 1e-2, 1.0, 50.0]),
    shape=st.sampled_from([(1, 1), (1, 7), (2, 3, 5)]),
    epsilon=st.sampled_from([1e-6, 1e-5]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
def test_a_norm_gives_what_it_gave(scale: float, shape: tuple[int, ...], epsilon: float, dtype: Any) -> None:
    """Be the numbers large, or so small that the epsilon counts, but for the last rounding."""
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(*shape, SIZE, generator=generator).mul(scale).to(dtype)
    for kind in (LlamaRMSNorm, Qwen3RMSNorm):
        norm: Any = random(kind(SIZE, epsilon), dtype)
        with torch.inference_mode():
            before = norm(inputs)
            assert fuse_norms(norm) == 1
            after = norm(inputs)
        assert after.dtype == dtype
        rounding = (4 if dtype == torch.float32 else 2) * torch.finfo(dtype).eps
        torch.testing.assert_close(after, before, rtol=rounding, atol=rounding)


def twice(_: Any, inputs: Any) -> Any:
    return inputs * 2


def shifted(norm: Any, inputs: Any) -> Any:
    return LlamaRMSNorm.forward(norm, inputs) + 1e-3


@pytest.mark.parametrize(
    "norm",
    [
        Gemma3RMSNorm(SIZE),  # multiplies by one more than its weight
        type("TwiceRMSNorm", (LlamaRMSNorm,), {"forward": twice})(SIZE),
        type("ShiftedRMSNorm", (LlamaRMSNorm,), {"forward": shifted})(SIZE),
        torch.nn.LayerNorm(SIZE),
    ],
    ids=["Gemma", "no norm", "shifted", "LayerNorm"],
)
def test_what_is_no_such_norm_stays(norm: Any) -> None:
    """Whatever it is called."""
    before = random(copy.deepcopy(norm))
    after = random(norm)
    inputs = torch.linspace(-1, 1, 2 * SIZE).view(2, SIZE)
    with torch.inference_mode():
        assert fuse_norms(after) == 0
        assert torch.equal(after(inputs), before(inputs))


def test_an_epsilon_that_is_not_the_norms_own_is_noticed() -> None:
    """It may be called the same and be used otherwise."""
    norm: Any = random(LlamaRMSNorm(SIZE, 1e-6))
    norm.forward = lambda inputs: LlamaRMSNorm.forward(random(LlamaRMSNorm(SIZE, 1e-5)), inputs)
    with torch.inference_mode():
        assert fuse_norms(norm) == 0


@pytest.mark.parametrize("kind", ["full", "sliding"])
def test_all_norms_of_a_model(tiny: Callable[..., TransformersEngine], kind: str) -> None:
    """Two in each layer, and the last."""
    model = model_of(tiny(kind))
    fused = copy.deepcopy(model)
    with torch.inference_mode():
        assert fuse_norms(fused) == 2 * model.config.num_hidden_layers + 1
        ids = torch.arange(1, 30)[None]
        torch.testing.assert_close(fused(ids).logits, model(ids).logits, rtol=1e-5, atol=1e-4)
