"""Passes on a CUDA device that do the same as one before, recorded once and replayed from then on.

A pass for a few tokens is a thousand and more operations, and a processor takes longer to hand one to the device than
the device takes for it.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from confroute.edge.failures import is_out_of_memory, let_go
from confroute.edge.passes import Tensor

logger = logging.getLogger("confroute")

_KEPT = 64  # as each holds the logits of its last pass
_TRIES = 8

Wanted = Callable[[], bool]
Forward = Callable[[Tensor, Wanted], Tensor]


class Replays:
    """Runs a *forward* of what is *given* it, which asks whether it is still *wanted* where it is run as it is.

    The first of a *form* is run as it is, the second is recorded, all others are replayed; the forms used last are
    remembered. *device* is a CUDA device.
    """

    def __init__(self, device: Any) -> None:
        self._device = device
        self._forms: OrderedDict[Hashable, _Recorded | None] = OrderedDict()  # the last used at the end
        self._scarce = 0  # times that memory ran out
        self.able = True
        """Whether passes of the model can be recorded, as far as is known."""

    def run(self, form: Hashable, given: Tensor, forward: Forward, wanted: Wanted) -> Tensor:
        if self.able and form in self._forms:
            self._forms.move_to_end(form)
            try:
                recorded = self._forms[form] or _Recorded(given, forward, self._recorded())
                self._forms[form] = recorded
                return recorded.replay(given)
            except Exception as error:
                self._forms.clear()
                # Without the recordings there may be enough.
                self._scarce += is_out_of_memory(error)
                self.able = is_out_of_memory(error) and self._scarce < _TRIES
                if not self.able:
                    logger.info("Passes are not recorded on %s (%s).", self._device, type(error).__name__)
                let_go(error)
        elif self.able:
            self._forms[form] = None
            if len(self._forms) > _KEPT:
                self._forms.popitem(last=False)
        return forward(given, wanted)

    def _recorded(self) -> _Recorded | None:
        return next((each for each in self._forms.values() if each is not None), None)


class _Recorded:
    """Takes its memory from where an *other* one does: only one of them is replayed at a time."""

    def __init__(self, given: Tensor, forward: Forward, other: _Recorded | None) -> None:
        import torch

        self._given = given.clone()
        self._graph: Any = torch.cuda.CUDAGraph()
        pool = () if other is None else (other._graph.pool(),)
        with torch.cuda.device(given.device):
            stream: Any = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            # Not torch.cuda.graph, which collects garbage and empties the caches of the whole process.
            with torch.cuda.stream(stream):
                self._graph.capture_begin(*pool, capture_error_mode="thread_local")
                try:
                    self._logits = forward(self._given, lambda: True)
                finally:
                    self._graph.capture_end()
            torch.cuda.current_stream().wait_stream(stream)

    def replay(self, given: Tensor) -> Tensor:
        import torch

        with torch.cuda.device(given.device):
            self._given.copy_(given)
            self._graph.replay()
            return self._logits.clone()
