"""How many requests a server takes at the same time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from confroute.edge.renewals import Renewals

_WIDER_SECONDS = 0.5
"""How often at most a server is asked more at a time than it took."""
_LATELY, _CROWD = 16, 0.3
"""Of how many requests the refused ones are counted, and what share of them is a crowd's: one sick machine of many
refuses fewer."""


class Width:
    """Has *most* requests under way at the same time, and fewer where the server refuses some for being too many; those
    that wait have their turn in order. When there are more to make, twice as many are tried as `Renewals` has it: the
    server may have been busy with others'. One that refuses what it is asked alone takes none for now: requests need
    not wait for each other then, until one is answered. Belongs to one event loop."""

    def __init__(self, most: int) -> None:
        self._whole = self._most = most
        self._under_way = 0
        self._answered = 0  # ever
        self._takes_none = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._renewals = Renewals(_WIDER_SECONDS)
        self._is_trial = True  # nothing was refused since there were more at a time
        self._tried_at = 0  # answers before that
        self._refused = 0.0  # the share of late

    @asynccontextmanager
    async def turn(self, seconds: float | None = None) -> AsyncGenerator[int]:
        """A place among those under way, with how many were answered before. TimeoutError if there is none within so
        many *seconds*."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._call()
        try:
            await asyncio.wait([turn], timeout=seconds)
        except asyncio.CancelledError:
            if turn.done():
                self._leave()
            turn.cancel()
            raise
        if turn.cancel():
            raise TimeoutError
        try:
            yield self._answered
        finally:
            self._leave()

    def count_answer(self) -> None:
        """The server took one of those under way."""
        self._answered += 1
        self._takes_none = False
        self._refused -= self._refused / _LATELY

    def narrow(self, before: int) -> bool:
        """The server refused a request, which is about to leave, and so many were answered *before* its turn: from now
        on no more are under way than the others, unless the server has long taken as many, and lately refused few.
        False where those beside it are not why it was refused."""
        self._refused += (1 - self._refused) / _LATELY
        others = self._under_way - 1
        if not others and self._answered == before:
            self._takes_none = True
            self._most = self._whole
        if self._takes_none:
            return False
        is_fresh = self._answered - self._tried_at < 2 * self._most
        if not is_fresh and self._refused < _CROWD:
            return True
        if self._is_trial:
            self._renewals.end(in_vain=not self._renewals.is_due)
        self._is_trial = False
        self._renewals.begin()
        self._most = min(self._most, max(1, others))
        return True

    def _leave(self) -> None:
        self._under_way -= 1
        self._call()

    def _call(self) -> None:
        """Those whose turn it is."""
        while self._waiting and (self._under_way < self._most or self._is_wider()):
            turn = self._waiting.popleft()
            if not turn.done():
                self._under_way += 1
                turn.set_result(None)

    def _is_wider(self) -> bool:
        """Whether more are tried at a time from now on."""
        if self._most == self._whole or not self._renewals.is_due:
            return False
        if self._is_trial:
            self._renewals.end(in_vain=False)  # the last one held
        self._is_trial, self._tried_at = True, self._answered
        self._renewals.begin()
        self._most = min(2 * self._most, self._whole)
        return True
