"""Layers that are given the same inputs are computed as one, and give what they gave."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from confroute.edge import joined, packed

torch = pytest.importorskip("torch")

NAMES = ["q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"]


class Siblings(torch.nn.Module):
    """Layers named as most models name those with the same inputs, some with a bias; one has two names."""

    def __init__(self) -> None:
        super().__init__()
        for name, size in zip(NAMES, (40, 8, 8, 30, 30), strict=True):
            self.add_module(name, torch.nn.Linear(24, size, bias=name[0] in "qk"))
        self.twin = self.q_proj


@pytest.fixture
def siblings() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Siblings().eval()


@pytest.fixture(
    params=[
        "joined",
        pytest.param(
            "packed", marks=pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
        ),
    ]
)
def join(request: pytest.FixtureRequest) -> Callable[[Any], int]:
    """As on an accelerator, and as on a CPU."""
    return joined.join_linears if request.param == "joined" else packed.pack_linears


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations([*range(5), *range(5)]), st.lists(st.integers(0, 1), min_size=10, max_size=10))
def test_siblings_give_what_they_gave(
    siblings: Any, join: Callable[[Any], int], order: list[int], given_to: list[int]
) -> None:
    """In whatever order they are asked, how often, and whether they are given the same inputs or others."""
    model = copy.deepcopy(siblings)
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        inputs = [torch.randn(1, 3, 24) for _ in range(2)]
        assert join(model) >= 4
        for i, which in zip(order, given_to, strict=True):
            theirs, ours = getattr(siblings, NAMES[i]), getattr(model, NAMES[i])
            torch.testing.assert_close(ours(inputs[which]), theirs(inputs[which]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("module", "forward"), [(joined, "_linear"), (packed, "_by_onednn")])
def test_siblings_are_computed_together(
    siblings: Any, module: Any, forward: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those with a bias, and those without; and nothing is held once each has its part."""
    calls: list[int] = []
    usual = getattr(module, forward)

    def noting(*args: Any) -> Any:
        calls.append(1)
        return usual(*args)

    monkeypatch.setattr(module, forward, noting)
    with torch.inference_mode():
        alone = {"joined": 1, "packed": 0}[module.__name__.rpartition(".")[2]]  # a layer that has no siblings stays
        if not (joined.join_linears if alone else packed.pack_linears)(siblings):
            pytest.skip("torch without oneDNN")
        calls.clear()
        inputs = torch.randn(1, 3, 24)
        held = weakref.ref(inputs)
        for name in NAMES:
            getattr(siblings, name)(inputs)
    assert len(calls) == 3 - alone  # q and k, v, gate and up
    del inputs
    assert held() is None


def test_weights_are_parts_of_one(siblings: Any) -> None:
    """No second copy of them is kept, and each layer's own can still be asked for."""
    before = copy.deepcopy(siblings)
    with torch.no_grad():
        assert joined.join_linears(siblings) == 4
    for name in NAMES:
        assert torch.equal(getattr(siblings, name).weight, getattr(before, name).weight)
    q, k, gate, up = (getattr(siblings, name).weight.untyped_storage().data_ptr() for name in NAMES if name[0] != "v")
    assert (q, gate) == (k, up)
    assert q != gate


class Narrow(torch.Tensor):
    """Stands for quantized weights, that say they are of another type and cannot be put together."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.cat, torch.split):
            raise NotImplementedError(func)
        return super().__torch_function__(func, types, args, kwargs or {})


def test_layers_that_do_something_else_stay(siblings: Any, join: Callable[[Any], int]) -> None:
    """One whose forward was replaced, as accelerate's hooks do, and one with weights that are no plain numbers."""
    usual = siblings.gate_proj.forward
    siblings.gate_proj.forward = lambda inputs: usual(inputs.round())
    siblings.q_proj.weight = torch.nn.Parameter(siblings.q_proj.weight.data.as_subclass(Narrow), requires_grad=False)
    inputs = torch.linspace(-1, 1, 48).view(2, 24)
    with torch.inference_mode():
        before = [getattr(siblings, name)(inputs) for name in NAMES]
        join(siblings)
        for name, theirs in zip(NAMES, before, strict=True):
            torch.testing.assert_close(getattr(siblings, name)(inputs), theirs, rtol=1e-4, atol=1e-5)
    assert type(siblings.q_proj.weight.data) is Narrow
