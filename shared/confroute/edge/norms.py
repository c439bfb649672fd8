"""Root mean square norms in one operation, or few, instead of the seven that transformers' models make of each.

On an accelerator a step of a small model takes as long as its operations take to be launched. On a CPU an operation on
a few rows, amid weights that leave no room in its caches, takes several times as long as it computes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from confroute.edge.passes import Tensor

# What the weight is called that a norm adds to its mean square, as models name it.
_EPSILONS = ("variance_epsilon", "eps", "epsilon")


def fuse_norms(model: Any) -> int:
    """Have each norm of *model* that is a root mean square norm be computed as one; how many are."""
    fused = 0
    for module in model.modules():
        weight = getattr(module, "weight", None)
        epsilon = next((getattr(module, name) for name in _EPSILONS if hasattr(module, name)), None)
        if not type(module).__name__.endswith("RMSNorm") or getattr(weight, "ndim", 0) != 1 or epsilon is None:
            continue
        ours = _norm(weight, float(epsilon))
        if _are_alike(ours, module, weight):
            module.forward = ours
            fused += 1
    return fused


def _norm(weight: Tensor, epsilon: float) -> Callable[[Tensor], Tensor]:
    import torch

    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return partial(_by_torch, weight, epsilon)
    # torch's own is five operations there. These four are the same, numerator and denominator times the square root
    # of the size.
    size = len(weight)
    return partial(_by_length, weight.detach() * size**0.5, torch.tensor((size * epsilon) ** 0.5))


def _by_torch(weight: Tensor, epsilon: float, inputs: Tensor) -> Tensor:
    import torch

    return torch.nn.functional.rms_norm(inputs, weight.shape, weight, epsilon)


def _by_length(weight: Tensor, epsilon: Tensor, inputs: Tensor) -> Tensor:
    import torch

    linalg: Any = torch.linalg
    return inputs * weight / linalg.vector_norm(inputs, dim=-1, keepdim=True).hypot(epsilon)


def _are_alike(ours: Any, module: Any, weight: Tensor) -> bool:
    """Whether both give the same for numbers beside which a norm's epsilon is nothing, and for some beside which it is
    not, but for rounding."""
    import torch

    inputs: Tensor = torch.linspace(-1, 1.5, len(weight), dtype=torch.float32, device=weight.device)
    inputs = torch.stack([inputs, inputs * 2e-3]).to(weight.dtype)
    try:
        theirs, given = module(inputs), ours(inputs)
    except (RuntimeError, TypeError):
        return False
    rounding = 4 * torch.finfo(weight.dtype).eps
    error: Tensor = (given - theirs).float().square().sum()
    return given.dtype == theirs.dtype and bool(error <= rounding**2 * theirs.float().square().sum())
