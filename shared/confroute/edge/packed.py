"""Linear layers whose weights are laid out once as oneDNN multiplies by them.

A layer that decodes ten samples otherwise spends half of its time on laying its weights out again. torch has no public
name for it; its own compiler does the same through these operations.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from confroute.edge.passes import Tensor

logger = logging.getLogger("confroute")

# How many rows the layout is made for; it serves others as well, but those for a single one are slow for more.
_ROWS = 16


def pack_linears(model: Any) -> int:
    """Lay out the weights of the float32 linear layers of *model*, which is on a CPU, and drop the others; how many
    there were: none where torch was built without oneDNN, or does not know these operations."""
    import torch

    if not torch.backends.mkldnn.is_available():
        return 0
    packed = 0
    for layer in model.modules():
        if type(layer) is not torch.nn.Linear or layer.weight.dtype != torch.float32:
            continue
        try:
            forward = partial(_forward, _laid_out(layer.weight.data), layer.bias)
            _compare(forward, layer)
        except (AttributeError, RuntimeError) as error:
            logger.info("Linear layers are not packed (%s).", type(error).__name__)
            break
        setattr(layer, "forward", forward)  # noqa: B010 - it is a method to the type checker
        # Its shape and type may be asked for. A weight shared with the embedding stays there.
        layer.weight = torch.nn.Parameter(layer.weight.data.to("meta"), requires_grad=False)
        packed += 1
    for parameter in model.parameters() if packed else ():
        # Weights are often a file mapped into memory, all of which these few would keep there.
        if not parameter.is_meta:
            parameter.data = parameter.data.clone()
    return packed


def _laid_out(weight: Tensor) -> Tensor:
    import torch

    operations: Any = torch.ops.mkldnn
    return operations._reorder_linear_weight(weight, _ROWS)


def _forward(weight: Tensor, bias: Tensor | None, inputs: Tensor) -> Tensor:
    import torch

    operations: Any = torch.ops.mkldnn
    return operations._linear_pointwise(inputs, weight, bias, "none", [], "")


def _compare(forward: Any, layer: Any) -> None:
    """Raises RuntimeError where *forward* gives something else than *layer* does."""
    import torch

    inputs = torch.linspace(-1, 1, 2 * layer.in_features).reshape(1, 2, -1)
    if not torch.allclose(forward(inputs), layer(inputs), rtol=1e-3, atol=1e-3):
        raise RuntimeError("The packed layer gives another result.")
