"""What the torch engine needs of a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

Tensor: TypeAlias = Any  # a torch.Tensor; torch is imported only where a model runs


@dataclass(frozen=True, slots=True)
class Piece:
    """What a pass is to evaluate *of* one request: the next tokens of its prompt, or one token for each branch."""

    of: Any
    tokens: Sequence[int]


def size_of(prompt: Any, memory: int) -> int:
    """How many tokens take as much memory as what is kept of a prompt, the keys and values of its own being so many
    bytes."""
    beside = sum(each.nbytes for each in (prompt.logits, prompt.hidden) if each is not None)
    return len(prompt.ids) + -(-len(prompt.ids) * beside // max(memory, 1))


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
        states that they come from; and its *size*, see `size_of`."""
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
