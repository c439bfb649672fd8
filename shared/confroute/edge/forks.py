"""A forked process has none of its parent's threads, and all locks that these held at that moment."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from types import MethodType
from typing import Any

# Not weakref.WeakMethod, which fails where it outlives what it refers to at the end of a process.
_renewed: weakref.WeakKeyDictionary[object, list[Callable[[Any], Any]]] = weakref.WeakKeyDictionary()


def renew_after_fork(renew: MethodType) -> None:
    """Have the bound method *renew* called in each process forked from now on, as long as its object lives."""
    _renewed.setdefault(renew.__self__, []).append(renew.__func__)


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
    for owner, methods in tuple(_renewed.items()):
        for renew in methods:
            renew(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
