"""When what did not work is tried again."""

from __future__ import annotations

import math
import time
from typing import Any

_ANEW_SECONDS = 120.0
"""How long a server's "no" is taken for its last word, and how often at most one that fails on requests is probed."""
_MOST_IN_VAIN = 9
"""After that many times twice as long, what there is a way without is tried about once a day."""


class Renewals:
    """The dates of one thing: it is tried again after two minutes, or so many *seconds*, and each time that was in vain
    after twice as long, at last about once a day, or 512 times as many seconds."""

    def __init__(self, seconds: float | None = None) -> None:
        self._own_seconds = seconds
        self._at = -math.inf  # by the monotonic clock
        self._in_vain = 0

    def __getstate__(self) -> dict[str, Any]:
        # Another machine has another clock.
        return {**self.__dict__, "_at": -math.inf}

    @property
    def _seconds(self) -> float:
        return _ANEW_SECONDS if self._own_seconds is None else self._own_seconds

    @property
    def age(self) -> float:
        """Seconds since it was tried."""
        return time.monotonic() - self._at

    @property
    def is_old(self) -> bool:
        """Whether it may be tried again by who has no way without it."""
        return self.age >= self._seconds

    @property
    def is_due(self) -> bool:
        return self.due_in <= 0

    @property
    def due_in(self) -> float:
        """Seconds until it is tried again; none or fewer where it is due."""
        return self._seconds * 2**self._in_vain - self.age

    def begin(self, at: float | None = None) -> None:
        """It is tried now: others go on in the meantime."""
        self._at = time.monotonic() if at is None else at

    def end(self, *, in_vain: bool) -> None:
        self._in_vain = min(self._in_vain + 1, _MOST_IN_VAIN) if in_vain else 0
