"""Whether a model can be run in ragged passes: a trial, when it is loaded."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from confroute.edge.one_by_one import switches
from confroute.edge.passes import Piece, Tensor
from confroute.edge.ragged import RaggedPasses
from confroute.edge.ragged_memory import Shapes
from confroute.edge.ragged_prompt import UNLIMITED, RaggedPrompt
from confroute.edge.trial import FIRST, SECOND, Texts


def runs_ragged(model: Any, said: Tensor | None = None) -> bool:
    """Whether *model* gives the same logits in ragged passes as it does for each text by itself: what it *said* of
    these, where that is known (see `Texts.said_of`).

    Models differ in what they do with their attention and with positions given to them, so this is tried rather than
    looked up; afterwards the model is as before. What the trial's short texts cannot show is looked up.
    """
    import torch

    windows = _windows(model.config)
    # transformers warns where a model's attention cannot be set, which is nothing to trouble the user with.
    if windows is None or not getattr(model, "_can_set_attn_implementation", lambda: True)():
        return False
    usual = model.config._attn_implementation
    texts = Texts(model)
    longer, shorter = texts.longer, texts.shorter
    with _in_float32(model):
        try:
            theirs = texts.said_of(model) if said is None else said
            passes = RaggedPasses(model, recorded=False)
            a, b = (_NotingPrompt(tuple(ids), passes.shapes) for ids in (shorter, longer))
            # Everything beside something else, and one prompt in two parts: neither must show.
            passes.run([Piece(a, shorter), Piece(b, longer[:5])])
            of_a = passes.branches(a, 2)
            passes.run([Piece(of_a, FIRST), Piece(b, longer[5:])])
            of_b = passes.branches(b, 2)
            ours = torch.cat(passes.run([Piece(of_a, SECOND), Piece(of_b, FIRST)]))
        except Exception:
            return False
        finally:
            model.set_attn_implementation(usual)
    return a.windows == windows and bool((ours - theirs).abs().max() <= 1e-3 * theirs.std())


@contextmanager
def _in_float32(model: Any) -> Generator[None]:
    """*model* computes in float32, module by module, so that no second copy of the weights is needed. In bfloat16 the
    rounding of thirty layers changes logits as much as a token too few does."""
    import torch

    half = (torch.bfloat16, torch.float16)
    hooks: list[Any] = []
    for module in model.modules():
        own = [(weight, weight.data) for weight in module.parameters(recurse=False) if weight.dtype in half]
        if own:
            hooks.append(module.register_forward_pre_hook(partial(_widen, own)))
            hooks.append(module.register_forward_hook(partial(_restore, own), always_call=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _widen(weights: Sequence[tuple[Any, Tensor]], *_: Any) -> None:
    for weight, narrow in weights:
        weight.data = narrow.float()


def _restore(weights: Sequence[tuple[Any, Tensor]], *_: Any) -> None:
    for weight, narrow in weights:
        weight.data = narrow


class _NotingPrompt(RaggedPrompt):
    """Notes which layers were told of a sliding window."""

    def __init__(self, ids: tuple[int, ...], shapes: Shapes) -> None:
        super().__init__(ids, shapes)
        self.windows: dict[int, bool] = {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, window: int) -> Tensor:
        self.windows[layer] = window < UNLIMITED
        return super().attend(layer, query, key, value, scaling, window)


def _windows(config: Any) -> dict[int, bool] | None:
    """Which layers have a sliding window; None for a model with layers of another kind, or whose positions turn by as
    much as the longest text of the pass says. A "dynamic" rope does so beyond `max_position_embeddings` only, where the
    engine's texts end."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    layers = DynamicCache(config=config).layers
    known = {type(layer) for layer in layers} <= {DynamicLayer, DynamicSlidingWindowLayer}
    if not known or switches(config):
        return None
    return {i: isinstance(layer, DynamicSlidingWindowLayer) for i, layer in enumerate(layers)}
