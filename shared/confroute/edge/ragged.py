"""One forward pass of a torch model over many requests at once, the samples of each sharing its prompt.

All tokens of a pass stand side by side as one sequence, whichever request they belong to: outside of attention, a
transformer treats each token by itself. Attention is ours. It lets a token see the prompt of its request and its own
branch only, and reads the prompt's keys and values once for all branches (the idea of Hydragen, arXiv 2402.05099), so
nothing is padded and nothing is copied for each sample.

Whether a model can be run so is tested on the model itself when it is loaded; see `confroute.edge.ragged_trial`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from confroute.edge.passes import Piece, Tensor, Unwanted

ATTENTION = "confroute_ragged"
UNLIMITED = 1 << 60

Layers: TypeAlias = dict[int, tuple[Tensor, Tensor]]
"""Keys and values by the layer's index; each has the heads first and the tokens last but one."""


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

    def positions(self, tokens: int) -> list[int]:
        return list(range(self.read, self.read + tokens))

    def rows(self, tokens: int) -> range:
        """Which of the last *tokens* a pass gives logits for."""
        return range(tokens - 1, tokens)

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
            mask = (seen <= at[:, None]) & (seen > at[:, None] - window)
            self._masked = wanted, mask.repeat(groups, 1)
        return self._masked[1]

    def read_layer(self, layer: int) -> tuple[Tensor, Tensor]:
        return self._layers[layer]

    def _store(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        if layer not in self._layers:
            keys, values = (new.new_empty(len(new), len(self.ids), new.shape[-1]) for new in (key, value))
            self._layers[layer] = keys, values
        return self._layers[layer]


class RaggedBranches:
    """Continuations of one prompt, all as long as each other."""

    def __init__(self, prompt: RaggedPrompt, n: int) -> None:
        self._prompt = prompt
        self._live = n
        self._length = 0
        self.hidden: Tensor | None = None
        self._layers: Layers = {}  # (heads, branches, room, dimensions)

    def positions(self, tokens: int) -> list[int]:
        return [len(self._prompt.ids) + self._length] * tokens

    def rows(self, tokens: int) -> range:
        return range(tokens)

    def advance(self, _tokens: int, _logits: Tensor, hidden: Tensor | None) -> None:
        self._length += 1
        self.hidden = hidden

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, window: int) -> Tensor:
        import torch

        length = self._length + 1
        keys, values = self._store(layer, key, value)
        keys[:, :, length - 1], values[:, :, length - 1] = key, value
        prompt_keys, prompt_values = self._prompt.read_layer(layer)
        # Where a sliding window ends is the same for all, since all are at the same position.
        first = max(0, prompt_keys.shape[1] + length - window)
        prompt_keys, prompt_values = prompt_keys[:, first:], prompt_values[:, first:]
        first = max(0, length - window)
        keys, values = keys[:, :, first:length], values[:, :, first:length]
        heads, branches = keys.shape[:2]
        # Heads that share keys lie side by side: (heads, branches, groups, dimensions).
        query = (query * scaling).reshape(heads, -1, branches, query.shape[-1]).transpose(1, 2)
        groups = query.shape[2]
        together = query.reshape(heads, branches * groups, -1)
        ahead = (together @ prompt_keys.transpose(-1, -2)).view(heads, branches, groups, -1)
        scores: Tensor = torch.cat([ahead, query @ keys.transpose(-1, -2)], -1)
        shares: Tensor = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
        ahead, own = shares.split([prompt_keys.shape[1], keys.shape[2]], -1)
        seen = (ahead.reshape(heads, branches * groups, -1) @ prompt_values).view(heads, branches, groups, -1)
        return (seen + own @ values).transpose(1, 2).reshape(heads * groups, branches, -1)

    def keep(self, kept: Sequence[int]) -> None:
        """Drop all branches but those at the indices *kept*."""
        import torch

        self._live = len(kept)
        index: Tensor = None
        for layer, (keys, values) in self._layers.items():
            index = torch.tensor(kept, device=keys.device) if index is None else index
            self._layers[layer] = keys.index_select(1, index), values.index_select(1, index)

    def _store(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        held = self._layers.get(layer)
        room: int = held[0].shape[2] if held else 0
        if held is None or room == self._length:
            keys, values = (new.new_empty(len(new), self._live, 2 * room or 16, new.shape[-1]) for new in (key, value))
            if held is not None:
                keys[:, :, :room], values[:, :, :room] = held
            held = self._layers[layer] = keys, values
        return held


class RaggedPasses:
    """Runs all pieces that are to be run in one forward pass."""

    together = True

    def __init__(self, model: Any) -> None:
        from transformers import AttentionInterface

        interface: Any = AttentionInterface
        interface.register(ATTENTION, _attention)
        model.set_attn_implementation(ATTENTION)
        self._model = model

    def prompt(self, ids: tuple[int, ...], known: Iterable[Any] = ()) -> RaggedPrompt:
        return RaggedPrompt(ids, known)

    def branches(self, prompt: RaggedPrompt, n: int) -> RaggedBranches:
        return RaggedBranches(prompt, n)

    def run(
        self, pieces: Sequence[Piece], wanted: Callable[[], bool] = lambda: True, /, *, hidden: bool = False
    ) -> list[Tensor]:
        """For each piece the logits of what comes next, in float32: one row for a prompt, one for each branch. With
        *hidden* the pieces' hidden states are set, too: (layers + 1, rows, size).

        Where this raises, nothing has changed. Whether it is still *wanted* is asked at each layer.
        """
        import torch

        device = self._model.device
        sizes = [len(piece.tokens) for piece in pieces]
        begins = [sum(sizes[:i]) for i in range(len(sizes))]
        places = [
            begin + row for begin, piece in zip(begins, pieces, strict=True) for row in piece.of.rows(len(piece.tokens))
        ]
        rows = torch.tensor(places, device=device)
        reply: Any = self._model(
            input_ids=torch.tensor([[token for piece in pieces for token in piece.tokens]], device=device),
            position_ids=torch.tensor(
                [[at for piece in pieces for at in piece.of.positions(len(piece.tokens))]], device=device
            ),
            use_cache=False,
            output_hidden_states=hidden,
            logits_to_keep=rows,  # a vocabulary of logits for each token of a long prompt would outweigh its cache
            ragged=([(piece.of, size) for piece, size in zip(pieces, sizes, strict=True)], wanted),
        )
        logits = reply.logits[0]
        if len(logits) != len(places):  # a model without logits_to_keep
            logits = logits[rows]
        counts = [len(piece.of.rows(size)) for piece, size in zip(pieces, sizes, strict=True)]
        given = logits.float().split(counts)
        states: Sequence[Tensor] | None = None
        if hidden:
            stacked: Tensor = torch.stack([layer[0, rows] for layer in reply.hidden_states])
            states = stacked.split(counts, 1)
        for i, (piece, size) in enumerate(zip(pieces, sizes, strict=True)):
            piece.of.advance(size, given[i], states and states[i])
        return list(given)


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    ragged: tuple[Sequence[tuple[Any, int]], Callable[[], bool]],
    scaling: float | None = None,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers' models call it, on tensors of (1, heads, tokens, dimensions)."""
    import torch

    unknown = [name for name in ("softcap", "s_aux", "position_bias") if more.get(name) is not None]
    if attention_mask is not None or unknown:
        raise NotImplementedError(f"Ragged attention has no {unknown or 'mask'}.")
    of_requests, wanted = ragged
    if not wanted():
        raise Unwanted
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    sizes = [size for _, size in of_requests]
    parts = zip(of_requests, query[0].split(sizes, 1), key[0].split(sizes, 1), value[0].split(sizes, 1), strict=True)
    window = sliding_window or UNLIMITED
    seen = [of.attend(module.layer_idx, q, k, v, scaling, window) for (of, _), q, k, v in parts]
    return torch.cat(seen, 1).transpose(0, 1)[None], None


def _shared(ids: Sequence[int], other: RaggedPrompt) -> int:
    pairs = enumerate(zip(ids, other.ids[: other.read], strict=False))
    return next((i for i, (ours, theirs) in pairs if ours != theirs), min(len(ids), other.read))
