"""Linear layers whose weights are laid out once as oneDNN multiplies by them.

A layer that decodes ten samples otherwise spends half of its time on laying its weights out again. torch has no public
name for it; its own compiler does the same through these operations.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from confroute.edge.cores import on_all_cores
from confroute.edge.joined import families, parts
from confroute.edge.passes import Tensor

logger = logging.getLogger("confroute")

# How many rows the layout is made for; it serves others as well, but those for a single one are slow for more.
_ROWS = 16


def pack_linears(model: Any) -> int:
    """Lay out the weights of the linear layers of *model*, which is on a CPU, and drop the others; how many there were:
    none where torch was built without oneDNN, or does not know these operations. Layers that are given the same inputs
    become one, as handing work to the processor's cores takes long beside the work for a few rows.

    Of a model in float32, all layers in float32. Of one in bfloat16, where the processor multiplies that, all in
    bfloat16, or none; everything between them is then computed in float32.
    """
    import torch

    if not torch.backends.mkldnn.is_available():
        return 0
    dtype = next(model.parameters()).dtype
    groups = families(model, dtype)
    packed = 0
    try:
        if dtype == torch.float32:
            for layers in groups:
                _replace(layers, _packed(layers, _forward, rounding=1e-4))
                packed += len(layers)
        elif dtype == torch.bfloat16 and _operations()._is_mkldnn_bf16_supported():
            _narrow(model, groups)
            packed = sum(map(len, groups))
    except (AttributeError, RuntimeError) as error:
        logger.info("Linear layers are not packed (%s).", type(error).__name__)
    for parameter in model.parameters() if packed else ():
        # Weights are often a file mapped into memory, all of which these few would keep there.
        if not parameter.is_meta:
            parameter.data = parameter.data.clone()
    return packed


def _narrow(model: Any, groups: Sequence[Sequence[Any]]) -> None:
    import torch

    forwards = [_packed(layers, _narrow_forward, rounding=2e-2) for layers in groups]
    for layers, own in zip(groups, forwards, strict=True):
        _replace(layers, own)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.dtype == torch.bfloat16 and not tensor.is_meta:
            tensor.data = tensor.data.float()


def _replace(layers: Sequence[Any], forwards: Sequence[Callable[[Tensor], Tensor]]) -> None:
    import torch

    for layer, forward in zip(layers, forwards, strict=True):
        setattr(layer, "forward", forward)  # noqa: B010 - it is a method to the type checker
        # Its shape and type may be asked for. A weight shared with the embedding stays there.
        layer.weight = torch.nn.Parameter(layer.weight.data.to("meta"), requires_grad=False)


def _packed(
    layers: Sequence[Any], forward: Callable[..., Tensor], *, rounding: float
) -> list[Callable[[Tensor], Tensor]]:
    """What is to be each layer's forward. RuntimeError where they give something else than *layers* do, by more than
    this share."""
    import torch

    bias: Any = None if layers[0].bias is None else torch.cat([layer.bias.data for layer in layers])
    ours = partial(forward, _laid_out(torch.cat([layer.weight.data for layer in layers])), bias)
    inputs = torch.linspace(-1, 1, 2 * layers[0].in_features).reshape(1, 2, -1)
    theirs = torch.cat([_plain(layer, inputs) for layer in layers], -1)
    error: Tensor = ours(inputs) - theirs
    if not error.square().sum() <= rounding**2 * theirs.square().sum():
        raise RuntimeError("The packed layers give another result.")
    return [ours] if len(layers) == 1 else parts(ours, layers)


def _plain(layer: Any, inputs: Tensor) -> Tensor:
    import torch

    return torch.nn.functional.linear(inputs, layer.weight.float(), None if layer.bias is None else layer.bias.float())


def _operations() -> Any:
    import torch

    return torch.ops.mkldnn


def _laid_out(weight: Tensor) -> Tensor:
    return _operations()._reorder_linear_weight(weight, _ROWS)


def _forward(weight: Tensor, bias: Tensor | None, inputs: Tensor) -> Tensor:
    return on_all_cores(_operations()._linear_pointwise, inputs, weight, bias, "none", [], "")


def _narrow_forward(weight: Tensor, bias: Tensor | None, inputs: Tensor) -> Tensor:
    return _forward(weight, bias, inputs.bfloat16()).float()
