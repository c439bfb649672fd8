"""Packed layers give what the layers gave, and where they cannot, the layers stay as they were."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from confroute.edge import packed

torch = pytest.importorskip("torch")


class Model(torch.nn.Module):
    """An embedding that a layer shares its weight with, a layer with a bias, and what is not to be packed."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(30, 24)
        self.biased = torch.nn.Linear(24, 40)
        self.narrow = torch.nn.Linear(40, 24).bfloat16()
        self.head = torch.nn.Linear(24, 30, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Any) -> Any:
        inner = self.biased(self.embedding(ids))
        return self.head(self.narrow(inner.bfloat16()).float())


@pytest.fixture
def model() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Model().eval()


needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")


@needs_onednn
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 17), (1, 130), (3, 5)])
def test_the_results_are_the_same(model: Any, shape: tuple[int, int]) -> None:
    """For one row and for many, with and without a bias."""
    ids = torch.arange(shape[0] * shape[1]).reshape(shape) % 30
    with torch.inference_mode():
        before = copy.deepcopy(model)(ids)
        assert packed.pack_linears(model) == 2
        torch.testing.assert_close(model(ids), before, rtol=1e-4, atol=1e-5)


@needs_onednn
def test_a_weight_is_kept_once(model: Any) -> None:
    """The layer's own is dropped, whose shape and type can still be asked for; the embedding keeps what it shared."""
    with torch.inference_mode():
        packed.pack_linears(model)
    assert model.biased.weight.is_meta
    assert (model.biased.weight.shape, model.biased.weight.dtype) == ((40, 24), torch.float32)
    assert model.narrow.weight.device.type == model.embedding.weight.device.type == "cpu"


def bfloat16_is_supported(monkeypatch: pytest.MonkeyPatch, *, yes: bool) -> None:
    """Whatever the processor: where it has no instructions for bfloat16, torch's usual layers stand in."""
    operations = packed._operations()
    if yes and not operations._is_mkldnn_bf16_supported():
        monkeypatch.setattr(packed, "_laid_out", lambda weight: weight)
        monkeypatch.setattr(
            packed, "_forward", lambda w, b, x: torch.nn.functional.linear(x, w, b.to(x) if b is not None else b)
        )
    monkeypatch.setattr(operations, "_is_mkldnn_bf16_supported", lambda: yes)


@needs_onednn
def test_between_layers_in_bfloat16_all_is_float32(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The results are those of the same weights in float32, but for the rounding of what goes into the layers."""
    bfloat16_is_supported(monkeypatch, yes=True)
    model = model.bfloat16()
    wide = copy.deepcopy(model).float()
    ids = torch.arange(17)[None]
    with torch.inference_mode():
        before = wide.head(wide.narrow(wide.biased(wide.embedding(ids))))
        assert packed.pack_linears(model) == 3
        after = model.head(model.narrow(model.biased(model.embedding(ids))))
    assert (after.dtype, model.embedding.weight.dtype) == (torch.float32, torch.float32)
    assert model.head.weight.is_meta
    assert 0 < (after - before).norm() < 2e-2 * before.norm()


@needs_onednn
def test_without_instructions_for_bfloat16_nothing_changes(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its layers are then as torch has them."""
    bfloat16_is_supported(monkeypatch, yes=False)
    model = model.bfloat16()
    with torch.inference_mode():
        assert packed.pack_linears(model) == 0
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("fault", ["none such", "refused", "wrong"])
def test_where_it_cannot_be_done_nothing_changes(model: Any, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another torch may lack the operations, refuse them, or compute something else."""

    def laid_out(weight: Any) -> Any:
        if fault == "none such":
            raise AttributeError(fault)
        return weight

    def forward(weight: Any, bias: Any, inputs: Any) -> Any:
        if fault == "refused":
            raise RuntimeError(fault)
        return torch.nn.functional.linear(inputs, weight + 1, bias)

    monkeypatch.setattr(packed, "_laid_out", laid_out)
    monkeypatch.setattr(packed, "_forward", forward)
    ids = torch.arange(6)[None]
    with torch.inference_mode():
        before = model(ids)
        assert packed.pack_linears(model) == 0
        assert torch.equal(model(ids), before)
    assert not any(parameter.is_meta for parameter in model.parameters())
