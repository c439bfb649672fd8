"""Continuations of prompts in ragged passes: those of several prompts attend in one operation.

A step of many short answers would otherwise be thousands of operations that each do next to nothing. So branches stand
in stacks, padded to the longest prompt and the most branches of their stack. Who comes makes a stack, which swallows
those at most twice as large, as the runs of a log-structured merge tree do: how often a request is moved grows with the
logarithm of how many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from confroute.edge.passes import Tensor
from confroute.edge.ragged_attention import attend_together, hiding
from confroute.edge.ragged_memory import KeysValues, power_of_two
from confroute.edge.ragged_prompt import SHORT, RaggedPrompt, Share

_STACKED_TOKENS = 8192  # of prompts, padded, that are copied into one stack at most
_ROOM = 16


class RaggedBranches:
    """Continuations of one prompt, all as long as each other."""

    def __init__(self, prompt: RaggedPrompt, n: int) -> None:
        self.prompt = prompt
        self.length = 0
        self.stack: Any = None
        """Where they stand: a `Stack`, or `confroute.edge.ragged_slots.Slots`."""
        self.places: Sequence[int] = range(n)
        """Which of its rows there go on."""
        self.hidden: Tensor | None = None
        self._said = [0] * n

    def advance(self, tokens: Sequence[int], _logits: Tensor, hidden: Tensor | None) -> None:
        self._said = self.alike(tokens)
        self.length += 1
        self.hidden = hidden

    def alike(self, tokens: Sequence[int]) -> list[int]:
        """A number for each branch, the same for those who with these *tokens* have said the same; counted from 0, as
        they come."""
        numbers: dict[tuple[int, int], int] = {}
        return [numbers.setdefault(each, len(numbers)) for each in zip(self._said, tokens, strict=True)]

    def keep(self, kept: Sequence[int]) -> None:
        """Drop all branches but those at the indices *kept*."""
        self.places = [self.places[i] for i in kept]
        self._said = [self._said[i] for i in kept]

    @property
    def kind(self) -> tuple[int, int]:
        """The most tokens of a prompt and the most branches that those have who stand together with it."""
        return max(SHORT, power_of_two(len(self.prompt.ids))), power_of_two(len(self.places))


class Stack:
    """Branches of several prompts side by side, the tokens of each aligned at their ends.

    The *members* learn of it once a pass with it has succeeded; until then it changes nothing.
    """

    def __init__(self, members: Sequence[RaggedBranches]) -> None:
        self.kind = members[0].kind
        # Them, their stacks and their rows there, until they have learned of it: they hold the stack, and it not them.
        self._new = [(each, each.stack, each.places) for each in members]
        self._index = {id(each): i for i, each in enumerate(members)}
        self._rows = max(len(each.places) for each in members)  # of each member
        self._prompt_tokens = max(len(each.prompt.ids) for each in members)
        self._columns = max(each.length for each in members)  # of the tokens that the branches have had
        self._padding = [self._prompt_tokens - len(each.prompt.ids) for each in members]
        self._begins = [self._columns - each.length for each in members]
        self._padded = any(self._begins) or any(self._padding)
        self._room = power_of_two(max(self._columns + 1, _ROOM))
        self._shapes = members[0].prompt.shapes
        # Of the prompts, (members, tokens), and of the branches, (members, rows, room).
        self._held: tuple[KeysValues, KeysValues] | None = None
        # Where not each slot has a token of its own in the pass: from which token each slot takes what it has, any
        # where it has none, and from which slot each token takes what it sees.
        self._spread: tuple[Tensor, Tensor] | None = None
        self._starts: Tensor | None = None
        # In the pass that runs: where a token is written, and what is seen within each window.
        self._next: Any = None
        self._windows: dict[int, tuple[KeysValues, KeysValues, Tensor | None]] = {}

    @property
    def slots(self) -> int:
        return len(self._index) * self._rows

    def serves(self, asked: Sequence[RaggedBranches]) -> bool:
        """Whether a pass for these members is better run with the stack as it is than with a new one."""
        live = sum(len(each.places) for each in asked)
        up_to_date = all(self._begins[self._index[id(each)]] + each.length == self._columns for each in asked)
        return up_to_date and (live == self.slots or (len(self._index) > 1 and 2 * live > self.slots))

    def order(self, asked: Sequence[RaggedBranches]) -> list[RaggedBranches]:
        return sorted(asked, key=lambda each: self._index[id(each)])

    def share(self, asked: Sequence[RaggedBranches], tokens: Sequence[Sequence[int]], device: Any) -> Share:
        """What the next pass evaluates for these members, in their order."""
        import torch

        ids: list[int] = []
        positions: list[int] = []
        # Those who have said the same so far are one token. What it has is written for each: any of them may go on.
        rows: list[int] = []
        into, out_of = [0] * self.slots, list[int]()
        for each, own in zip(asked, tokens, strict=True):
            first, begin = self._index[id(each)] * self._rows, len(ids)
            places = range(len(each.places)) if self._new else each.places
            for place, token, alike in zip(places, own, each.alike(own), strict=True):
                if begin + alike == len(ids):
                    ids.append(token)
                    positions.append(len(each.prompt.ids) + each.length)
                    out_of.append(first + place)
                into[first + place] = begin + alike
                rows.append(begin + alike)
        if self._held is None:
            self._starts = torch.tensor([self._padding, self._begins], device=device)[..., None]
            self._held = self._gather_prompts(), self._take_over()
        elif self._columns == self._room:
            self._held = self._held[0], self._grow(self._held[1])
            self._room *= 2
        numbers: Tensor | None = torch.tensor(into + out_of, device=device) if len(ids) < self.slots else None
        self._spread = None if numbers is None else numbers.tensor_split([self.slots])
        return Share(ids, positions, rows)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, window: int) -> Tensor:
        spread = self._spread
        if spread is not None:
            query, key, value = (each.index_select(1, spread[0]) for each in (query, key, value))
        for to, new in zip(self._next.layer(layer), (key, value), strict=True):
            to.copy_(new.view(to.shape))
        prompts, own, hidden = self._visible(window, query)
        seen = attend_together(query, scaling, prompts.layer(layer), own.layer(layer), hidden)
        return seen if spread is None else seen.index_select(0, spread[1])

    def advance(self) -> None:
        """A pass has succeeded."""
        for each, _, places in self._new:
            each.stack, each.places = self, range(len(places))
        self._new = []
        self._columns += 1

    def begin(self, _facts: Tensor) -> None:
        """What one layer finds out for all is forgotten."""
        assert self._held is not None  # noqa: S101 - they have told their share
        self._windows.clear()
        self._next = self._held[1].at(..., self._columns, slice(None))

    def _visible(self, window: int, like: Tensor) -> tuple[KeysValues, KeysValues, Tensor | None]:
        """What is seen within a *window*, of the prompts and of what the branches have written, and what hides of it
        what a member has not: (members, 1, 1, tokens of the prompts and of its own)."""
        if window not in self._windows:
            assert self._held is not None  # noqa: S101 - they have told their share
            prompts, written = self._held
            # Where a sliding window begins is the same for all, up to what the mask hides.
            shortest = self._columns - max(self._begins)
            first = min(max(0, self._prompt_tokens + shortest + 1 - window), self._prompt_tokens)
            shown = max(0, self._columns + 1 - window)
            self._windows[window] = (
                prompts.at(..., slice(first, None), slice(None)),
                written.at(..., slice(shown, self._columns + 1), slice(None)),
                self._hidden(window, first, shown, like) if self._padded else None,
            )
        return self._windows[window]

    def _hidden(self, window: int, first: int, shown: int, like: Tensor) -> Tensor:
        import torch

        assert self._starts is not None  # noqa: S101 - they have told their share
        padding, begins = self._starts
        ahead = torch.arange(first, self._prompt_tokens, device=begins.device)
        own = torch.arange(shown, self._columns + 1, device=begins.device)
        past = ahead <= self._prompt_tokens + self._columns - begins - window
        unseen = torch.cat([(ahead < padding) | past, (own < begins) | (own <= self._columns - window)], 1)
        return hiding(unseen[:, None, None], like)

    def _gather_prompts(self) -> KeysValues:
        """Their ends together. What is before shorter ones is hidden, but has to be numbers."""
        prompts = [each.prompt.layers for each, _, _ in self._new]
        if len(prompts) == 1:
            return prompts[0].as_one_of_several()
        together = self._shapes.empty(len(prompts), self._prompt_tokens)
        for i, (prompt, padding) in enumerate(zip(prompts, self._padding, strict=True)):
            for to, each in zip(together.pieces, prompt.pieces, strict=True):
                to[:, :, :, i, :padding] = 0
                to[:, :, :, i, padding:] = each
        return together

    def _take_over(self) -> KeysValues:
        """What the members have written so far, wherever they stood, with room for more."""
        own = self._shapes.empty(len(self._index), self._rows, self._room)
        for i, ((each, stack, places), begin) in enumerate(zip(self._new, self._begins, strict=True)):
            for at, to in enumerate(own.pieces):
                mine = to[:, :, :, i, :, : self._columns]
                # What nothing is written to is hidden, but has to be numbers.
                mine[:, :, :, :, :begin] = 0
                mine[:, :, :, len(places) :] = 0
                if stack is not None:
                    mine[:, :, :, : len(places), begin:] = stack.written(at, each)
        return own

    def written(self, piece: int, by: RaggedBranches) -> Tensor:
        """What a member has written: (layers, 2, heads, rows that go on, tokens, dimensions)."""
        assert self._held is not None  # noqa: S101 - nobody is a member before
        stood = self._index[id(by)]
        begin = self._begins[stood]
        return rows_of(self._held[1].pieces[piece][:, :, :, stood], by.places)[:, :, :, :, begin : begin + by.length]

    def _grow(self, own: KeysValues) -> KeysValues:
        larger = self._shapes.empty(len(self._index), self._rows, 2 * self._room)
        for to, had in zip(larger.pieces, own.pieces, strict=True):
            to[..., : self._room, :] = had
        return larger


def rows_of(piece: Tensor, places: Sequence[int]) -> Tensor:
    """Those of (layers, 2, heads, rows, ...), without a copy where they stand beside each other."""
    first, count = places[0], len(places)
    together = list(places) == list(range(first, first + count))
    return piece[:, :, :, first : first + count] if together else piece[:, :, :, list(places)]


def arrange(asked: Iterable[RaggedBranches]) -> list[tuple[Stack, list[RaggedBranches]]]:
    """The stacks to run a pass for these branches with, and for which of its members each is asked."""
    by_stack: dict[int, tuple[Stack | None, list[RaggedBranches]]] = {}
    for each in asked:
        by_stack.setdefault(id(each.stack), (each.stack, []))[1].append(each)
    stay: list[tuple[Stack, list[RaggedBranches]]] = []
    moving: dict[tuple[int, int], list[RaggedBranches]] = {}
    for stack, members in by_stack.values():
        if stack is not None and stack.serves(members):
            stay.append((stack, members))
        else:
            for each in members:
                moving.setdefault(each.kind, []).append(each)
    for kind, members in moving.items():
        most = max(1, _STACKED_TOKENS // kind[0])
        for stack, others in sorted((each for each in stay if each[0].kind == kind), key=lambda each: len(each[1])):
            if len(others) <= 2 * len(members) and len(others) + len(members) <= most:
                members += others
                stay = [each for each in stay if each[0] is not stack]
        parts = [members[i : i + most] for i in range(0, len(members), most)]
        stay += [(Stack(part), part) for part in parts]
    return [(stack, stack.order(members)) for stack, members in stay]
