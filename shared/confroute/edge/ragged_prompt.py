"""A prompt in ragged passes: it attends to itself, and is read once for all who continue it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from confroute.edge.passes import Tensor, size_of
from confroute.edge.ragged_attention import attend, attend_to_earlier, hiding
from confroute.edge.ragged_memory import KeysValues, Shapes

UNLIMITED = 1 << 60
SHORT = 128
"""Texts up to so many tokens may be padded to each other's length; of longer ones, those of the same power of two."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a pass evaluates for one who attends: tokens, their positions, and for which of them logits are wanted, one
    or several times."""

    ids: Sequence[int]
    positions: Sequence[int]
    rows: Sequence[int]
    facts: Sequence[int] = ()
    """What else is told, as a tensor, when the pass begins."""


class RaggedPrompt:
    """A prompt's tokens, and the keys and values of those read so far."""

    def __init__(self, ids: tuple[int, ...], shapes: Shapes, known: Iterable[RaggedPrompt] = ()) -> None:
        self.ids = ids
        self.shapes = shapes
        self.size = len(ids)
        self.read = 0
        self.logits: Tensor | None = None
        self.hidden: Tensor | None = None
        self._layers: KeysValues | None = None
        self._masked: tuple[tuple[int, ...], Tensor] | None = None
        # The longest beginning that one of the *known* prompts has read.
        begun = max(((min(self.shares(other), other.read), i, other) for i, other in enumerate(known)), default=None)
        if begun is not None:
            self.take_over(begun[2])

    def shares(self, other: RaggedPrompt) -> int:
        """How many tokens it begins with as *other* does, but for its last, which is read anew for its logits."""
        pairs = enumerate(zip(self.ids[:-1], other.ids, strict=False))
        return next((i for i, (ours, theirs) in pairs if ours != theirs), min(len(self.ids) - 1, len(other.ids)))

    def take_over(self, other: RaggedPrompt) -> None:
        """Take what *other* has read of their common beginning, where that is more than this one has."""
        new = slice(self.read, min(self.shares(other), other.read))
        if new.stop > new.start:
            for ours, theirs in zip(self.layers.pieces, other.layers.pieces, strict=True):
                ours[..., new, :] = theirs[..., new, :]
            self.read = new.stop

    @property
    def layers(self) -> KeysValues:
        """Its memory, taken when it is first asked for."""
        if self._layers is None:
            self._layers = self.shapes.empty(len(self.ids))
        return self._layers

    def share(self, _asked: Sequence[RaggedPrompt], tokens: Sequence[Sequence[int]], _device: Any) -> Share:
        (own,) = tokens
        _ = self.layers
        return Share(own, range(self.read, self.read + len(own)), [len(own) - 1])

    def begin(self, _facts: Tensor) -> None:
        """Nothing is kept from one pass for the next."""

    def advance(self, tokens: Sequence[int], logits: Tensor, hidden: Tensor | None) -> None:
        self.read += len(tokens)
        if self.read == len(self.ids):
            # Copies, as these are parts of what the pass computed for all.
            self.logits, self._masked = logits[-1].clone(), None
            self.hidden = None if hidden is None else hidden.clone()
            self.size = size_of(self, sum(piece.nbytes for piece in self.layers.pieces))

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, window: int) -> Tensor:
        import torch

        begin, end = self.read, self.read + query.shape[1]
        keys, values = self.layers.layer(layer)
        keys[:, begin:end], values[:, begin:end] = key, value
        # Heads that share keys side by side: (heads of keys, those that share them, tokens, dimensions).
        query = query.unflatten(0, (len(keys), -1))
        seen = attend_to_earlier(query, keys[:, :end], values[:, :end], scaling) if window >= end else None
        if seen is None:
            first = max(0, begin - window + 1)
            keys, values = keys[None, :, first:end], values[None, :, first:end]
            mask = self._mask(first, end, window, query, query.shape[1])
            # One after the other, as more queries of one head: nothing is repeated for each.
            together = query.flatten(1, 2)[None]
            operation = torch.nn.functional.scaled_dot_product_attention
            seen = attend(operation, together, keys, values, attn_mask=mask, scale=scaling).view(query.shape)
        return seen.flatten(0, 1).transpose(0, 1)

    def _mask(self, first: int, end: int, window: int, query: Tensor, groups: int) -> Tensor:
        """Hides of the keys from *first* to *end* what a new token does not see, the same in all layers of a pass;
        true and false would be made into numbers in each of them."""
        import torch

        wanted = (first, self.read, end, window)
        if self._masked is None or self._masked[0] != wanted:
            at, keys = (torch.arange(begin, end, device=query.device) for begin in (self.read, first))
            unseen = ~seen_by(at, keys, window)
            self._masked = wanted, hiding(unseen, query).repeat(groups, 1)
        return self._masked[1]


def seen_by(at: Tensor, keys: Tensor, window: int) -> Tensor:
    """Whether a token at each of these positions sees the key at each of those."""
    return (keys <= at[:, None]) & (keys > at[:, None] - window)
