"""Linear layers that are given the same inputs, computed as one.

To hand an operation to an accelerator, or to the processor's other cores, takes long beside the work for a few rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from confroute.edge.passes import Tensor

# Layers of one module that are given the same inputs, one after the other, as most models name them.
_SIBLINGS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


def join_linears(model: Any) -> int:
    """Join the layers of *model* that can be; how many there were. Their weights become parts of one."""
    import torch

    joined = 0
    for layers in families(model, next(model.parameters()).dtype):
        if len(layers) == 1:
            continue
        sizes = [layer.out_features for layer in layers]
        weight: Tensor = torch.cat([layer.weight.data for layer in layers])
        bias = None if layers[0].bias is None else torch.cat([layer.bias.data for layer in layers])
        forwards = parts(partial(_linear, weight, bias), layers)
        for layer, own, forward in zip(layers, torch.split(weight, sizes), forwards, strict=True):
            layer.forward, layer.weight.data = forward, own
        joined += len(layers)
    return joined


def families(model: Any, dtype: Any) -> list[list[Any]]:
    """The linear layers, those together that can be one."""
    found: dict[Any, list[Any]] = {}
    seen: set[int] = set()
    for module in model.modules():
        for name, layer in module.named_children():
            if id(layer) not in seen and _is_plain(layer, dtype):
                seen.add(id(layer))
                siblings = next((each for each in _SIBLINGS if name in each), name)
                alike = layer.in_features, getattr(layer, "bias", None) is None
                found.setdefault((id(module), siblings, alike), []).append(layer)
    return list(found.values())


def _is_plain(layer: Any, dtype: Any) -> bool:
    """Whether it multiplies by a weight of this type, and does nothing else."""
    import torch

    if type(layer) is not torch.nn.Linear or "forward" in vars(layer):
        return False
    # Quantized weights may say that they are of a type.
    return type(layer.weight.data) is torch.Tensor and layer.weight.dtype == dtype


def parts(whole: Callable[[Tensor], Tensor], layers: Sequence[Any]) -> list[Callable[[Tensor], Tensor]]:
    """What is to be each layer's forward, where *whole* gives the results of all, one beside the other."""
    return _Joined(whole, [layer.out_features for layer in layers]).parts()


def whole_of(layers: Sequence[Any]) -> Callable[[Tensor], Tensor]:
    """What gives the results of these layers, which are one, side by side.

    Raises:
        ValueError: they are not, or with others or in another order.
    """
    forwards: list[Any] = [layer.forward for layer in layers]
    first: Any = forwards[0]
    if not isinstance(first, _Part) or forwards != first.of.parts():
        raise ValueError("The layers are not one.")
    return first.of.whole


class _Joined:
    """Several layers as one, whose *whole* result is parted among them. Each may be given any inputs; it saves time
    where those after the first are given the very same."""

    def __init__(self, whole: Callable[[Tensor], Tensor], sizes: Sequence[int]) -> None:
        self.whole = whole
        self._sizes = list(sizes)
        self._inputs: Tensor = None
        self._parts: dict[int, Tensor] = {}

    def parts(self) -> list[Callable[[Tensor], Tensor]]:
        return [_Part(self, i) for i in range(len(self._sizes))]

    def part(self, i: int, inputs: Tensor) -> Tensor:
        if self._inputs is not inputs or i not in self._parts:
            self._parts = {}
            each: list[Tensor] = list(self.whole(inputs).split_with_sizes(self._sizes, -1))
            self._parts = dict(enumerate(each))
            self._inputs = inputs
        part = self._parts.pop(i)
        if not self._parts:
            self._inputs = None
        return part


@dataclass(frozen=True, slots=True)
class _Part:
    of: _Joined
    i: int

    def __call__(self, inputs: Tensor) -> Tensor:
        return self.of.part(self.i, inputs)


def _linear(weight: Tensor, bias: Tensor | None, inputs: Tensor) -> Tensor:
    import torch

    return torch.nn.functional.linear(inputs, weight, bias)
