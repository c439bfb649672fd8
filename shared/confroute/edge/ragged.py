"""Forward passes of a torch model over many requests at once, the samples of each sharing its prompt.

All tokens of a pass stand side by side as one sequence, whichever request they belong to: outside of attention, a
transformer treats each token by itself. Attention is ours. It lets a token see the prompt of its request and its own
branch only, and reads the prompt's keys and values once for all branches (the idea of Hydragen, arXiv 2402.05099), so
nothing is copied for each sample.

Whether a model can be run so is tested on the model itself when it is loaded; see `confroute.edge.ragged_trial`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from confroute.edge.cores import one_core
from confroute.edge.decoder import Decoder, decoder_like
from confroute.edge.passes import Piece, Tensor, Unwanted
from confroute.edge.ragged_beginnings import MOST, Beginnings, alike
from confroute.edge.ragged_branches import RaggedBranches, Stack, arrange
from confroute.edge.ragged_company import Company
from confroute.edge.ragged_memory import KeysValues, Shapes
from confroute.edge.ragged_prompt import UNLIMITED, RaggedPrompt, Share
from confroute.edge.ragged_slots import SlotPool
from confroute.edge.replays import Replays

ATTENTION = "confroute_ragged"
# Up to so many numbers between the layers of a pass, one core computes what is between linear layers and attention.
_FEW_NUMBERS = 2**16
_IDLE_SHARE = 16  # of a device's memory, one part is kept for the next passes like those that were recorded


_Attending: TypeAlias = Sequence[tuple[Any, Sequence[Any]]]
"""Those who attend in a pass, and for which of their own each is asked."""


@dataclass(frozen=True, slots=True)
class _Unit:
    """One who attends in a pass, for whom, and what the pass evaluates for it."""

    who: Any
    asked: Sequence[Any]
    share: Share


class RaggedPasses:
    """Runs all pieces that are to be run in one forward pass. On a CUDA device, unless it is not to be *recorded*, in a
    few that are replayed."""

    together = True

    def __init__(self, model: Any, *, recorded: bool = True) -> None:
        import torch
        from transformers import AttentionInterface

        interface: Any = AttentionInterface
        interface.register(ATTENTION, _attention)
        model.set_attn_implementation(ATTENTION)
        self._model = model
        self._chooses = False  # which tokens it computes logits for
        self._width = 0  # of a token's queries, all heads together
        self._decoder: Decoder | None = None
        with torch.no_grad():
            self.shapes = self._measure()
        self.unbroken = 0
        self._replays: Replays | None = None
        self._slots, self._company = SlotPool(0), Company()
        self._desk: KeysValues | None = None  # where prompts are written that are read in recorded passes
        if recorded and model.device.type == "cuda":
            self._replays = Replays(model.device)
            self.unbroken = MOST
            cuda: Any = torch.cuda
            memory = cuda.get_device_properties(model.device).total_memory
            self._slots = SlotPool(memory // _IDLE_SHARE)

    def _measure(self) -> Shapes:
        """Run two tokens to see what the model keeps of each, and whether `Decoder` gives what it does."""
        import torch

        measured, share = _Measured(), Share([1, 2], [0, 7], [1])
        units = [_Unit(measured, [], share)]
        given: Tensor = torch.tensor(_numbers([share], share.rows), device=self._model.device)
        self._decoder = None
        logits, _ = self._forward(given, units)
        self._chooses = len(logits) == 1
        self._width = measured.width
        if self._model.device.type == "cpu":
            ids, positions, rows = given.tensor_split([2, 4])
            attend = partial(_attend, units, lambda: True)
            self._decoder = decoder_like(self._model, measured.told, logits[-1:], ids, positions, rows, attend)
        return Shapes(measured.layers)

    def prompt(self, ids: tuple[int, ...], known: Iterable[RaggedPrompt] = ()) -> RaggedPrompt:
        return RaggedPrompt(ids, self.shapes, () if len(ids) <= self.unbroken else known)

    def branches(self, prompt: RaggedPrompt, n: int) -> RaggedBranches:
        return RaggedBranches(prompt, n)

    def run(
        self, pieces: Sequence[Piece], wanted: Callable[[], bool] = lambda: True, /, *, hidden: bool = False
    ) -> list[Tensor]:
        """For each piece the logits of what comes next, in float32: one row for a prompt, one for each branch. With
        *hidden* the pieces' hidden states are set, too: (layers + 1, rows, size).

        Where this raises, nothing has changed. Whether it is still *wanted* is asked at each layer, or once where a
        pass is replayed.
        """
        tokens = {id(piece.of): piece.tokens for piece in pieces}
        try:
            done = [
                self._evaluate(form, asked, tokens, wanted, hidden) for form, asked in self._arrange(pieces, hidden)
            ]
        except Unwanted:
            raise
        except Exception:
            self._slots.release()
            raise
        told: dict[int, Tensor] = {}
        for units, logits, states in done:
            told |= _advance(units, tokens, logits, states)
        return [told[id(piece.of)] for piece in pieces]

    def _arrange(self, pieces: Sequence[Piece], hidden: bool) -> Iterator[tuple[Hashable, _Attending]]:
        """Who attends in each pass, for whom; and the pass's form, where there may be others like it."""
        branches = [piece.of for piece in pieces if isinstance(piece.of, RaggedBranches)]
        prompts = [piece for piece in pieces if not isinstance(piece.of, RaggedBranches)]
        if self._replays is None:
            yield None, [*arrange(branches), *((piece.of, [piece.of]) for piece in prompts)]
            return
        slots = self._slots.arrange(branches)
        asked = [each for each, _ in slots]
        members = {each.serial: some for each, some in slots}
        recorded = self._replays.able and not hidden
        for some in self._company.passes(asked, self._slots.present) if recorded else [asked]:
            if some:
                yield tuple(each.serial for each in some), [(each, members.get(each.serial, ())) for each in some]
        short = [piece.of for piece in prompts if len(piece.tokens) == len(piece.of.ids) <= MOST]
        for some in alike(short):
            self._desk = self._desk or self.shapes.empty(MOST)
            together = Beginnings(some, self._desk)
            yield together.form, [(together, some)]
        longer = [(piece.of, [piece.of]) for piece in prompts if piece.of not in short]
        if longer:
            yield None, longer

    def _evaluate(
        self,
        form: Hashable,
        attending: _Attending,
        tokens: Mapping[int, Sequence[int]],
        wanted: Callable[[], bool],
        hidden: bool,
    ) -> tuple[list[_Unit], Tensor, Tensor | None]:
        """One pass: the logits of the rows that were asked for, and with *hidden* their hidden states."""
        import torch

        device = self._model.device
        shares = [each.share(asked, [tokens[id(of)] for of in asked], device) for each, asked in attending]
        units = [_Unit(each, asked, share) for (each, asked), share in zip(attending, shares, strict=True)]
        replays = None if form is None or hidden else self._replays
        wanted_rows = _rows(shares)
        rows = list(dict.fromkeys(wanted_rows)) if replays is None else wanted_rows
        given: Tensor = torch.tensor(_numbers(shares, rows), device=device)
        states: Tensor | None = None
        if replays is None:
            with one_core() if sum(len(share.ids) for share in shares) * self._width <= _FEW_NUMBERS else nullcontext():
                logits, layers = self._forward(given, units, wanted, hidden=hidden)
            if hidden:
                chosen = given[-len(rows) :]
                states = torch.stack([layer[chosen] for layer in layers])
        else:
            if not wanted():
                raise Unwanted
            logits = replays.run(form, given, lambda given, wanted: self._forward(given, units, wanted)[0], wanted)
        if not self._chooses:
            logits = logits[given[-len(rows) :]]
        if len(rows) < len(wanted_rows):
            known = {row: at for at, row in enumerate(rows)}
            again: Tensor = torch.tensor([known[row] for row in wanted_rows], device=device)
            logits, states = logits[again], None if states is None else states[:, again]
        for each in units:
            if isinstance(each.who, Beginnings):
                each.who.end()
        return units, logits.float(), states

    def _forward(
        self,
        given: Tensor,
        units: Sequence[_Unit],
        wanted: Callable[[], bool] = lambda: True,
        *,
        hidden: bool = False,
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Of the `_numbers` of these units: the logits of the rows, or of all tokens where the model does not choose;
        and if *hidden* the hidden states of all tokens, layer by layer."""
        tokens = sum(len(unit.share.ids) for unit in units)
        facts = [len(unit.share.facts) for unit in units]
        ids, positions, *told, chosen = given.split([tokens, tokens, *facts, len(given) - 2 * tokens - sum(facts)])
        for unit, each in zip(units, told, strict=True):
            unit.who.begin(each)
        if self._decoder is not None:
            return self._decoder(ids, positions, chosen, partial(_attend, units, wanted), hidden=hidden)
        reply = self._model(
            input_ids=ids[None],
            position_ids=positions[None],
            use_cache=False,
            logits_to_keep=chosen,
            output_hidden_states=hidden,
            ragged=(units, wanted),
        )
        return reply.logits[0], [layer[0] for layer in reply.hidden_states or ()]


class _Measured:
    """Notes what the model keeps of a token in each layer, and what it tells attention there."""

    def __init__(self) -> None:
        self.layers: dict[int, Tensor] = {}
        self.told: dict[int, tuple[float, int]] = {}
        self.width = 0

    def begin(self, _facts: Tensor) -> None:
        """Nothing is to be done before the layers."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, window: int) -> Tensor:
        if key.shape != value.shape:
            raise NotImplementedError(f"Ragged passes keep keys and values alike, not {key.shape} and {value.shape}.")
        self.layers[layer] = key[:, :1].clone()
        self.told[layer] = scaling, window
        self.width = query.shape[0] * query.shape[2]
        # Something that depends on each of them.
        return (query.unflatten(0, (len(key), -1)) + key[:, None] * value[:, None]).flatten(0, 1).transpose(0, 1)


def _numbers(shares: Sequence[Share], rows: Sequence[int]) -> list[int]:
    """Tokens, positions, what else those who attend are told, and the *rows* whose logits are computed."""
    return [
        *(token for share in shares for token in share.ids),
        *(at for share in shares for at in share.positions),
        *(fact for share in shares for fact in share.facts),
        *rows,
    ]


def _rows(shares: Sequence[Share]) -> list[int]:
    """For which of all tokens logits are wanted, one or several times."""
    begins = itertools.accumulate((len(share.ids) for share in shares), initial=0)
    return [begin + row for begin, share in zip(begins, shares, strict=False) for row in share.rows]


def _advance(
    units: Sequence[_Unit], tokens: Mapping[int, Sequence[int]], logits: Tensor, states: Tensor | None
) -> dict[int, Tensor]:
    """What has succeeded is made known; the logits of each who was asked for, by its identity."""
    told: dict[int, Tensor] = {}
    begins = itertools.accumulate((len(unit.share.rows) for unit in units), initial=0)
    for unit, begin in zip(units, begins, strict=False):
        for of in unit.asked:
            end = begin + (len(tokens[id(of)]) if isinstance(of, RaggedBranches) else 1)
            told[id(of)] = logits[begin:end]
            of.advance(tokens[id(of)], logits[begin:end], None if states is None else states[:, begin:end])
            begin = end
        if isinstance(unit.who, Stack):
            unit.who.advance()
    return told


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    ragged: tuple[Sequence[_Unit], Callable[[], bool]],
    scaling: float | None = None,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers' models call it, on tensors of (1, heads, tokens, dimensions)."""
    unknown = [name for name in ("softcap", "s_aux", "position_bias") if more.get(name) is not None]
    if attention_mask is not None or unknown:
        raise NotImplementedError(f"Ragged attention has no {unknown or 'mask'}.")
    units, wanted = ragged
    told = query.shape[-1] ** -0.5 if scaling is None else scaling, sliding_window or UNLIMITED
    seen = _attend(units, wanted, module.layer_idx, query[0], key[0], value[0], *told)
    # As transformers' own: some models view it as rows.
    return seen[None].contiguous(), None


def _attend(
    units: Sequence[_Unit],
    wanted: Callable[[], bool],
    layer: int,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float,
    window: int,
) -> Tensor:
    """What the tokens of all units see, those of each given to who attends for it: (tokens, heads, dimensions)."""
    import torch

    if not wanted():
        raise Unwanted
    if len(units) == 1:
        return units[0].who.attend(layer, query, key, value, scaling, window)
    sizes = [len(unit.share.ids) for unit in units]
    parts = zip(units, *(each.split(sizes, 1) for each in (query, key, value)), strict=True)
    return torch.cat([unit.who.attend(layer, *own, scaling, window) for unit, *own in parts])
