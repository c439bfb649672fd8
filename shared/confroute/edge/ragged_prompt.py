"""A prompt in ragged passes: it attends to itself, and is read once for all who continue it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from confroute.edge.passes import Tensor

UNLIMITED = 1 << 60
SHORT = 128
"""Texts up to so many tokens may be padded to each other's length; of longer ones, those of the same power of two."""

Layers: TypeAlias = dict[int, tuple[Tensor, Tensor]]
"""Keys and values by the layer's index; each has the heads first and the tokens last but one."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a pass evaluates for one who attends: tokens, their positions, and for which of them logits are wanted."""

    ids: Sequence[int]
    positions: Sequence[int]
    rows: Sequence[int]


class RaggedPrompt:
    """A prompt's tokens, and the keys and values of those read so far."""

    def __init__(self, ids: tuple[int, ...], known: Iterable[RaggedPrompt] = ()) -> None:
        self.ids = ids
        self.read = 0
        self.logits: Tensor | None = None
        self.hidden: Tensor | None = None
        self._layers: Layers = {}
        self._masked: tuple[tuple[int, ...], Tensor] | None = None
        # The longest beginning that one of the *known* prompts has read; the last token is read anew for its logits.
        begun = max(((_shared(ids[:-1], other), i, other) for i, other in enumerate(known)), default=(0, 0, None))
        self.read, _, like = begun
        if like is not None and self.read:
            for layer, kept in like._layers.items():
                for ours, theirs in zip(self._store(layer, *kept), kept, strict=True):
                    ours[:, : self.read] = theirs[:, : self.read]

    def share(self, _asked: Sequence[RaggedPrompt], tokens: Sequence[Sequence[int]], _device: Any) -> Share:
        (own,) = tokens
        return Share(own, range(self.read, self.read + len(own)), [len(own) - 1])

    def begin(self) -> None:
        """Nothing is kept from one pass for the next."""

    def advance(self, tokens: int, logits: Tensor, hidden: Tensor | None) -> None:
        self.read += tokens
        if self.read == len(self.ids):
            self.logits, self.hidden, self._masked = logits[-1], hidden, None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, window: int) -> Tensor:
        import torch

        begin, end = self.read, self.read + query.shape[1]
        keys, values = self._store(layer, key, value)
        keys[:, begin:end], values[:, begin:end] = key, value
        first = max(0, begin - window + 1)
        keys, values = keys[:, first:end], values[:, first:end]
        # Heads that share keys stand one after the other, as more queries: nothing is repeated for each.
        shared = query.reshape(len(keys), -1, query.shape[-1])
        mask = self._mask(first, end, window, len(query) // len(keys), query.device)
        seen = torch.nn.functional.scaled_dot_product_attention(
            shared[None], keys[None], values[None], attn_mask=mask, scale=scaling
        )[0]
        return seen.reshape(*query.shape[:2], -1)

    def _mask(self, first: int, end: int, window: int, groups: int, device: Any) -> Tensor:
        """Which of the keys *first* to *end* each new token sees, the same in all layers of a pass."""
        import torch

        wanted = (first, self.read, end, window)
        if self._masked is None or self._masked[0] != wanted:
            at, seen = torch.arange(self.read, end, device=device), torch.arange(first, end, device=device)
            self._masked = wanted, _seen(at, seen, window).repeat(groups, 1)
        return self._masked[1]

    def write_layer(self, layer: int, keys: Tensor, values: Tensor) -> None:
        self._layers[layer] = keys, values

    @property
    def layers(self) -> int:
        """How many have keys and values."""
        return len(self._layers)

    def read_layer(self, layer: int) -> tuple[Tensor, Tensor]:
        return self._layers[layer]

    def _store(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        if layer not in self._layers:
            keys, values = (new.new_empty(len(new), len(self.ids), new.shape[-1]) for new in (key, value))
            self._layers[layer] = keys, values
        return self._layers[layer]


class Beginnings:
    """Prompts that a pass reads from their first token to their last: they attend in one operation, padded at their
    ends."""

    def __init__(self, prompts: Sequence[RaggedPrompt]) -> None:
        self._prompts = prompts
        self._sizes = [len(each.ids) for each in prompts]
        self._spread: tuple[Tensor, Tensor] | None = None
        self._masks: dict[int, Tensor] = {}

    def share(self, _asked: Sequence[RaggedPrompt], tokens: Sequence[Sequence[int]], device: Any) -> Share:
        import torch

        most, ends = max(self._sizes), list(itertools.accumulate(self._sizes))
        begins = torch.tensor([0, *ends[:-1]], device=device)[:, None]
        places = torch.arange(most, device=device)
        real = places < torch.tensor(self._sizes, device=device)[:, None]
        self._spread = (begins + places).masked_fill(~real, 0).flatten(), real.flatten().nonzero()[:, 0]
        ids = [token for own in tokens for token in own]
        return Share(ids, [at for own in tokens for at in range(len(own))], [end - 1 for end in ends])

    def begin(self) -> None:
        self._masks.clear()

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, window: int) -> Tensor:
        import torch

        assert self._spread is not None  # noqa: S101 - a pass begins with it
        into, out_of = self._spread
        # Copies, as each may be kept for longer than the others are.
        split: Any = torch.split_with_sizes_copy
        keys, values = split(key, self._sizes, 1), split(value, self._sizes, 1)
        for prompt, own_keys, own_values in zip(self._prompts, keys, values, strict=True):
            prompt.write_layer(layer, own_keys, own_values)
        shape = len(self._prompts), max(self._sizes)
        spread = (each.index_select(1, into).unflatten(1, shape).transpose(0, 1) for each in (query, key, value))
        seen = torch.nn.functional.scaled_dot_product_attention(
            *spread,
            attn_mask=self._band(window, shape[1], query.device) if window < shape[1] else None,
            is_causal=window >= shape[1],
            scale=scaling,
            enable_gqa=len(query) != len(key),
        )
        return seen.transpose(0, 1).flatten(1, 2).index_select(1, out_of)

    def _band(self, window: int, tokens: int, device: Any) -> Tensor:
        import torch

        if window not in self._masks:
            at = torch.arange(tokens, device=device)
            self._masks[window] = _seen(at, at, window)
        return self._masks[window]


def arrange_prompts(
    asked: Sequence[tuple[RaggedPrompt, int]], *, together: bool
) -> list[tuple[RaggedPrompt | Beginnings, list[RaggedPrompt]]]:
    """Who attends in a pass for so many tokens of these prompts, and which of them. Those read whole do so *together*
    where they are alike in length."""
    alike: dict[int, list[RaggedPrompt]] = {}
    alone: list[RaggedPrompt] = []
    for prompt, tokens in asked:
        whole = together and tokens == len(prompt.ids)
        (alike.setdefault(max(SHORT, power_of_two(tokens)), []) if whole else alone).append(prompt)
    units = [(Beginnings(some), some) for some in alike.values() if len(some) > 1]
    return [*units, *((each, [each]) for each in [*alone, *(some[0] for some in alike.values() if len(some) == 1)])]


def power_of_two(count: int) -> int:
    """The one that is not less."""
    return 1 << (count - 1).bit_length()


def _seen(at: Tensor, keys: Tensor, window: int) -> Tensor:
    """Whether a token at each of these positions sees the key at each of those."""
    return (keys <= at[:, None]) & (keys > at[:, None] - window)


def _shared(ids: Sequence[int], other: RaggedPrompt) -> int:
    pairs = enumerate(zip(ids, other.ids[: other.read], strict=False))
    return next((i for i, (ours, theirs) in pairs if ours != theirs), min(len(ids), other.read))
