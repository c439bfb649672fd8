"""How torch decodes n continuations of one evaluated prompt, side by side.

`Packed` decodes them as *one* sequence behind the prompt, whose keys and values are stored and read once for all;
`Expanded` as a batch, each with its own copy of the cache. Which of the two is right is tested on the model itself.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Tensor: TypeAlias = Any  # a torch.Tensor; torch is imported only where a model runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """An evaluated prompt. Decoding works on a copy of *cache*, since caches grow in place."""

    ids: tuple[int, ...]
    cache: Any
    logits: Tensor  # of the first new token, (vocabulary,)


def forward(model: Any, *, cache: Any, **inputs: Any) -> Tensor:
    """The model's logits for *inputs* behind what *cache* holds, which grows by them."""
    # The argument's name since transformers 5.24, where a model has it; the old one is to go in 5.40.
    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    return model(**inputs, **{name: cache}, use_cache=True).logits


def prefill(model: Any, ids: Sequence[int]) -> Prefix:
    import torch
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    # logits_to_keep: a vocabulary of logits for each token of a long prompt would outweigh its cache.
    prompt = torch.tensor([ids], device=model.device)
    logits = forward(model, input_ids=prompt, cache=cache, logits_to_keep=1)
    return Prefix(ids=tuple(ids), cache=cache, logits=logits[0, -1].float())


class Packed:
    """Continuations as one sequence, the prompt's cache shared."""

    def __init__(self, model: Any, prefix: Prefix, n: int) -> None:
        self._model = model
        self._cache = copy.deepcopy(prefix.cache)
        self._prompt_tokens = self._position = len(prefix.ids)
        self._live = prefix.logits.new_ones(n).nonzero()[:, 0]  # 0 to n - 1
        self._owner = self._live[:0]  # which continuation each column behind the prompt belongs to

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token to each live continuation, (m,); the logits of its next, (m, vocabulary)."""
        import torch

        self._owner = torch.cat([self._owner, self._live])
        hidden = torch.nn.functional.pad(self._owner != self._live[:, None], (self._prompt_tokens, 0), value=False)
        dtype = self._model.dtype
        # Added to the attention scores, which the eager and the sdpa implementation both take.
        mask = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill(hidden, torch.finfo(dtype).min)
        logits = forward(
            self._model,
            cache=self._cache,
            input_ids=tokens[None],
            attention_mask=mask[None, None],
            position_ids=torch.full_like(tokens, self._position)[None],
        )
        self._position += 1
        return logits[0]

    def keep(self, kept: Tensor) -> None:
        """Drop all continuations but those at the indices *kept*."""
        self._live = self._live[kept]
        useful = (self._owner[:, None] == self._live).any(-1)
        # Columns of finished continuations are masked; moving the rest together costs a copy of the cache.
        if 2 * int(useful.sum()) < len(useful):
            columns = useful.new_ones(self._prompt_tokens + len(useful))
            columns[self._prompt_tokens :] = useful
            for layer in self._cache.layers:
                layer.keys, layer.values = layer.keys[:, :, columns], layer.values[:, :, columns]
            self._owner = self._owner[useful]


class Expanded:
    """Continuations as a batch, each with its own copy of the cache; otherwise as `Packed`."""

    def __init__(self, model: Any, prefix: Prefix, n: int) -> None:
        self._model = model
        self._cache = copy.deepcopy(prefix.cache)
        if n > 1:
            self.keep(prefix.logits.new_zeros(n).long())

    def step(self, tokens: Tensor) -> Tensor:
        return forward(self._model, cache=self._cache, input_ids=tokens[:, None])[:, -1]

    def keep(self, kept: Tensor) -> None:
        self._cache.reorder_cache(kept)  # the one way to select that every kind of cache layer has


def can_pack(model: Any) -> bool:
    """Whether *model* gives the same logits for packed continuations as for a batch of them.

    Models differ in what they do with a mask and positions given to them (ALiBi ignores both), so this is tried
    rather than looked up. Layers with a sliding window would pass on a short prompt; they are told by their cache.
    """
    from transformers.cache_utils import DynamicLayer

    vocabulary = model.get_input_embeddings().weight.shape[0]
    prefix = prefill(model, [token % vocabulary for token in range(100, 108)])
    if any(type(layer) is not DynamicLayer for layer in prefix.cache.layers):
        return False
    tokens = prefix.logits.topk(4).indices
    packed, expanded = Packed(model, prefix, 4), Expanded(model, prefix, 4)
    try:
        # The second step tells neighbours in the packed sequence from neighbours in the sample.
        packed.step(tokens)
        ours = packed.step(tokens.flip(0)).float()
    except Exception:
        return False  # a model that refuses such a mask or such positions
    expanded.step(tokens)
    theirs = expanded.step(tokens.flip(0)).float()
    tolerance = 1e-3 if model.dtype.itemsize >= 4 else 5e-2
    return bool((ours - theirs).abs().max() <= tolerance * theirs.std())
