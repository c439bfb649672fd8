"""Connections of a framework's model, for the copies of it that are asked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary


class _NoLoop:
    """Where there is no event loop."""


class Clients:
    """Hands the clients that a copy made when it was asked to the next copies: what a framework's model makes at its
    first request, it keeps in a private attribute, and a copy's would be lost with it, connections and all.

    A client belongs to the event loop that it was made on. The model itself is left as it is.
    """

    def __init__(self) -> None:
        self._no_loop = _NoLoop()
        self._made: WeakKeyDictionary[Any, dict[int, dict[str, Any]]] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[type[Clients], tuple[()]]:
        return Clients, ()  # connections can be neither copied nor pickled

    def lend(self, copied: Any) -> None:
        """Give *copied* the clients that it would make."""
        made = self._here()
        for name in _names(copied):
            if name in made and getattr(copied, name, None) is None:
                setattr(copied, name, made[name])

    def keep(self, copies: Iterable[Any]) -> None:
        """Remember the clients that *copies* made, the first of each kind."""
        made = self._here()
        for copied in copies:
            for name in _names(copied):
                if (client := getattr(copied, name, None)) is not None:
                    made.setdefault(name, client)

    def _here(self) -> dict[str, Any]:
        try:
            place: Any = asyncio.get_running_loop()
        except RuntimeError:
            place = self._no_loop
        # Nor do processes share connections.
        return self._made.setdefault(place, {}).setdefault(os.getpid(), {})


def _names(model: Any) -> list[str]:
    """Its private attributes that hold clients, by their names."""
    private: Iterable[str] = getattr(model.__class__, "__private_attributes__", ())
    return [name for name in private if "client" in name]
