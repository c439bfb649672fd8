"""Connections of a framework's model, for the copies of it that are asked."""

from __future__ import annotations

import asyncio
import logging
import os
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from inspect import isawaitable, iscoroutinefunction
from typing import Any

from confroute.errors import told_without_prompt

logger = logging.getLogger("confroute")


class Clients:
    """Hands the clients that a copy made when it was asked to the next copies: what a framework's model makes at its
    first request, it keeps in a private attribute, and a copy's would be lost with it, connections and all.

    A client belongs to the event loop that it was made on, and is closed when that one shuts down, as `asyncio.run` has
    it do: once closed, a loop can close no connection. One made on none is closed with this object. The model itself is
    left as it is, and a client that it was given stays open, whatever was made around it.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[int, asyncio.AbstractEventLoop | None], _Made] = {}

    def __reduce__(self) -> tuple[type[Clients], tuple[()]]:
        return Clients, ()  # connections can be neither copied nor pickled

    @contextmanager
    def shared_by(
        self,
        copies: Sequence[Sequence[Any]],
        originals: Sequence[Any],
        of_a_loop: Callable[[Again], Mapping[str, Any]],
    ) -> Generator[None]:
        """Give *copies*, each with what it is around, the clients that they would make, and remember those that they
        make all the same: for copies of the same one of the *originals*, as others have other servers and keys. On an
        event loop the outer ones have those that *of_a_loop* gives for it, by their names, in place of the model's own
        as it is now."""
        made = self._here()
        made.equip([chain[0] for chain in copies], of_a_loop)
        pairs = [pair for chain in copies for pair in zip(chain, originals, strict=False)]
        given = [_clients(copied) for copied, _ in pairs]
        for copied, original in pairs:
            made.lend(copied, original)
        try:
            yield
        finally:
            for (copied, original), own in zip(pairs, given, strict=True):
                made.keep(copied, original, own)
            made.close_spare_of_threads()

    async def close_spare(self) -> None:
        """Copies that are asked at once make a client each, of which one is lent from then on."""
        await _close(self._here().spare)

    def _here(self) -> _Made:
        for pid, loop in list(self._made):
            if loop is not None and loop.is_closed():
                self._made.pop((pid, loop), None)  # its connections hold the loop, which weak keys would wait for
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        # Nor do processes share connections.
        place = os.getpid(), running
        if place not in self._made:
            made = self._made.setdefault(place, _Made(running))
            if running is None:
                # Not left to the garbage collector, which may come to a client's connections before it.
                weakref.finalize(self, _closed_by, os.getpid(), made.lasting)
        return self._made[place]


class Again:
    """What was made once more, for one event loop, in place of clients that may be another's: once for each, as it
    takes long and holds connections. It is *closed* with the loop."""

    def __init__(self, closed: list[Any]) -> None:
        self._closed = closed
        self._made: list[tuple[Any, Any]] = []

    def once(self, own: Any, make: Callable[[], Any], *, stays_open: bool = False) -> Any:
        """What *make* gave in place of *own*; *stays_open* where its connections are not only the loop's."""
        for other, made in self._made:
            if other is own:
                return made
        made = make()
        self._made.append((own, made))
        # What cannot be closed may be around what can.
        whole = made if _closing(made) else getattr(made, "_client", None)
        if _closing(whole) and not stays_open:
            self._closed.append(whole)
        return made


class _Made:
    """The clients that were made on one event loop, or where there is none."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop = loop
        # With the model that each is for: an id is another's afterwards.
        self.lent: dict[tuple[int, str], tuple[Any, Any]] = {}
        self.lasting: list[Any] = []
        self.spare: list[Any] = []
        self._again: Again | None = None
        if loop is not None:
            self._again = Again(self.lasting)
            self._end = _at_the_end(self.lasting, self.spare)
            _without_waiting(self._end.__anext__())

    def equip(self, copies: Sequence[Any], of_a_loop: Callable[[Again], Mapping[str, Any]]) -> None:
        if self._again is None:
            return
        try:
            clients = of_a_loop(self._again)
        except Exception as error:  # of a framework's, or a class of the caller's own
            self._again = None
            logger.warning(
                "No clients of their own could be made for an event loop (%s); the model's are asked, which may serve "
                "one event loop only.",
                told_without_prompt(error),
            )
            return
        for copied in copies:
            for name, client in clients.items():
                if name in getattr(copied.__class__, "__private_attributes__", ()):
                    setattr(copied, name, client)
                else:
                    vars(copied)[name] = client  # it may be frozen

    def close_spare_of_threads(self) -> None:
        """Those that need no event loop, though there may be one that goes on for long, as a notebook's does."""
        done = [client for client in self.spare if self.loop is None or not iscoroutinefunction(_closing(client))]
        self.spare[:] = [client for client in self.spare if not _among(client, done)]
        _without_waiting(_close(done))

    def lend(self, copied: Any, original: Any) -> None:
        for name in _names(copied):
            if (client := self._lent(original, name)) is not None and getattr(copied, name, None) is None:
                setattr(copied, name, client)

    def keep(self, copied: Any, original: Any, given: Sequence[Any]) -> None:
        for name in _names(copied):
            client = getattr(copied, name, None)
            if client is None or _among(client, [*given, self._lent(original, name)]):
                continue
            first = self.lent.setdefault((id(original), name), (original, client))[1] is client
            if _closing(client) and not any(_among(inner, given) for inner in getattr(client, "__dict__", {}).values()):
                (self.lasting if first else self.spare).append(client)

    def _lent(self, original: Any, name: str) -> Any:
        return self.lent.get((id(original), name), (None, None))[1]


async def _at_the_end(*opened: list[Any]) -> AsyncGenerator[None]:
    """Closes what is *opened* by the time that the event loop shuts down, with which all such generators end."""
    try:
        yield
    finally:
        for clients in opened:
            await _close(clients)


def _closed_by(pid: int, clients: list[Any]) -> None:
    """Closes them where they were made, not in a process forked since."""
    if os.getpid() == pid:
        _without_waiting(_close(clients))


async def _close(clients: list[Any]) -> None:
    while clients:
        with suppress(Exception):  # of what is not needed any more, or another thread took: the others are to be closed
            close = _closing(clients.pop())
            if close and isawaitable(closed := close()):
                await closed


def _closing(client: Any) -> Callable[[], Any] | None:
    return getattr(client, "aclose", None) or getattr(client, "close", None)


def _without_waiting(step: Awaitable[None]) -> None:
    with suppress(StopIteration):
        step.__await__().__next__()


def _names(model: Any) -> list[str]:
    """Its private attributes that hold clients, by their names."""
    private: Iterable[str] = getattr(model.__class__, "__private_attributes__", ())
    return [name for name in private if "client" in name]


def _clients(model: Any) -> list[Any]:
    """Those that it has, in fields too."""
    fields = [name for name in model.__dict__ if "client" in name]
    held = [getattr(model, name, None) for name in _names(model) + fields]
    return [client for client in held if _closing(client)]


def _among(client: Any, others: Sequence[Any]) -> bool:
    return any(client is other for other in others)
