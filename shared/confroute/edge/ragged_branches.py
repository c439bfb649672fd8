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
from confroute.edge.ragged_prompt import Layers, RaggedPrompt

_SHORT = 128  # prompts up to so many tokens may share a stack; of longer ones, those of the same power of two
_STACKED_TOKENS = 8192  # of prompts, padded, that are copied into one stack at most
_ROOM = 16


class RaggedBranches:
    """Continuations of one prompt, all as long as each other."""

    def __init__(self, prompt: RaggedPrompt, n: int) -> None:
        self.prompt = prompt
        self.length = 0
        self.stack: Stack | None = None
        self.places: Sequence[int] = range(n)
        """Which of its rows in the stack go on."""
        self.hidden: Tensor | None = None

    def positions(self, tokens: int) -> list[int]:
        return [len(self.prompt.ids) + self.length] * tokens

    def rows(self, tokens: int) -> range:
        return range(tokens)

    def advance(self, _tokens: int, _logits: Tensor, hidden: Tensor | None) -> None:
        self.length += 1
        self.hidden = hidden

    def keep(self, kept: Sequence[int]) -> None:
        """Drop all branches but those at the indices *kept*."""
        self.places = [self.places[i] for i in kept]

    @property
    def kind(self) -> tuple[int, int]:
        """The most tokens of a prompt and the most branches that those have who share a stack with it."""
        return max(_SHORT, _power(len(self.prompt.ids))), _power(len(self.places))


class Stack:
    """Branches of several prompts side by side, the tokens of each aligned at their ends.

    The *members* learn of it once a pass with it has succeeded; until then it changes nothing.
    """

    def __init__(self, members: Sequence[RaggedBranches]) -> None:
        self.members = members
        self.kind = members[0].kind
        self._before = [(each.stack, each.places) for each in members]  # until they have learned of it
        self._rows = max(len(each.places) for each in members)  # of each member
        self._prompt_tokens = max(len(each.prompt.ids) for each in members)
        self._columns = max(each.length for each in members)  # of the tokens that the branches have had
        self._begins = {id(each): self._columns - each.length for each in members}
        self._padded = any(self._begins.values()) or any(len(each.prompt.ids) < self._prompt_tokens for each in members)
        self._prompts: Layers = {}  # (members, heads, tokens, dimensions)
        self._own: Layers = {}  # (members, heads, rows, room, dimensions)
        self._slots: tuple[Sequence[int], tuple[Tensor, Tensor] | None] = (), None
        self._masks: dict[int, Tensor] = {}

    def serves(self, asked: Sequence[RaggedBranches]) -> bool:
        """Whether a pass for these members is better run with the stack as it is than with a new one."""
        live = sum(len(each.places) for each in asked)
        slots = len(self.members) * self._rows
        up_to_date = all(self._begins[id(each)] + each.length == self._columns for each in asked)
        return up_to_date and (live == slots or (len(self.members) > 1 and 2 * live > slots))

    def ask(self, asked: Sequence[RaggedBranches], device: Any) -> Sequence[RaggedBranches]:
        """The next pass is for these members, in the order returned."""
        wanted = {id(each) for each in asked}
        asked = [each for each in self.members if id(each) in wanted]
        self._find_slots(asked, device)
        return asked

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, window: int) -> Tensor:
        import torch

        spread = self._slots[1]
        if spread is not None:
            query, key, value = (each.index_select(1, spread[0]) for each in (query, key, value))
        prompt_keys, prompt_values = self._read_prompts(layer)
        keys, values = self._write(layer, key, value)
        members, heads, rows, columns, _ = keys.shape
        # Where a sliding window begins is the same for all, up to what the mask hides.
        shortest = columns - 1 - max(self._begins.values())
        first = max(0, self._prompt_tokens + shortest + 1 - window)
        prompt_keys, prompt_values = prompt_keys[:, :, first:], prompt_values[:, :, first:]
        keys, values = keys[:, :, :, -window:], values[:, :, :, -window:]
        # Heads that share keys lie side by side: (members, heads, rows, groups, dimensions).
        query = (query * scaling).view(heads, -1, members, rows, query.shape[-1]).permute(2, 0, 3, 1, 4)
        groups = query.shape[3]
        together = query.reshape(members, heads, rows * groups, -1)
        ahead = (together @ prompt_keys.transpose(-1, -2)).view(members, heads, rows, groups, -1)
        scores: Tensor = torch.cat([ahead, query @ keys.transpose(-1, -2)], -1)
        if self._padded:
            scores.masked_fill_(self._unseen(window, first, query.device), -torch.inf)
        shares: Tensor = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
        ahead, own = shares.split([prompt_keys.shape[2], keys.shape[3]], -1)
        seen = (ahead.reshape(members, heads, rows * groups, -1) @ prompt_values).view(query.shape)
        seen = (seen + own @ values).permute(1, 3, 0, 2, 4).reshape(heads * groups, members * rows, -1)
        return seen if spread is None else seen.index_select(1, spread[1])

    def advance(self) -> None:
        """A pass has succeeded."""
        for each in self.members if self._before else ():
            each.stack, each.places = self, range(len(each.places))
        self._before = []
        self._columns += 1
        self._masks.clear()

    def _find_slots(self, asked: Sequence[RaggedBranches], device: Any) -> None:
        """Which of all rows of all members have a token in the pass; where each of them takes it from, any where it has
        none; no tensors of that where all have one."""
        import torch

        at = {id(each): i * self._rows for i, each in enumerate(self.members)}
        live = [
            at[id(each)] + place
            for each in asked
            for place in (range(len(each.places)) if self._before else each.places)
        ]
        if live == self._slots[0]:
            return
        slots = len(self.members) * self._rows
        spread = None
        if len(live) < slots:
            sources = [0] * slots
            for i, slot in enumerate(live):
                sources[slot] = i
            spread = torch.tensor(sources, device=device), torch.tensor(live, device=device)
        self._slots = live, spread

    def _unseen(self, window: int, first: int, device: Any) -> Tensor:
        """Which keys each member has not: (members, 1, 1, 1, those of the prompts from the *first* and its own)."""
        import torch

        if window not in self._masks:
            begins: list[list[int]] = [[], []]
            for each in self.members:
                begin = self._begins[id(each)]
                of_window = self._prompt_tokens + self._columns - begin + 1 - window
                begins[0].append(max(self._prompt_tokens - len(each.prompt.ids), of_window))
                begins[1].append(begin)
            ahead, own = torch.tensor(begins, device=device)[..., None]
            shown = max(0, self._columns + 1 - window)
            columns = torch.arange(first, self._prompt_tokens, device=device)
            masks = columns < ahead, torch.arange(shown, self._columns + 1, device=device) < own
            self._masks[window] = torch.cat(masks, 1)[:, None, None, None]
        return self._masks[window]

    def _read_prompts(self, layer: int) -> tuple[Tensor, Tensor]:
        if layer not in self._prompts:
            of_members = [each.prompt.read_layer(layer) for each in self.members]
            keys, values = (
                of_members[0][which][None]
                if len(of_members) == 1
                else _aligned([of_member[which] for of_member in of_members], self._prompt_tokens)
                for which in range(2)
            )
            self._prompts[layer] = keys, values
        return self._prompts[layer]

    def _write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of the branches, with those of the pass."""
        end = self._columns
        held = self._own.get(layer) or self._taken_over(layer, key, value)
        if held[0].shape[3] == end:
            grown = [each.new_empty(*each.shape[:3], 2 * end, each.shape[-1]) for each in held]
            for new, old in zip(grown, held, strict=True):
                new[:, :, :, :end] = old
            held = grown[0], grown[1]
        self._own[layer] = held
        for to, new in zip(held, (key, value), strict=True):
            to[:, :, :, end] = new.view(len(new), len(self.members), self._rows, -1).transpose(0, 1)
        return held[0][:, :, :, : end + 1], held[1][:, :, :, : end + 1]

    def _taken_over(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """What the members have written so far, wherever they stood."""
        shape = len(self.members), len(key), self._rows, max(_ROOM, _power(self._columns + 1))
        keys, values = (new.new_zeros(*shape, new.shape[-1]) for new in (key, value))
        for i, (each, (stack, places)) in enumerate(zip(self.members, self._before, strict=True)):
            if stack is not None:
                for to, held in zip((keys, values), stack._read(layer, each, places), strict=True):
                    to[i, :, : len(places), self._begins[id(each)] : self._columns] = held
        return keys, values

    def _read(self, layer: int, member: RaggedBranches, places: Sequence[int]) -> list[Tensor]:
        """What a member has written in here, (heads, places, tokens, dimensions)."""
        at = next(i for i, each in enumerate(self.members) if each is member)
        begin = self._begins[id(member)]
        rows = [each[at, :, :, begin : begin + member.length] for each in self._own[layer]]
        return [each[:, list(places)] for each in rows] if len(places) < self._rows else rows


def arrange(asked: Iterable[RaggedBranches]) -> list[tuple[Stack, list[RaggedBranches]]]:
    """The stacks to run a pass for these branches with."""
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
        stay += [(Stack(some), some) for some in (members[i : i + most] for i in range(0, len(members), most))]
    return stay


def _aligned(parts: Sequence[Tensor], tokens: int) -> Tensor:
    """Those of (heads, tokens, dimensions) in one, their ends together, with zeros before the shorter ones."""
    first = parts[0]
    whole = first.new_zeros(len(parts), len(first), tokens, first.shape[-1])
    for each, part in zip(whole, parts, strict=True):
        each[:, tokens - part.shape[1] :] = part
    return whole


def _power(count: int) -> int:
    """The power of two that is not less."""
    return 1 << (count - 1).bit_length()
