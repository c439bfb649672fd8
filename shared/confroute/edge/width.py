"""How many requests a server takes at the same time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from confroute.edge.renewals import Renewals

_WIDER_SECONDS = 0.5
"""How often at most a server is asked more at a time than it took."""
_LATELY = 16
"""How many that ended last tell what a server takes, or half as many again as are under way: where two machines of
three are sick, one of so many was answered all but always."""
_LINGERS = 1.2
"""Times as long as its last refusal took a server is left before more are tried."""


@dataclass(slots=True, eq=False)
class Turn:
    """Of request *number*, which *began* when so many were *answered* so far and so many *under_way* with it, of which
    the server *refused* some since: a proxy may hold those for a while that it has no place for."""

    number: int
    answered: int
    under_way: int
    began: float
    refused: int = 0

    @property
    def took(self) -> float:
        """At most how many the server took with it, where it was answered: where half the machines are sick, somewhat
        more than twice those beside it that were not refused are some of all."""
        return min(self.under_way, 1 + 2.25 * (self.under_way - self.refused - 1))


class Width:
    """Has *most* requests under way at the same time, and where the server refuses one for being too many, no more than
    those beside it from then on. One sick machine of a fleet refuses any: one was too many only where with none of
    those that were answered lately the server took as many, those beside it that it refused since left aside. Those
    that wait have their turn in order, refused ones first; while some do, twice as many are tried as `Renewals` has it,
    for the server may have been busy with others', but not before one of the last trial would have been refused; and
    soon again once all that ended lately were answered beside more than before. One that refuses what it is asked alone
    takes none for now: requests need not wait for each other then, until one is answered. Belongs to one event loop."""

    def __init__(self, most: int) -> None:
        self._whole = self._most = most
        self._number = self._answered = 0  # ever
        self._under_way: set[Turn] = set()
        self._took: deque[Turn | None] = deque()  # those that ended last, or None where one was refused
        self._takes_none = False
        self._fresh: deque[asyncio.Future[Turn]] = deque()
        self._again: deque[asyncio.Future[Turn]] = deque()
        self._renewals = Renewals(_WIDER_SECONDS)
        self._tried_from = 0  # most before the last trial, until no more than that are left of it
        self._lingers = 0.0  # seconds until the server refused the last
        self._alarm: asyncio.TimerHandle | None = None  # for the next trial

    @asynccontextmanager
    async def turn(self, seconds: float | None = None) -> AsyncGenerator[Turn]:
        """A place among those under way; one that was refused has so many *seconds* left. TimeoutError if there is none
        within those."""
        turn: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        waiting = self._fresh if seconds is None else self._again
        waiting.append(turn)
        self._call()
        try:
            await asyncio.wait([turn], timeout=seconds)
            if not turn.done():
                raise TimeoutError
            yield turn.result()
        finally:
            if turn.done():
                self._under_way.remove(turn.result())
            else:
                waiting.remove(turn)
            self._call()

    def count_answer(self, turn: Turn) -> None:
        """The server took a request."""
        self._answered += 1
        self._takes_none = False
        self._end(turn)
        # Some would not do, nor would they sooner: a proxy may hold for a while those that it will refuse.
        is_late = self._renewals.age >= _LINGERS * self._lingers
        if self._tried_from and is_late and all(one and one.took > self._tried_from for one in self._took):
            self._renewals.end(in_vain=False)
            self._tried_from = 0

    def narrow(self, turn: Turn) -> bool:
        """The server refused a request, which is about to leave: if it was one too many, no more are under way than the
        others from now on. False where it was asked that one alone, or takes none."""
        for later in (*self._under_way, *filter(None, self._took)):
            later.refused += later.number > turn.number
        self._end(None)
        self._lingers = time.monotonic() - turn.began
        others = len(self._under_way) - 1
        if not others and self._answered == turn.answered:
            self._takes_none = True
            self._most = self._whole
        if self._takes_none:
            return False
        if turn.under_way > max((answered.took for answered in filter(None, self._took)), default=0):
            if self._due_in <= 0:
                self._begin(0)
            self._most = min(self._most, max(1, others))
            if self._most <= self._tried_from:
                self._tried_from = 0
                self._renewals.end(in_vain=True)
        return True

    def _end(self, answered: Turn | None) -> None:
        self._took.append(answered)
        while len(self._took) > max(_LATELY, 1.5 * len(self._under_way)):
            self._took.popleft()

    def _call(self) -> None:
        """Those whose turn it is; the others when more are tried."""
        while (waiting := self._again or self._fresh) and (len(self._under_way) < self._most or self._is_wider()):
            self._number += 1
            turn = Turn(self._number, self._answered, len(self._under_way) + 1, time.monotonic())
            self._under_way.add(turn)
            waiting.popleft().set_result(turn)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if waiting and self._most < self._whole:
            self._alarm = asyncio.get_running_loop().call_later(self._due_in, self._call)

    @property
    def _due_in(self) -> float:
        """Seconds until more are tried."""
        return max(self._renewals.due_in, _LINGERS * self._lingers - self._renewals.age)

    def _is_wider(self) -> bool:
        """Whether more are tried at a time from now on."""
        if self._most == self._whole or self._due_in > 0:
            return False
        self._begin(self._most)
        self._most = min(2 * self._most, self._whole)
        return True

    def _begin(self, tried_from: int) -> None:
        """The time until the next trial; the last one held."""
        if self._tried_from:
            self._renewals.end(in_vain=False)
        self._renewals.begin()
        self._tried_from = tried_from
