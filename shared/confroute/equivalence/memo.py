"""What was computed before, remembered within bounds; shared by the equivalences that ask a model."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from confroute.errors import ConfigurationError

Value = TypeVar("Value")


class Memo(Generic[Value]):
    """The last *size* values by the texts they belong to; the one unused longest is forgotten first.

    Holds digests of the texts, not the texts, so that long prompts take no memory and no answer stays behind. Threads
    may share it. Two that want the same value at once may both compute it. A copy or a pickle begins empty.
    """

    def __init__(self, size: int) -> None:
        if size < 0:
            raise ConfigurationError(f"The number of remembered results must be at least 0, not {size}.")
        self._size = size
        self._values: OrderedDict[bytes, Value] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def __getstate__(self) -> dict[str, Any]:
        return {"_size": self._size}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_size"])

    def values(
        self,
        keys: Sequence[tuple[str, ...]],
        compute: Callable[[Sequence[tuple[str, ...]]], Sequence[Value]],
    ) -> list[Value]:
        """The value of each of *keys*; those not remembered are computed in one call, each once."""
        digests = [hashlib.blake2b(repr(key).encode(), digest_size=16).digest() for key in keys]
        known: dict[bytes, Value] = {}
        with self._lock:
            for digest in digests:
                if digest in self._values:
                    self._values.move_to_end(digest)
                    known[digest] = self._values[digest]
        new = {digest: key for digest, key in zip(digests, keys, strict=True) if digest not in known}
        if new:
            computed = dict(zip(new, compute(list(new.values())), strict=True))
            known |= computed
            with self._lock:
                self._values |= computed
                while len(self._values) > self._size:
                    self._values.popitem(last=False)
        return [known[digest] for digest in digests]
