"""Conversations with a tiny model in ragged passes, each of which has to see its own text."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

from confroute.edge.passes import Piece, Unwanted
from confroute.edge.ragged import RaggedPasses
from confroute.edge.ragged_company import Company
from confroute.edge.ragged_slots import SlotPool
from confroute.edge.replays import Replays
from confroute.edge.transformers import TransformersEngine
from tests.edge.tiny_models import CHARACTERS, passes_of

torch = pytest.importorskip("torch")
TorchDispatchMode = pytest.importorskip("torch.utils._python_dispatch").TorchDispatchMode

VOCABULARY = len(CHARACTERS)


class Conversation:
    """Branches of one prompt, and the tokens that each has had."""

    def __init__(self, passes: RaggedPasses, prompt: list[int], firsts: list[int]) -> None:
        read = passes.prompt(tuple(prompt))
        passes.run([Piece(read, prompt)])
        self.branches = passes.branches(read, len(firsts))
        self.texts = [[*prompt, first] for first in firsts]

    def piece(self) -> Piece:
        return Piece(self.branches, [text[-1] for text in self.texts])

    def take(self, logits: Any, shift: int) -> None:
        """Goes on with a token that is *shift* ids after the likeliest, or twice as many in every other branch, so that
        some of those that have said the same go apart."""
        for at, (text, row) in enumerate(zip(self.texts, logits, strict=True)):
            text.append((int(row.argmax()) + shift * (1 + at % 2)) % VOCABULARY + 1)

    def keep(self, kept: list[int]) -> None:
        self.branches.keep(kept)
        self.texts = [self.texts[i] for i in kept]


def go_on(passes: RaggedPasses, asked: list[Conversation], shift: int = 0) -> None:
    """One pass; its logits are those after each text as a prompt, which nothing here touches."""
    ours = passes.run([one.piece() for one in asked])
    texts = [text for one in asked for text in one.texts]
    theirs = passes.run([Piece(passes.prompt(tuple(text)), text) for text in texts])
    torch.testing.assert_close(torch.cat(ours), torch.cat(theirs), atol=2e-4, rtol=1e-4)
    for one, logits in zip(asked, ours, strict=True):
        one.take(logits, shift)


def give_up(passes: RaggedPasses, asked: list[Conversation]) -> None:
    """A pass that is not wanted any more, after a layer where it is asked there."""
    wanted = iter([] if passes._replays else [True])
    with pytest.raises(Unwanted):
        passes.run([one.piece() for one in asked], lambda: next(wanted, False))


class Unrecorded(Replays):
    """Stands for the replays of a CUDA device where there is none: notes what each pass does."""

    def __init__(self) -> None:
        super().__init__("cpu")
        self.done: list[tuple[Any, list[Any]]] = []

    def run(self, form: Any, given: Any, forward: Callable[..., Any], wanted: Callable[[], bool]) -> Any:
        with Operations() as operations:
            logits = forward(given, wanted)
        self.done.append((form, operations.seen))
        return logits


class Operations(TorchDispatchMode):
    """Notes each operation with its shapes and its other arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        def plain(each: Any) -> Any:
            if isinstance(each, list | tuple):
                return [plain(part) for part in each]
            return (each.shape, each.stride()) if isinstance(each, torch.Tensor) else each

        self.seen.append((str(func), plain(args), plain(sorted((kwargs or {}).items()))))
        return func(*args, **(kwargs or {}))


@contextmanager
def running(engine: TransformersEngine, *, fixed: bool) -> Generator[RaggedPasses]:
    """The passes of the engine's model; where *fixed*, as on a CUDA device."""
    passes = passes_of(engine)
    own = passes._replays, passes._slots, passes._company
    # Its own, since tests change what the model does.
    replays = (Replays(passes._model.device) if own[0] else Unrecorded()) if fixed else None
    passes._replays = replays
    passes._slots, passes._company = SlotPool(1 << 30), Company()
    try:
        with torch.inference_mode():
            yield passes
        assert replays is None or replays.able, "Nothing that was to be recorded could not be."
    finally:
        passes._replays, passes._slots, passes._company = own
