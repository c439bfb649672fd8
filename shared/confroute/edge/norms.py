"""Root mean square norms as one operation of torch's, instead of the seven that transformers' models make of each.

On an accelerator a step of a small model takes as long as its operations take to be launched.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from confroute.edge.passes import Tensor

# What the weight is called that a norm adds to its mean square, as models name it.
_EPSILONS = ("variance_epsilon", "eps", "epsilon")


def fuse_norms(model: Any) -> int:
    """Have each norm of *model* that computes what torch's own does be computed by that; how many do."""
    fused = 0
    for module in model.modules():
        weight = getattr(module, "weight", None)
        epsilon = next((getattr(module, name) for name in _EPSILONS if hasattr(module, name)), None)
        if not type(module).__name__.endswith("RMSNorm") or getattr(weight, "ndim", 0) != 1 or epsilon is None:
            continue
        ours = partial(_norm, weight, float(epsilon))
        if _are_alike(ours, module, weight):
            module.forward = ours
            fused += 1
    return fused


def _norm(weight: Tensor, epsilon: float, inputs: Tensor) -> Tensor:
    import torch

    return torch.nn.functional.rms_norm(inputs, weight.shape, weight, epsilon)


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
