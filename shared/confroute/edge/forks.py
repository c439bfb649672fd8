"""A forked process has none of its parent's threads, and all locks that these held at that moment."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

_renewed: list[weakref.WeakMethod[Callable[[], Any]]] = []


def renew_after_fork(renew: Callable[[], Any]) -> None:
    """Have the bound method *renew* called in each process forked from now on, as long as its object lives."""
    _renewed.append(weakref.WeakMethod(renew, _renewed.remove))


class RenewedLock:
    """A lock that nobody holds in a process just forked."""

    def __init__(self, make: Callable[[], Any] = threading.Lock) -> None:
        self._make = make
        self._renew()
        renew_after_fork(self._renew)

    def _renew(self) -> None:
        self._lock = self._make()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _forked() -> None:
    for each in tuple(_renewed):
        renew = each()
        if renew is not None:
            renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
