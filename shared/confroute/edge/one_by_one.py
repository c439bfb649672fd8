"""Passes that take one request at a time, for models that have no place for ragged ones."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from confroute.edge.passes import Piece, Tensor


@dataclass(eq=False, slots=True)
class CopiedPrompt:
    """A prompt in a cache of transformers' own."""

    ids: tuple[int, ...]
    cache: Any
    read: int = 0
    logits: Tensor | None = None
    hidden: Tensor | None = None


class CopiedBranches:
    """Continuations as a batch, each with its own copy of the prompt's cache."""

    def __init__(self, prompt: CopiedPrompt, n: int) -> None:
        self.cache = copy.deepcopy(prompt.cache)
        self.read = prompt.read
        self.hidden: Tensor | None = None
        if n > 1:
            self.keep([0] * n)

    def keep(self, kept: Sequence[int]) -> None:
        import torch

        # The one way to select that every kind of cache layer has; it moves the indices to the layer's device.
        self.cache.reorder_cache(torch.tensor(kept))


class CopiedPasses:
    """A request at a time and a copy of the prompt's cache for each sample, as most models can."""

    together = False  # nor parts of a prompt: not every state-space layer goes on from what it has read
    unbroken = 0

    def __init__(self, model: Any) -> None:
        self._model = model
        known = inspect.signature(model.forward).parameters
        # The argument's name since transformers 5.24, where a model has it; the old one is to go in 5.40.
        self._cache_name = "cache" if "cache" in known else "past_key_values"
        self._knows_positions = "position_ids" in known

    def prompt(self, ids: tuple[int, ...], _known: Iterable[Any] = (), /) -> CopiedPrompt:
        from transformers import DynamicCache

        return CopiedPrompt(ids, DynamicCache(config=self._model.config))

    def branches(self, prompt: CopiedPrompt, n: int) -> CopiedBranches:
        return CopiedBranches(prompt, n)

    def run(
        self, pieces: Sequence[Piece], _wanted: Callable[[], bool] = lambda: True, /, *, hidden: bool = False
    ) -> list[Tensor]:
        import torch

        (piece,) = pieces
        is_prompt = isinstance(piece.of, CopiedPrompt)
        ids = torch.tensor([piece.tokens] if is_prompt else [[token] for token in piece.tokens])
        told: dict[str, Any] = {self._cache_name: piece.of.cache}
        if is_prompt:
            told["logits_to_keep"] = 1
        if self._knows_positions:
            # Some models would count them from the beginning again.
            begin = piece.of.read
            told["position_ids"] = torch.arange(begin, begin + ids.shape[1], device=self._model.device).expand_as(ids)
        reply: Any = self._model(
            input_ids=ids.to(self._model.device), use_cache=True, output_hidden_states=hidden, **told
        )
        piece.of.read += ids.shape[1]
        return [_last_of(reply, piece.of, hidden=hidden)]


@dataclass(eq=False, slots=True)
class RereadPrompt:
    """A prompt of which nothing but the tokens is kept."""

    ids: tuple[int, ...]
    read: int = 0
    logits: Tensor | None = None
    hidden: Tensor | None = None


class RereadBranches:
    """Continuations as all of their tokens."""

    def __init__(self, prompt: RereadPrompt, n: int) -> None:
        self.texts = [list(prompt.ids) for _ in range(n)]
        self.hidden: Tensor | None = None

    def keep(self, kept: Sequence[int]) -> None:
        self.texts = [self.texts[i] for i in kept]


class RereadPasses:
    """A request at a time, and all of its tokens anew for each new one: for models that keep what they have read in
    themselves, where requests would meet, or nowhere."""

    together = False
    unbroken = 0

    def __init__(self, model: Any) -> None:
        self._model = model

    def prompt(self, ids: tuple[int, ...], _known: Iterable[Any] = (), /) -> RereadPrompt:
        return RereadPrompt(ids)

    def branches(self, prompt: RereadPrompt, n: int) -> RereadBranches:
        return RereadBranches(prompt, n)

    def run(
        self, pieces: Sequence[Piece], _wanted: Callable[[], bool] = lambda: True, /, *, hidden: bool = False
    ) -> list[Tensor]:
        import torch

        (piece,) = pieces
        if isinstance(piece.of, RereadPrompt):
            texts = [list(piece.tokens)]
            piece.of.read = len(piece.tokens)
        else:
            # New lists, so that a pass that fails can be made again.
            texts = [[*text, token] for text, token in zip(piece.of.texts, piece.tokens, strict=True)]
        ids = torch.tensor(texts, device=self._model.device)
        reply: Any = self._model(input_ids=ids, use_cache=False, output_hidden_states=hidden)
        logits = _last_of(reply, piece.of, hidden=hidden)
        if isinstance(piece.of, RereadBranches):
            piece.of.texts = texts
        return [logits]


def _last_of(reply: Any, of: Any, *, hidden: bool) -> Tensor:
    """The logits at each row's last token, in float32; what else is wanted of them is kept by whom they are *of*."""
    import torch

    logits = reply.logits[:, -1].float()
    if hidden:
        of.hidden = torch.stack([layer[:, -1] for layer in reply.hidden_states])
    if hasattr(of, "logits"):
        of.logits = logits[0]
    return logits
