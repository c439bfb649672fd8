"""How many samples a server gives to one request."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from confroute.edge.renewals import Renewals


class Portion:
    """The most samples that a server takes in one request, as far as known. More are tried again as `Renewals` has it:
    a refusal, or replies that were short, may have had another reason."""

    def __init__(self) -> None:
        self._most = sys.maxsize
        self._was_short = False
        self._renewals = Renewals()

    def forget(self) -> None:
        self.__init__()

    def most_of(self, wanted: int) -> int:
        """As many at once as a request for the *wanted* ones may ask for."""
        if wanted <= self._most or not self._renewals.is_due:
            return self._most
        self._renewals.begin()  # others go on in the meantime
        self._renewals.end(in_vain=True)  # as long as it is not taken
        return sys.maxsize

    def lower(self, most: int) -> None:
        """So many were taken, and more refused."""
        if most < self._most:
            if self._most == sys.maxsize:
                self._renewals = Renewals()
            self._most = most
            self._renewals.begin()

    def is_short(self, given: Sequence[int], asked: Sequence[int]) -> bool:
        """Whether a reply had fewer samples than asked for: once may be an accident, twice in a row is all that the
        server gives."""
        short = [some for some, n in zip(given, asked, strict=True) if some < n]
        if short and self._was_short:
            self.lower(max(short))
        if short or max(asked) > 1:
            self._was_short = bool(short)
        if not short and max(asked) > self._most:
            self.forget()
        return bool(short)
