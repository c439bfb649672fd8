"""What the torch engine needs of a forward pass, and the pass that every causal model can do: a request at a time."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

Tensor: TypeAlias = Any  # a torch.Tensor; torch is imported only where a model runs


@dataclass(frozen=True, slots=True)
class Piece:
    """What a pass is to evaluate *of* one request: the next tokens of its prompt, or one token for each branch."""

    of: Any
    tokens: Sequence[int]


class Unwanted(Exception):  # noqa: N818 - no error: nobody waits for the pass any more
    """A pass was given up."""


class Passes(Protocol):
    """How a model is run."""

    together: bool
    """Whether a pass takes pieces of several requests, and parts of prompts."""
    unbroken: int
    """Up to so many tokens, prompts are better read in one pass than in parts."""

    def prompt(self, ids: tuple[int, ...], known: Iterable[Any] = (), /) -> Any:
        """A prompt, whose beginning may be taken from one of those *known*. It tells its *ids*, how many of them were
        *read*, and once all were, the *logits* of the first new token and, where a pass was run with them, the *hidden*
        states that they come from."""
        ...

    def branches(self, prompt: Any, n: int) -> Any:
        """*n* continuations of a prompt that was read to its end. Its ``keep(indices)`` drops all others; its
        *hidden* is that of the last pass."""
        ...

    def run(
        self, pieces: Sequence[Piece], wanted: Callable[[], bool] = ..., /, *, hidden: bool = False
    ) -> list[Tensor]:
        """For each piece the logits of what comes next, in float32: one row for a prompt, one for each branch. With
        *hidden* the pieces' hidden states are set, too: (layers + 1, rows, size).

        Raises:
            Unwanted: *wanted* was no longer true in the middle of it.
        """
        ...


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
        self.hidden: Tensor | None = None
        if n > 1:
            self.keep([0] * n)

    def keep(self, kept: Sequence[int]) -> None:
        import torch

        # The one way to select that every kind of cache layer has; it moves the indices to the layer's device.
        self.cache.reorder_cache(torch.tensor(kept))


class CopiedPasses:
    """A request at a time and a copy of the prompt's cache for each sample, as any model can."""

    together = False  # nor parts of a prompt: not every state-space layer goes on from what it has read
    unbroken = 0

    def __init__(self, model: Any) -> None:
        self._model = model
        # The argument's name since transformers 5.24, where a model has it; the old one is to go in 5.40.
        self._cache_name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"

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
        ids = [piece.tokens] if is_prompt else [[token] for token in piece.tokens]
        reply: Any = self._model(
            input_ids=torch.tensor(ids, device=self._model.device),
            use_cache=True,
            output_hidden_states=hidden,
            **{self._cache_name: piece.of.cache},
            **({"logits_to_keep": 1} if is_prompt else {}),
        )
        logits = reply.logits[:, -1].float()
        if hidden:
            piece.of.hidden = torch.stack([layer[:, -1] for layer in reply.hidden_states])
        if is_prompt:
            piece.of.read, piece.of.logits = len(piece.tokens), logits[0]
        return [logits]
