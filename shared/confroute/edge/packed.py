"""Linear layers whose weights are laid out once as they are multiplied fastest.

A layer that decodes ten samples otherwise spends half of its time on laying its weights out again. torch has no public
names for it; its own compiler and its quantized layers do the same through these operations.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeAlias

from confroute.edge.cores import on_all_cores, one_core
from confroute.edge.joined import families, parts
from confroute.edge.passes import Tensor

logger = logging.getLogger("confroute")

# How many rows oneDNN's layout is made for; it serves others as well, but those for a single one are slow for more.
_ROWS = 16

_Forward: TypeAlias = Callable[[Tensor], Tensor]
_Layout: TypeAlias = Callable[[Tensor, Tensor], _Forward]
"""Makes of a layer's weight and its bias, which may be None, what is to be its forward, in float32."""


def pack_linears(model: Any, *, rounded: bool = False) -> int:
    """Lay out the weights of the linear layers of *model*, which is on a CPU, and drop the others; how many there were:
    none where torch was built without the libraries for it, or does not know these operations. Layers that are given
    the same inputs become one, as handing work to the processor's cores takes long beside the work for a few rows.

    Weights in float32 stay as they are. If they may be *rounded*, they are kept in float16 and still multiplied in
    float32: half as much is read from memory, and what a layer gives changes by some 2e-4 of it, less where the weights
    once were in a half precision. Of a model in float16, or in bfloat16 where the processor multiplies that, all layers
    are laid out or none; everything between them is then computed in float32.
    """
    import torch

    dtype = next(model.parameters()).dtype
    groups = families(model, dtype)
    if dtype == torch.float32:
        layouts = [in_float16, in_float32] if rounded else [in_float32]
        packed = sum(_replace(layers, forwards) for layers, forwards in _each(groups, layouts))
    else:
        own = list(_each(groups, _NARROW.get(str(dtype), ())))
        packed = sum(_replace(*each) for each in own) if all(forwards for _, forwards in own) else 0
        for tensor in (*model.parameters(), *model.buffers()) if packed else ():
            if tensor.dtype == dtype and not tensor.is_meta:
                tensor.data = tensor.data.float()
    for parameter in model.parameters() if packed else ():
        # Weights are often a file mapped into memory, all of which these few would keep there.
        if not parameter.is_meta:
            parameter.data = parameter.data.clone()
    return packed


def in_float32(weight: Tensor, bias: Tensor) -> _Forward:
    """By oneDNN."""
    return partial(_by_onednn, _laid_out(weight), bias)


def in_bfloat16(weight: Tensor, bias: Tensor) -> _Forward:
    """By oneDNN, and inputs and results in bfloat16, too."""
    if not _operations("mkldnn")._is_mkldnn_bf16_supported():
        raise RuntimeError("The processor does not multiply bfloat16.")
    multiply = partial(_by_onednn, _laid_out(weight), bias)
    return lambda inputs: multiply(inputs.bfloat16()).float()


def in_float16(weight: Tensor, bias: Tensor) -> _Forward:
    """By FBGEMM, the weight alone in float16."""
    import torch

    if max(each.abs() for each in weight.aminmax()) > torch.finfo(torch.float16).max:
        raise RuntimeError("A weight is too large for float16.")
    own = None if bias is None else bias.float()
    return partial(_by_fbgemm, _operations("quantized").linear_prepack_fp16(weight.float(), own))


_NARROW: dict[str, Sequence[_Layout]] = {"torch.float16": [in_float16], "torch.bfloat16": [in_bfloat16]}
# How far results may differ from a usual layer's in float32, as a share of them.
_ROUNDING: dict[_Layout, float] = {in_float32: 1e-4, in_float16: 1e-3, in_bfloat16: 2e-2}


def _replace(layers: Sequence[Any], forwards: Sequence[_Forward]) -> int:
    import torch

    for layer, forward in zip(layers, forwards, strict=bool(forwards)):
        setattr(layer, "forward", forward)  # noqa: B010 - it is a method to the type checker
        # Its shape and type may be asked for. A weight shared with the embedding stays there.
        layer.weight = torch.nn.Parameter(layer.weight.data.to("meta"), requires_grad=False)
    return len(forwards)


def _each(
    groups: Sequence[Sequence[Any]], layouts: Sequence[_Layout]
) -> Iterator[tuple[Sequence[Any], list[_Forward]]]:
    """Each group with its layers' forwards. FBGEMM takes a second for 60 million weights, on one core; so as many
    groups are laid out at a time as there are cores, the largest first."""
    import torch

    def first(layers: Sequence[Any]) -> list[_Forward]:
        with torch.no_grad(), one_core():
            return _first(layers, layouts)

    groups = sorted(groups, key=lambda layers: sum(layer.weight.numel() for layer in layers), reverse=True)
    pool = ThreadPoolExecutor(torch.get_num_threads())
    try:
        yield from zip(groups, pool.map(first, groups), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def _first(layers: Sequence[Any], layouts: Sequence[_Layout]) -> list[_Forward]:
    """Each layer's forward in the first of the *layouts* that gives what the layers do; none where none does."""
    for layout in layouts:
        try:
            return _packed(layers, layout)
        except (AttributeError, RuntimeError) as error:
            logger.info("Linear layers are not packed %s (%s).", layout.__name__, type(error).__name__)
    return []


def _packed(layers: Sequence[Any], layout: _Layout) -> list[_Forward]:
    import torch

    bias: Any = None if layers[0].bias is None else torch.cat([layer.bias.data for layer in layers])
    ours = layout(torch.cat([layer.weight.data for layer in layers]), bias)
    inputs = torch.linspace(-1, 1, 2 * layers[0].in_features).reshape(1, 2, -1)
    theirs = torch.cat([_plain(layer, inputs) for layer in layers], -1)
    error: Tensor = ours(inputs) - theirs
    if not error.square().sum() <= _ROUNDING[layout] ** 2 * theirs.square().sum():
        raise RuntimeError("The packed layers give another result.")
    return [ours] if len(layers) == 1 else parts(ours, layers)


def _plain(layer: Any, inputs: Tensor) -> Tensor:
    import torch

    return torch.nn.functional.linear(inputs, layer.weight.float(), None if layer.bias is None else layer.bias.float())


def _operations(library: str) -> Any:
    import torch

    return getattr(torch.ops, library)


def _laid_out(weight: Tensor) -> Tensor:
    import torch

    if not torch.backends.mkldnn.is_available():
        raise RuntimeError("torch was built without oneDNN.")
    return _operations("mkldnn")._reorder_linear_weight(weight, _ROWS)


def _by_onednn(weight: Tensor, bias: Tensor, inputs: Tensor) -> Tensor:
    return on_all_cores(_operations("mkldnn")._linear_pointwise, inputs, weight, bias, "none", [], "")


def _by_fbgemm(weight: Any, inputs: Tensor) -> Tensor:
    return on_all_cores(_operations("quantized").linear_dynamic_fp16, inputs, weight)
