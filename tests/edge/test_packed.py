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
needs_fbgemm = pytest.mark.skipif(
    "fbgemm" not in torch.backends.quantized.supported_engines, reason="torch without FBGEMM"
)
in_float32 = pytest.param(False, marks=needs_onednn, id="in float32")
in_float16 = pytest.param(True, marks=needs_fbgemm, id="rounded to float16")
Patch = pytest.MonkeyPatch


@pytest.mark.parametrize("rounded", [in_float32, in_float16])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 17), (1, 130), (3, 5)])
def test_the_results_are_the_same(model: Any, shape: tuple[int, int], *, rounded: bool) -> None:
    """For one row and for many, with and without a bias, but for the rounding of weights that may be rounded."""
    ids = torch.arange(shape[0] * shape[1]).reshape(shape) % 30
    with torch.inference_mode():
        inputs = model.embedding(ids)
        before = [layer(inputs) for layer in (model.biased, model.head)]
        assert packed.pack_linears(model, rounded=rounded) == 2
        for layer, theirs in zip((model.biased, model.head), before, strict=True):
            error = (layer(inputs) - theirs).norm() / theirs.norm()
            assert (0 < error < 1e-3) if rounded else (error < 1e-6)


@pytest.mark.parametrize("rounded", [in_float32, in_float16])
def test_a_weight_is_kept_once(model: Any, *, rounded: bool) -> None:
    """The layer's own is dropped, whose shape and type can still be asked for; the embedding keeps what it shared."""
    with torch.inference_mode():
        packed.pack_linears(model, rounded=rounded)
    assert model.biased.weight.is_meta
    assert (model.biased.weight.shape, model.biased.weight.dtype) == ((40, 24), torch.float32)
    assert model.narrow.weight.device.type == model.embedding.weight.device.type == "cpu"


@needs_fbgemm
def test_weights_that_float16_holds_change_nothing(model: Any) -> None:
    """Those of a checkpoint in bfloat16, unless they are tiny."""
    for layer in (model.biased, model.head):
        layer.weight.data = layer.weight.data.bfloat16().float()
    ids = torch.arange(6)[None]
    with torch.inference_mode():
        before = model(ids)
        assert packed.pack_linears(model, rounded=True) == 2
        torch.testing.assert_close(model(ids), before, rtol=1e-5, atol=1e-5)


@needs_onednn
@pytest.mark.parametrize("weight", [1e6, 1e-9], ids=["too large", "too small"])
def test_weights_that_float16_does_not_hold_stay_in_float32(model: Any, weight: float, capfd: Any) -> None:
    """Of that layer alone."""
    model.biased.weight.data.fill_(weight)
    ids = torch.arange(6)[None]
    with torch.inference_mode():
        before = model.biased(model.embedding(ids))
        assert packed.pack_linears(model, rounded=True) == 2
        torch.testing.assert_close(model.biased(model.embedding(ids)), before, rtol=1e-4, atol=0)
    assert "out of range" not in capfd.readouterr().err


def bfloat16_is_supported(monkeypatch: Patch, *, yes: bool) -> None:
    """Whatever the processor: where it has no instructions for bfloat16, torch's usual layers stand in."""
    operations = packed._operations("mkldnn")
    if yes and not operations._is_mkldnn_bf16_supported():
        monkeypatch.setattr(packed, "_laid_out", lambda weight: weight)
        monkeypatch.setattr(
            packed, "_by_onednn", lambda w, b, x: torch.nn.functional.linear(x, w, b.to(x) if b is not None else b)
        )
    monkeypatch.setattr(operations, "_is_mkldnn_bf16_supported", lambda: yes)


@pytest.mark.parametrize(
    "dtype",
    [pytest.param(torch.float16, marks=needs_fbgemm), pytest.param(torch.bfloat16, marks=needs_onednn)],
    ids=str,
)
def test_between_layers_in_half_precision_all_is_float32(model: Any, dtype: Any, monkeypatch: Patch) -> None:
    """The results are those of the same weights in float32, but for the rounding of what goes into the layers, where
    that is rounded."""
    bfloat16_is_supported(monkeypatch, yes=True)
    model = model.to(dtype)
    wide = copy.deepcopy(model).float()
    ids = torch.arange(17)[None]
    with torch.inference_mode():
        before = wide.head(wide.narrow(wide.biased(wide.embedding(ids))))
        assert packed.pack_linears(model) == 3
        after = model.head(model.narrow(model.biased(model.embedding(ids))))
    assert (after.dtype, model.embedding.weight.dtype) == (torch.float32, torch.float32)
    assert model.head.weight.is_meta
    assert (after - before).norm() < {torch.float16: 1e-5, torch.bfloat16: 2e-2}[dtype] * before.norm()


@needs_onednn
def test_without_instructions_for_bfloat16_nothing_changes(model: Any, monkeypatch: Patch) -> None:
    """Its layers are then as torch has them."""
    bfloat16_is_supported(monkeypatch, yes=False)
    model = model.bfloat16()
    with torch.inference_mode():
        assert packed.pack_linears(model) == 0
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def faulty(monkeypatch: Patch, fault: str, *names: str) -> None:
    """Another torch may lack the operations, refuse them, or compute something else."""

    def gone(*_: Any) -> Any:
        raise AttributeError(fault)

    def refused(*_: Any) -> Any:
        raise RuntimeError(fault)

    for name in names:
        usual = getattr(packed, name)
        wrong = lambda *given, usual=usual: usual(*given) + 1
        monkeypatch.setattr(packed, name, {"none such": gone, "refused": refused, "wrong": wrong}[fault])


FAULTS = pytest.mark.parametrize("fault", ["none such", "refused", "wrong"])


@FAULTS
def test_where_it_cannot_be_done_nothing_changes(model: Any, fault: str, monkeypatch: Patch) -> None:
    """Nor does it where some layers of a model in half precision could be packed."""
    faulty(monkeypatch, fault, "_by_fbgemm", "_by_onednn")
    ids = torch.arange(6)[None]
    with torch.inference_mode():
        before = model(ids)
        assert packed.pack_linears(model, rounded=True) == 0
        assert torch.equal(model(ids), before)
        assert packed.pack_linears(model.half()) == packed.pack_linears(model.bfloat16()) == 0
    assert not any(parameter.is_meta for parameter in model.parameters())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


@needs_onednn
@FAULTS
def test_where_weights_cannot_be_rounded_they_are_packed_as_they_are(
    model: Any, fault: str, monkeypatch: Patch
) -> None:
    """On other processors than x86, or once torch has no such layers any more."""
    faulty(monkeypatch, fault, "_by_fbgemm")
    ids = torch.arange(6)[None]
    with torch.inference_mode():
        before = model(ids)
        assert packed.pack_linears(model, rounded=True) == 2
        torch.testing.assert_close(model(ids), before, rtol=1e-4, atol=1e-5)


@needs_fbgemm
def test_one_layer_that_cannot_be_packed_leaves_a_model_in_half_precision_as_it_is(model: Any) -> None:
    """All between the layers could not be in float32 otherwise."""
    model = model.half()
    model.narrow.weight.data.fill_(float("nan"))
    with torch.inference_mode():
        assert packed.pack_linears(model) == 0
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float16}
