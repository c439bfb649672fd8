"""How many requests a server takes at the same time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from confroute.edge.renewals import Renewals

_WIDER_SECONDS = 0.5
"""How often at most a server is asked more at a time than it took."""
_LATELY = 16
"""How many that ended last tell what a server takes: where two machines of three are sick, one of so many was answered
all but always."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Of a request that began when so many were *answered* so far, and so many *under_way* with it."""

    answered: int
    under_way: int


class Width:
    """Has *most* requests under way at the same time, and where the server refuses one for being too many, no more than
    those beside it from then on. One sick machine of a fleet refuses any: one was too many only where none of those
    that ended last was answered with as many under way. Those that wait have their turn in order; while some do, twice
    as many are tried as `Renewals` has it, for the server may have been busy with others'. One that refuses what it is
    asked alone takes none for now: requests need not wait for each other then, until one is answered. Belongs to one
    event loop."""

    def __init__(self, most: int) -> None:
        self._whole = self._most = most
        self._under_way = 0
        self._answered = 0  # ever
        self._takes_none = False
        self._took: deque[int] = deque(maxlen=_LATELY)  # as many as were under way with one, or 0 where it was refused
        self._waiting: deque[asyncio.Future[Turn]] = deque()
        self._renewals = Renewals(_WIDER_SECONDS)
        self._tried_from = 0  # most before the last trial, until no more than that are left of it
        self._alarm: asyncio.TimerHandle | None = None  # for the next trial

    @asynccontextmanager
    async def turn(self, seconds: float | None = None) -> AsyncGenerator[Turn]:
        """A place among those under way. TimeoutError if there is none within so many *seconds*."""
        turn: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._call()
        try:
            await asyncio.wait([turn], timeout=seconds)
            if not turn.done():
                raise TimeoutError
            yield turn.result()
        finally:
            if turn.done():
                self._under_way -= 1
            else:
                self._waiting.remove(turn)
            self._call()

    def count_answer(self, turn: Turn) -> None:
        """The server took a request."""
        self._answered += 1
        self._takes_none = False
        self._took.append(turn.under_way)

    def narrow(self, turn: Turn) -> bool:
        """The server refused a request, which is about to leave: if it was one too many, no more are under way than the
        others from now on. False where it was asked that one alone, or takes none."""
        self._took.append(0)
        others = self._under_way - 1
        if not others and self._answered == turn.answered:
            self._takes_none = True
            self._most = self._whole
        if self._takes_none:
            return False
        if turn.under_way > max(self._took):
            if self._renewals.is_due:
                self._begin(0)
            self._most = min(self._most, max(1, others))
            if self._most <= self._tried_from:
                self._tried_from = 0
                self._renewals.end(in_vain=True)
        return True

    def _call(self) -> None:
        """Those whose turn it is; the others when more are tried."""
        while self._waiting and (self._under_way < self._most or self._is_wider()):
            self._under_way += 1
            self._waiting.popleft().set_result(Turn(self._answered, self._under_way))
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._waiting and self._most < self._whole:
            self._alarm = asyncio.get_running_loop().call_later(self._renewals.due_in, self._call)

    def _is_wider(self) -> bool:
        """Whether more are tried at a time from now on."""
        if self._most == self._whole or not self._renewals.is_due:
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
