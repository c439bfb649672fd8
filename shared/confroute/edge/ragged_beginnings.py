"""Prompts that one pass reads from their first token to their last, in as many tokens as other passes have."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from typing import Any

from confroute.edge.passes import Tensor
from confroute.edge.ragged_memory import KeysValues, power_of_two
from confroute.edge.ragged_prompt import SHORT, RaggedPrompt, Share, seen_by

MOST = 2048
"""Tokens of a pass that is worth being recorded: of more, the device has enough to do."""
_STEP = 256  # up to so many tokens are padded to a power of two, as they take the device hardly any longer
_LEAST = 32


class Beginnings:
    """They attend in one operation, padded at their ends.

    Passes of the same *form* are the same operations on the same memory: *desk*, for at least `MOST` tokens, is written
    in each of them, and copied to where the prompts keep it.
    """

    def __init__(self, prompts: Sequence[RaggedPrompt], desk: KeysValues) -> None:
        self._prompts = prompts
        self._desk = desk
        self._sizes = [len(each.ids) for each in prompts]
        self._ends = list(itertools.accumulate(self._sizes))
        self._tokens, *self._shape = shape_for(self._sizes)
        self._facts: Tensor | None = None
        self._masks: dict[int, Tensor] = {}

    @property
    def form(self) -> Hashable:
        return ("read", self._tokens, *self._shape)

    def share(self, _asked: Sequence[RaggedPrompt], tokens: Sequence[Sequence[int]], _device: Any) -> Share:
        count, most = self._shape
        into = [0] * (count * most)
        out_of: list[int] = []
        for i, (begin, size) in enumerate(zip([0, *self._ends], self._sizes, strict=False)):
            into[i * most : i * most + size] = range(begin, begin + size)
            out_of += range(i * most, i * most + size)
        padding = [0] * (self._tokens - self._ends[-1])
        for prompt in self._prompts:
            _ = prompt.layers
        ids = [token for own in tokens for token in own]
        positions = [at for own in tokens for at in range(len(own))]
        ends = [end - 1 for end in self._ends] + [0] * (count - len(self._ends))
        return Share(ids + padding, positions + padding, ends, [*into, *out_of, *padding])

    def begin(self, facts: Tensor) -> None:
        self._facts = facts
        self._masks.clear()

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, window: int) -> Tensor:
        import torch

        assert self._facts is not None  # noqa: S101 - a pass begins with them
        # Where each place has its token from, and each token its place.
        into, out_of = self._facts.tensor_split([len(self._facts) - self._tokens])
        for to, new in zip(self._desk.layer(layer), (key, value), strict=True):
            to[:, : self._tokens] = new
        most = self._shape[1]
        spread = (each.index_select(1, into).unflatten(1, self._shape).transpose(0, 1) for each in (query, key, value))
        seen = torch.nn.functional.scaled_dot_product_attention(
            *spread,
            attn_mask=self._band(window, query.device) if window < most else None,
            is_causal=window >= most,
            scale=scaling,
            enable_gqa=len(query) != len(key),
        )
        return seen.transpose(1, 2).flatten(0, 1).index_select(0, out_of)

    def end(self) -> None:
        """What was written is copied to the prompts, who do not know of it until they have *advanced*."""
        for prompt, end, size in zip(self._prompts, self._ends, self._sizes, strict=True):
            for to, written in zip(prompt.layers.pieces, self._desk.pieces, strict=True):
                to.copy_(written[..., end - size : end, :])

    def _band(self, window: int, device: Any) -> Tensor:
        import torch

        if window not in self._masks:
            at = torch.arange(self._shape[1], device=device)
            self._masks[window] = seen_by(at, at, window)
        return self._masks[window]


def alike(prompts: Sequence[RaggedPrompt]) -> list[list[RaggedPrompt]]:
    """Those of a pass each: as long as each other, up to their padding, and no more than `MOST` tokens."""
    by_length: dict[int, list[list[RaggedPrompt]]] = {}
    for prompt in prompts:
        some = by_length.setdefault(max(SHORT, power_of_two(len(prompt.ids))), [[]])
        if shape_for([len(each.ids) for each in [*some[-1], prompt]])[0] > MOST:
            some.append([])
        some[-1].append(prompt)
    return [each for some in by_length.values() for each in some]


def shape_for(sizes: Sequence[int]) -> tuple[int, int, int]:
    """How many tokens a pass for prompts of these sizes has, and for how many prompts of how many tokens it has room:
    one of few, as passes of each have to be recorded."""
    length = max(SHORT, power_of_two(max(sizes)))
    # Of those that are alike, but the short, all have more tokens than half of the longest has room for.
    shortest = _LEAST if length == SHORT else length // 2
    tokens = max(sum(sizes), shortest * len(sizes))
    tokens = max(_LEAST, power_of_two(tokens)) if tokens <= 2 * _STEP else -(-tokens // _STEP) * _STEP
    return tokens, tokens // shortest, length
