"""Continuations of prompts in ragged passes: those of several prompts attend in one operation.

A step of many short answers would otherwise be thousands of operations that each do next to nothing. So branches stand
in stacks, padded to the longest prompt and the most branches of their stack. Who comes makes a stack, which swallows
those at most twice as large, as the runs of a log-structured merge tree do: how often a request is moved grows with the
logarithm of how many there are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from confroute.edge.passes import Tensor
from confroute.edge.ragged_prompt import SHORT, Layers, RaggedPrompt, Share, power_of_two

_STACKED_TOKENS = 8192  # of prompts, padded, that are copied into one stack at most
_ROOM = 16
_FIXED_ROOM = 64  # more, as each growth has to be recorded anew

_serial = itertools.count()


class RaggedBranches:
    """Continuations of one prompt, all as long as each other."""

    def __init__(self, prompt: RaggedPrompt, n: int) -> None:
        self.prompt = prompt
        self.length = 0
        self.stack: Stack | None = None
        self.places: Sequence[int] = range(n)
        """Which of its rows in the stack go on."""
        self.hidden: Tensor | None = None

    def advance(self, _tokens: int, _logits: Tensor, hidden: Tensor | None) -> None:
        self.length += 1
        self.hidden = hidden

    def keep(self, kept: Sequence[int]) -> None:
        """Drop all branches but those at the indices *kept*."""
        self.places = [self.places[i] for i in kept]

    @property
    def kind(self) -> tuple[int, int]:
        """The most tokens of a prompt and the most branches that those have who share a stack with it."""
        return max(SHORT, power_of_two(len(self.prompt.ids))), power_of_two(len(self.places))


class Stack:
    """Branches of several prompts side by side, the tokens of each aligned at their ends.

    The *members* learn of it once a pass with it has succeeded; until then it changes nothing. A *fixed* one does the
    same operations on the same memory in each pass, until its room is used up: rows where nothing goes on take part,
    and a mask hides what has not been written.
    """

    def __init__(self, members: Sequence[RaggedBranches], *, fixed: bool = False) -> None:
        self.kind = members[0].kind
        self.serial = next(_serial)
        self._fixed = fixed
        # Them, their stacks and their rows there, until they have learned of it: they hold the stack, and it not them.
        self._new = [(each, each.stack, each.places) for each in members]
        self._index = {id(each): i for i, each in enumerate(members)}
        self._rows = max(len(each.places) for each in members)  # of each member
        self._prompt_tokens = max(len(each.prompt.ids) for each in members)
        self._columns = max(each.length for each in members)  # of the tokens that the branches have had
        self._layers = members[0].prompt.layers
        self._padding = [self._prompt_tokens - len(each.prompt.ids) for each in members]
        self._begins = [self._columns - each.length for each in members]
        self._padded = any(self._begins) or any(self._padding)
        self._prompts: Layers = {}  # (heads, members, tokens, dimensions)
        self._own: Layers = {}  # (heads, members, rows, room, dimensions)
        self._room = power_of_two(max(self._columns + 1, _FIXED_ROOM if fixed else _ROOM))
        # The slots that have a token in the pass, where not all have; from which token each slot takes what it has, any
        # where it has none; the former as a tensor.
        self._spread: tuple[list[int], Tensor, Tensor] | None = None
        self._at: Tensor | None = None  # the column of the pass, where it is fixed
        self._starts: Tensor | None = None
        self._slabs: dict[tuple[int, ...], tuple[Tensor, int]] = {}
        self._gathered: tuple[Tensor, list[Stack], Tensor | None] | None = None
        self._masks: dict[int, Tensor] = {}

    @property
    def slots(self) -> int:
        return len(self._index) * self._rows

    @property
    def form(self) -> tuple[int, int]:
        """Passes of a fixed one are alike while this is the same."""
        return self.serial, self._room

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

        live = [
            self._index[id(each)] * self._rows + place
            for each in asked
            for place in (range(len(each.places)) if self._new else each.places)
        ]
        ids = [token for own in tokens for token in own]
        positions = [len(each.prompt.ids) + each.length for each, own in zip(asked, tokens, strict=True) for _ in own]
        if self._columns == self._room:
            self._grow()
        if self._starts is None:
            self._starts = torch.tensor([self._padding, self._begins], device=device)[..., None]
        if self._fixed:
            if self._at is None:
                self._at = torch.zeros(1, dtype=torch.long, device=device)
            self._at.fill_(self._columns)
            filled_ids, filled_positions = [0] * self.slots, [0] * self.slots
            for slot, token, position in zip(live, ids, positions, strict=True):
                filled_ids[slot], filled_positions[slot] = token, position
            return Share(filled_ids, filled_positions, live)
        if len(live) == self.slots:
            self._spread = None
        elif self._spread is None or live != self._spread[0]:
            sources = [0] * self.slots
            for i, slot in enumerate(live):
                sources[slot] = i
            self._spread = live, torch.tensor(sources, device=device), torch.tensor(live, device=device)
        return Share(ids, positions, range(len(ids)))

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, window: int) -> Tensor:
        import torch

        spread = self._spread
        if spread is not None:
            query, key, value = (each.index_select(1, spread[1]) for each in (query, key, value))
        prompt_keys, prompt_values = self._read_prompts(layer)
        keys, values = self._write(layer, key, value)
        heads, members, rows, columns, _ = keys.shape
        first, shown = 0, 0
        if not self._fixed:
            # Where a sliding window begins is the same for all, up to what the mask hides.
            shortest = self._columns - max(self._begins)
            first = min(max(0, self._prompt_tokens + shortest + 1 - window), self._prompt_tokens)
            shown = max(0, columns - window)
            prompt_keys, prompt_values = prompt_keys[:, :, first:], prompt_values[:, :, first:]
            keys, values = keys[:, :, :, shown:], values[:, :, :, shown:]
        # Heads that share keys lie side by side: (heads, members, rows, groups, dimensions).
        query = (query * scaling).view(heads, -1, members, rows, query.shape[-1]).permute(0, 2, 3, 1, 4)
        groups = query.shape[3]
        together = query.reshape(heads, members, rows * groups, -1)
        ahead = (together @ prompt_keys.transpose(-1, -2)).view(heads, members, rows, groups, -1)
        scores: Tensor = torch.cat([ahead, query @ keys.transpose(-1, -2)], -1)
        if self._padded or self._fixed:
            scores.masked_fill_(self._unseen(window, first, shown), -torch.inf)
        shares: Tensor = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
        ahead, own = shares.split([prompt_keys.shape[2], keys.shape[3]], -1)
        seen = (ahead.reshape(heads, members, rows * groups, -1) @ prompt_values).view(query.shape)
        seen = (seen + own @ values).permute(0, 3, 1, 2, 4).reshape(heads * groups, members * rows, -1)
        return seen if spread is None else seen.index_select(1, spread[2])

    def advance(self) -> None:
        """A pass has succeeded."""
        for each, _, places in self._new:
            each.stack, each.places = self, range(len(places))
        self._new, self._gathered = [], None
        self._slabs.clear()
        self._columns += 1

    def begin(self) -> None:
        """What one layer finds out for all is forgotten."""
        self._masks.clear()

    def _unseen(self, window: int, first: int, shown: int) -> Tensor:
        """Which keys each member has not: (members, 1, 1, those of the prompts from the *first* and of its own)."""
        import torch

        if window not in self._masks:
            assert self._starts is not None  # noqa: S101 - a pass begins with them
            padding, begins = self._starts
            at: Any = self._columns if self._at is None else self._at
            end = self._room if self._fixed else self._columns + 1
            ahead = torch.arange(first, self._prompt_tokens, device=begins.device)
            own = torch.arange(shown, end, device=begins.device)
            past = ahead <= self._prompt_tokens + at - begins - window
            unseen = torch.cat([(ahead < padding) | past, (own < begins) | (own > at) | (own <= at - window)], 1)
            self._masks[window] = unseen[:, None, None]
        return self._masks[window]

    def _read_prompts(self, layer: int) -> tuple[Tensor, Tensor]:
        if layer not in self._prompts:
            keys, values = zip(*(each.prompt.read_layer(layer) for each, _, _ in self._new), strict=True)
            if len(keys) == 1:
                self._prompts[layer] = keys[0][:, None], values[0][:, None]
            else:
                self._prompts[layer] = to = self._memory(keys[0], len(keys), self._prompt_tokens)
                for whole, parts in zip(to, (keys, values), strict=True):
                    self._align(parts, whole)
        return self._prompts[layer]

    def _align(self, prompts: Sequence[Tensor], whole: Tensor) -> None:
        """Put those of (heads, tokens, dimensions) there, their ends together. What is before shorter ones is hidden,
        but has to be numbers."""
        import torch

        if self._fixed:  # two copies, but no operation for each prompt
            together: Tensor = torch.cat(list(prompts), 1)
            index, _, _ = self._sources(whole.device)
            torch.index_select(together, 1, index, out=whole.flatten(1, 2))
            return
        for i, (prompt, padding) in enumerate(zip(prompts, self._padding, strict=True)):
            whole[:, i, :padding] = 0
            whole[:, i, padding:] = prompt

    def _memory(self, like: Tensor, *shape: int) -> tuple[Tensor, Tensor]:
        """Room for a layer's keys and values, (heads, *shape, dimensions) each. That of all layers is in one piece, as
        small ones of another size in each stack would leave holes in the process's memory."""
        wanted = len(like), *shape, like.shape[-1]
        slab, taken = self._slabs.get(wanted, (None, 0))
        if slab is None or taken == len(slab):
            numbers = self._layers * 2 * math.prod(wanted)
            slab, taken = like.new_empty(power_of_two(numbers))[:numbers].view(self._layers, 2, *wanted), 0
        self._slabs[wanted] = slab, taken + 1
        keys, values = slab[taken]
        return keys, values

    def _write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of the branches, with those of the pass."""
        if layer not in self._own:
            self._own[layer] = self._memory(key, len(self._index), self._rows, self._room)
            self._take_over(layer)
        held = self._own[layer]
        at = self._columns
        for to, new in zip(held, (key, value), strict=True):
            new = new.view(len(new), len(self._index), self._rows, 1, -1)
            if self._at is None:
                to[:, :, :, at : at + 1] = new
            else:
                to.index_copy_(3, self._at, new)
        end = self._room if self._fixed else at + 1
        return held[0][:, :, :, :end], held[1][:, :, :, :end]

    def _take_over(self, layer: int) -> None:
        """Take what the members have written so far, wherever they stood. What has yet to be written is hidden."""
        import torch

        for which, to in enumerate(self._own[layer]):
            _, stacks, index = self._sources(to.device)
            if index is not None:
                held: list[Tensor] = [stack._own[layer][which].flatten(1, 3) for stack in stacks]
                together: Tensor = held[0] if len(held) == 1 else torch.cat(held, 1)
                torch.index_select(together, 1, index, out=to.flatten(1, 3))
            elif self._fixed:
                to.zero_()

    def _sources(self, device: Any) -> tuple[Tensor, list[Stack], Tensor | None]:
        """From where in all its prompts, one after the other, each token comes; which stacks its members stood in, and
        from where in their columns, one after the other, each column comes: any where there is nothing to come."""
        import torch

        if self._gathered is not None:
            return self._gathered
        assert self._starts is not None  # noqa: S101 - a pass begins with them
        padding, begins = self._starts
        sizes = [self._prompt_tokens - each for each in self._padding]
        ends = torch.tensor(list(itertools.accumulate(sizes, initial=0))[:-1], device=device)[:, None]
        tokens = (torch.arange(self._prompt_tokens, device=device) - padding).clamp(min=0) + ends
        stacks = list({id(stack): stack for _, stack, _ in self._new if stack is not None}.values())
        columns: Tensor | None = None
        if stacks:
            offsets = itertools.accumulate((each.slots * each._room for each in stacks), initial=0)
            offset_of = {id(stack): offset for stack, offset in zip(stacks, offsets, strict=False)}
            firsts: list[list[int]] = []
            for (each, stack, places), begin in zip(self._new, self._begins, strict=True):
                own = [0] * self._rows
                if stack is not None:
                    stood = stack._index[id(each)]
                    begin = offset_of[id(stack)] + stack._begins[stood] - begin
                    row = stood * stack._rows
                    own[: len(places)] = [begin + (row + place) * stack._room for place in places]
                firsts.append(own)
            at = torch.arange(self._room, device=device)
            columns = torch.tensor(firsts, device=device)[..., None] + at
            written = (at >= begins) & (at < self._columns)
            columns = columns.masked_fill(~written[:, None], 0).flatten()
        self._gathered = tokens.flatten(), stacks, columns
        return self._gathered

    def _grow(self) -> None:
        self._slabs.clear()
        own: Layers = {}
        for layer, held in self._own.items():
            own[layer] = self._memory(held[0], len(self._index), self._rows, 2 * self._room)
            for to, had in zip(own[layer], held, strict=True):
                to[:, :, :, : self._room] = had
                if self._fixed:
                    to[:, :, :, self._room :] = 0
        self._own, self._room = own, 2 * self._room
        self._slabs.clear()


def arrange(asked: Iterable[RaggedBranches], *, fixed: bool = False) -> list[tuple[Stack, list[RaggedBranches]]]:
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
        stay += [(Stack(part, fixed=fixed), part) for part in parts]
    return [(stack, stack.order(members)) for stack, members in stay]
