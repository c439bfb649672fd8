"""Keys and values of all layers of a model, in one piece where its layers are alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from confroute.edge.memory import mapped
from confroute.edge.passes import Tensor


class Shapes:
    """What the layers of a model keep of a token.

    Args:
        layers: a token's keys in each layer, by its index: (heads, 1, dimensions). Its values are alike.
    """

    def __init__(self, layers: Mapping[int, Tensor]) -> None:
        self.layers: list[list[int]] = []
        """The indices of those that are alike."""
        self._like: list[Tensor] = []
        alike: dict[tuple[int, ...], list[int]] = {}
        for layer, like in layers.items():
            alike.setdefault(tuple(like.shape), []).append(layer)
        for indices in alike.values():
            self.layers.append(indices)
            self._like.append(layers[indices[0]])

    def empty(self, *shape: int, zeros: bool = False) -> KeysValues:
        """Room for *shape* tokens."""
        pieces: list[Tensor] = []
        for like, layers in zip(self._like, self.layers, strict=True):
            heads, _, dimensions = like.shape
            wanted = len(layers), 2, heads, *shape, dimensions
            if like.device.type == "cpu":
                pieces.append(mapped(math.prod(wanted), like.dtype).view(wanted))
            else:
                pieces.append(like.new_zeros(wanted) if zeros else like.new_empty(wanted))
        return KeysValues(self, pieces)


class KeysValues:
    """A *piece* for the layers of each shape: (layers, 2, heads, *tokens, dimensions)."""

    def __init__(self, shapes: Shapes, pieces: list[Tensor]) -> None:
        self.pieces = pieces
        self._shapes = shapes
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def layer(self, layer: int) -> tuple[Tensor, Tensor]:
        """Its keys and its values, (heads, *tokens, dimensions) each."""
        if not self._layers:
            for indices, piece in zip(self._shapes.layers, self.pieces, strict=True):
                parts = piece.flatten(0, 1).unbind()
                self._layers |= zip(indices, zip(parts[::2], parts[1::2], strict=True), strict=True)
        return self._layers[layer]

    def at(self, *index: Any) -> KeysValues:
        """The same memory, with what is at this *index* of (heads, *tokens, dimensions) in each layer."""
        return KeysValues(self._shapes, [piece[(slice(None), slice(None), *index)] for piece in self.pieces])

    def as_one_of_several(self) -> KeysValues:
        """The same memory, with (heads, 1, *tokens, dimensions) in each layer."""
        return KeysValues(self._shapes, [piece.unsqueeze(3) for piece in self.pieces])


def power_of_two(count: int) -> int:
    """The one that is not less."""
    return 1 << (count - 1).bit_length()
