"""Continuations of prompts in memory that stays in its place, so that passes can be recorded.

Branches take a seat and leave it. A pass is the same operations whoever sits there: seats where nothing goes on take
part, and a mask hides what has not been written.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

from confroute.edge.failures import let_go
from confroute.edge.passes import Tensor
from confroute.edge.ragged_attention import attend_together, hiding
from confroute.edge.ragged_branches import RaggedBranches, rows_of
from confroute.edge.ragged_memory import power_of_two
from confroute.edge.ragged_prompt import Share

_TOGETHER = 64  # branches that take part in a pass, where one request does not have more
_SEATED_TOKENS = 8192  # of prompts, padded: up to so many, seats are added fourfold
_MOST_SEATED_TOKENS = 4 * _SEATED_TOKENS
_ROOM = 64
_WASTE = 8  # so many times what is needed is given up

_serial = itertools.count()


class Slots:
    """Seats for branches of so many prompts of a *kind*, with *room* for so many tokens of each branch.

    A prompt is copied to where it is seated; one *alone*, too long to be copied, is read where it is.
    """

    def __init__(self, like: RaggedBranches, count: int, room: int, *, alone: bool = False) -> None:
        self.kind = like.kind
        self.count = count
        self.room = room
        self.alone = alone
        self.serial = next(_serial)
        tokens, self._rows = self.kind
        self._prompt_tokens = len(like.prompt.ids) if alone else tokens
        shapes = like.prompt.shapes
        # Zeros, as what is hidden has to be numbers.
        self._prompts = like.prompt.layers.as_one_of_several() if alone else shapes.empty(count, tokens, zeros=True)
        self._own = shapes.empty(count, self._rows, room, zeros=True)
        self._seats: list[weakref.ref[RaggedBranches] | None] = [None] * count
        self._facts: Tensor | None = None  # each seat's tokens of its prompt, and those its branches have had
        self._masks: dict[int, Tensor] = {}

    @property
    def members(self) -> dict[int, RaggedBranches]:
        """Who sits where."""
        seated = ((seat, ref and ref()) for seat, ref in enumerate(self._seats))
        return {seat: each for seat, each in seated if each is not None}

    @property
    def size(self) -> int:
        """Bytes of its memory."""
        own = () if self.alone else self._prompts.pieces
        return sum(piece.numel() * piece.element_size() for piece in (*own, *self._own.pieces))

    def has_room(self) -> bool:
        """Whether each member has room for another token."""
        return all(each.length < self.room for each in self.members.values())

    def serves(self) -> bool:
        """Whether its members have room, and it is not far larger than they need."""
        members = list(self.members.values())
        if not members:
            return True
        tokens, rows = (max(sizes) for sizes in zip(*(each.kind for each in members), strict=True))
        longest = max(each.length for each in members)
        needed = seats_for(2 * len(members), tokens, rows) * (tokens + rows * room_for(longest))
        return longest < self.room and _WASTE * needed > self.count * (self.kind[0] + self._rows * self.room)

    def take(self, member: RaggedBranches) -> None:
        """Give a seat to *member*, which leaves the one it has."""
        taken = self.members
        seat = next(seat for seat in range(self.count) if seat not in taken)
        places, length, stood = member.places, member.length, member.stack
        for at, (prompts, own) in enumerate(zip(self._prompts.pieces, self._own.pieces, strict=True)):
            if not self.alone:
                prompts[:, :, :, seat, : len(member.prompt.ids)] = member.prompt.layers.pieces[at]
                prompts[:, :, :, seat, len(member.prompt.ids) :] = 0
            own[:, :, :, seat] = 0
            if stood is not None:
                own[:, :, :, seat, : len(places), :length] = stood.written(at, member)
        if stood is not None:
            stood.leave(member)
        self._seats[seat] = weakref.ref(member)
        member.stack, member.places = self, range(len(places))

    def leave(self, member: RaggedBranches) -> None:
        self._seats = [None if ref is not None and ref() is member else ref for ref in self._seats]

    def written(self, piece: int, by: RaggedBranches) -> Tensor:
        """What a member has written: (layers, 2, heads, rows that go on, tokens, dimensions)."""
        seat = next(seat for seat, each in self.members.items() if each is by)
        return rows_of(self._own.pieces[piece][:, :, :, seat], by.places)[:, :, :, :, : by.length]

    def share(self, asked: Sequence[RaggedBranches], tokens: Sequence[Sequence[int]], _device: Any) -> Share:
        """What the next pass evaluates for these members, in their order."""
        members = self.members
        seats = {id(each): seat for seat, each in members.items()}
        ids, positions = [0] * (self.count * self._rows), [0] * (self.count * self._rows)
        live: list[int] = []
        for each, own in zip(asked, tokens, strict=True):
            for place, token in zip(each.places, own, strict=True):
                slot = seats[id(each)] * self._rows + place
                ids[slot], positions[slot] = token, len(each.prompt.ids) + each.length
                live.append(slot)
        # Also of those who are not asked: what the pass writes for them comes where they write next.
        read, had = [0] * self.count, [0] * self.count
        for seat, each in members.items():
            read[seat], had[seat] = len(each.prompt.ids), each.length
        rows = live + [0] * (len(ids) - len(live))
        return Share(ids, positions, rows, [*read, *had])

    def begin(self, facts: Tensor) -> None:
        self._facts = facts.view(2, self.count)
        self._masks.clear()

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, window: int) -> Tensor:
        assert self._facts is not None  # noqa: S101 - a pass begins with them
        own = self._own.layer(layer)
        for to, new in zip(own, (key, value), strict=True):
            new = new.view(len(new), self.count, self._rows, 1, -1)
            to.scatter_(3, self._facts[1].view(1, -1, 1, 1, 1).expand(new.shape), new)
        return attend_together(query, scaling, self._prompts.layer(layer), own, self._hidden(window, query))

    def _hidden(self, window: int, like: Tensor) -> Tensor:
        """Hides the keys that a member has not: (seats, 1, 1, those of the prompt and of its own)."""
        import torch

        if window not in self._masks:
            assert self._facts is not None  # noqa: S101 - a pass begins with them
            read, had = self._facts[..., None]
            ahead = torch.arange(self._prompt_tokens, device=read.device)
            own = torch.arange(self.room, device=read.device)
            hidden_ahead = (ahead >= read) | (ahead <= read + had - window)
            unseen = torch.cat([hidden_ahead, (own > had) | (own <= had - window)], 1)
            self._masks[window] = hiding(unseen[:, None, None], like)
        return self._masks[window]


class SlotPool:
    """Finds branches a seat.

    Those of a kind sit together. Slots that nobody sits in are kept, up to *idle_bytes*: passes with them have been
    recorded.
    """

    def __init__(self, idle_bytes: int) -> None:
        self._idle_bytes = idle_bytes
        self._used: list[Slots] = []
        self._idle: list[Slots] = []  # the last used at the end

    def arrange(self, asked: Iterable[RaggedBranches]) -> list[tuple[Slots, list[RaggedBranches]]]:
        """The slots to run a pass for these branches with, and for which of its members each is asked."""
        asked = list(asked)
        self._retire()
        by_kind: dict[tuple[int, int], list[RaggedBranches]] = {}
        served = {id(slots) for slots in self._used if slots.serves()}
        # Those who are not asked stay: where there is no memory for one, others may go on.
        for each in asked:
            if id(each.stack) not in served:
                by_kind.setdefault(each.kind, []).append(each)
        for members in by_kind.values():
            self._seat(members)
        self._retire()
        by_slots: dict[int, list[RaggedBranches]] = {}
        for each in asked:
            by_slots.setdefault(id(each.stack), []).append(each)
        return [(slots, by_slots[id(slots)]) for slots in self._used if id(slots) in by_slots]

    @property
    def present(self) -> dict[int, Slots]:
        """All that a pass can be run with, by their serial numbers."""
        return {slots.serial: slots for slots in (*self._used, *self._idle) if slots.has_room()}

    def release(self) -> None:
        """Give back the memory that nobody sits in."""
        self._idle.clear()

    def _seat(self, members: list[RaggedBranches]) -> None:
        """Seat these of one kind."""
        kind = members[0].kind
        most = most_seats(*kind)
        known = [slots for slots in self._used if slots.kind == kind and not slots.alone and slots.serves()]
        for slots in known:
            free = slots.count - len(slots.members)
            fitting = [each for each in members if each.length < slots.room][:free]
            for each in fitting:
                slots.take(each)
            members = [each for each in members if each.stack is not slots]
        if members:
            # Those with few seats make way for one with more.
            members += [each for slots in known if slots.count < most for each in slots.members.values()]
        for begin in range(0, len(members), most):
            some = members[begin : begin + most]
            slots = self._find(some)
            for each in some:
                slots.take(each)

    def _find(self, members: Sequence[RaggedBranches]) -> Slots:
        """Slots for these, who have the same kind."""
        like = members[0]
        count, room = seats_for(len(members), *like.kind), room_for(max(each.length for each in members))
        alone = like.kind[0] > _SEATED_TOKENS
        for slots in self._idle:
            if not alone and (slots.kind, slots.count, slots.room) == (like.kind, count, room):
                self._idle.remove(slots)
                break
        else:
            slots = self._make(like, count, room, alone)
        self._used.append(slots)
        return slots

    def _make(self, like: RaggedBranches, count: int, room: int, alone: bool) -> Slots:
        try:
            return Slots(like, count, room, alone=alone)
        except Exception as error:
            if not self._idle:
                raise
            let_go(error)
        self.release()  # may have been the memory that was wanted
        return Slots(like, count, room, alone=alone)

    def _retire(self) -> None:
        left = [slots for slots in self._used if not slots.members]
        self._used = [slots for slots in self._used if slots.members]
        self._idle += [slots for slots in left if not slots.alone]
        while self._idle and sum(slots.size for slots in self._idle) > self._idle_bytes:
            del self._idle[0]


def most_seats(tokens: int, rows: int) -> int:
    """How many prompts of so many tokens, padded, with so many branches, padded, sit together at most."""
    if tokens > _SEATED_TOKENS:
        return 1
    return max(1, min(_MOST_SEATED_TOKENS // tokens, _TOGETHER // rows))


def seats_for(count: int, tokens: int, rows: int) -> int:
    """How many seats so many have: in coarse steps, as passes for each number have to be recorded."""
    fourfold = 1
    while fourfold < count:
        fourfold *= 4
    return min(fourfold if fourfold * tokens <= _SEATED_TOKENS else power_of_two(count), most_seats(tokens, rows))


def room_for(length: int) -> int:
    """For how many tokens there is room where branches have had so many."""
    room = _ROOM
    while room <= length:
        room *= 4
    return room
