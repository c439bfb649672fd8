"""Passes that take one request at a time, for models that have no place for ragged ones."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from confroute.edge.passes import Piece, Tensor, size_of


@dataclass(eq=False, repr=False, slots=True)
class CopiedPrompt:
    """A prompt in a cache of transformers' own."""

    ids: tuple[int, ...]
    cache: Any
    read: int = 0
    logits: Tensor | None = None
    hidden: Tensor | None = None
    size: int = 0


class CopiedBranches:
    """Continuations as a batch, each with its own copy of the prompt's cache."""

    def __init__(self, prompt: CopiedPrompt, n: int) -> None:
        self.ids = prompt.ids
        self.said: list[list[int]] = [[]]
        """The tokens of each that were read after the prompt's *ids*."""
        self.cache = copy.deepcopy(prompt.cache)
        self.read = prompt.read
        self.hidden: Tensor | None = None
        if n > 1:
            self.keep([0] * n)

    def keep(self, kept: Sequence[int]) -> None:
        import torch

        # The one way to select that every kind of cache layer has; it moves the indices to the layer's device.
        self.cache.reorder_cache(torch.tensor(kept))
        self.said = [[*self.said[i]] for i in kept]


class CopiedPasses:
    """A request at a time and a copy of the prompt's cache for each sample, as most models can. Where answers reach a
    length at which all positions turn by other factors, they and the prompt are read again."""

    together = False  # nor parts of a prompt: not every state-space layer goes on from what it has read
    unbroken = 0

    def __init__(self, model: Any) -> None:
        self._model = model
        known = inspect.signature(model.forward).parameters
        # The argument's name since transformers 5.24, where a model has it; the old one is to go in 5.40.
        self._cache_name = "cache" if "cache" in known else "past_key_values"
        self._knows_positions = "position_ids" in known
        self._chooses = "logits_to_keep" in known or any(each.kind is each.VAR_KEYWORD for each in known.values())
        self._switches = switches(model.config)

    def prompt(self, ids: tuple[int, ...], _known: Iterable[Any] = (), /) -> CopiedPrompt:
        return CopiedPrompt(ids, self._empty(), size=len(ids))

    def branches(self, prompt: CopiedPrompt, n: int) -> CopiedBranches:
        return CopiedBranches(prompt, n)

    def run(
        self, pieces: Sequence[Piece], _wanted: Callable[[], bool] = lambda: True, /, *, hidden: bool = False
    ) -> list[Tensor]:
        (piece,) = pieces
        of = piece.of
        if isinstance(of, CopiedPrompt):
            reply = self._read([piece.tokens], of.cache, of.read, hidden=hidden)
            of.read += len(piece.tokens)
            logits = _last_of(reply, of, hidden=hidden)
            of.size = size_of(of, _memory(of.cache))
            return [logits]
        if of.read in self._switches:
            # What was read turned by the factors of shorter texts. As in `generate` all is read in one pass.
            texts = [[*of.ids, *said, token] for said, token in zip(of.said, piece.tokens, strict=True)]
            cache = self._empty()
            reply = self._read(texts, cache, 0, hidden=hidden)
            of.cache = cache
        else:
            reply = self._read([[token] for token in piece.tokens], of.cache, of.read, hidden=hidden)
        of.read += 1
        for said, token in zip(of.said, piece.tokens, strict=True):
            said.append(token)
        return [_last_of(reply, of, hidden=hidden)]

    def _empty(self) -> Any:
        from transformers import DynamicCache

        return DynamicCache(config=self._model.config)

    def _read(self, texts: Sequence[Sequence[int]], cache: Any, begin: int, *, hidden: bool) -> Any:
        """What the model says of texts from the position *begin* on, what is before it being in the cache."""
        import torch

        ids = torch.tensor(texts, device=self._model.device)
        told: dict[str, Any] = {self._cache_name: cache}
        if self._chooses and ids.shape[1] > 1:
            told["logits_to_keep"] = 1
        if self._knows_positions:
            # Some models would count them from the beginning again.
            told["position_ids"] = torch.arange(begin, begin + ids.shape[1], device=ids.device).expand_as(ids)
        return self._model(input_ids=ids, use_cache=True, output_hidden_states=hidden, **told)


def _memory(cache: Any) -> int:
    """The bytes of all tensors in its layers, some of which have theirs by number."""
    held: list[Any] = [each for layer in cache.layers for each in layer.__dict__.values()]
    numbered: list[Any] = [each for each in held if isinstance(each, dict)]
    held += [each for some in numbered for each in some.values()]
    return sum(getattr(each, "nbytes", 0) for each in held)


def switches(config: Any) -> list[int]:
    """The lengths up to which a text's positions turn by some factors, and by others, from the first, where it is
    longer (LongRoPE)."""
    told: Any = getattr(config.get_text_config(), "rope_parameters", None) or {}
    ropes: list[Any] = [told, *(each for each in told.values() if isinstance(each, dict))]  # or of each kind of layer
    return [rope["original_max_position_embeddings"] for rope in ropes if rope.get("rope_type") == "longrope"]


@dataclass(eq=False, repr=False, slots=True)
class RereadPrompt:
    """A prompt of which nothing but the tokens is kept."""

    ids: tuple[int, ...]
    read: int = 0
    logits: Tensor | None = None
    hidden: Tensor | None = None
    size: int = sys.maxsize  # not worth to be kept for its logits alone


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
