"""Which slots run in one pass, where passes are recorded."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from confroute.edge.ragged_slots import Slots

_LAST = 64  # passes that tell who meets whom
_KEPT = 32
_WORTH = 16  # passes spared, which is when recording another is paid for


class Company:
    """Slots of several kinds run in one pass, which spares the others reading the model's weights. A recorded pass is
    for those that it was recorded with, so others take part in it though nobody asks them; and those that meet for the
    first time run by themselves until another recording pays."""

    def __init__(self) -> None:
        self._last: deque[frozenset[int]] = deque(maxlen=_LAST)
        self._known: deque[frozenset[int]] = deque(maxlen=_KEPT)
        self._spared = 0

    def passes(self, asked: Sequence[Slots], present: Mapping[int, Slots]) -> list[list[Slots]]:
        """Who runs in each of the passes for those *asked*. *present* are all that can run, by their serial numbers."""
        alone = [[each] for each in asked]
        needed = frozenset(each.serial for each in asked)
        self._last.append(needed)
        if len(needed) < 2:
            return alone
        fitting = [each for each in self._known if needed <= each <= present.keys() and len(each) <= 2 * len(needed)]
        if not fitting:
            self._spared += len(needed) - 1
            if self._spared < _WORTH:
                return alone
            self._spared = 0
            met = frozenset[int]().union(*self._last) & present.keys()
            fitting = [met if len(met) <= 2 * len(needed) else needed]
            self._known.append(fitting[0])
        return [[present[serial] for serial in sorted(min(fitting, key=len))]]
