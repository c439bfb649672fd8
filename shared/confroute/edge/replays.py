"""Passes that do the same on a CUDA device as the one before, recorded once and replayed from then on.

A pass for a few tokens is a thousand and more operations, and a processor takes longer to hand one to the device than
the device takes for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Any

from confroute.edge.passes import Tensor

logger = logging.getLogger("confroute")

Forward = Callable[[Tensor], Tensor]


class Replays:
    """Runs a *forward* of what is *given* it.

    The first of a *form* is run as it is, the second is recorded, all others are replayed. *device* is a CUDA device.
    """

    def __init__(self, device: Any) -> None:
        self._device = device
        self._form: Hashable = None
        self._recorded: _Recorded | None = None
        self._able = True

    def run(self, form: Hashable, given: Tensor, forward: Forward) -> Tensor:
        if form != self._form:
            self._form, self._recorded = form, None
        elif self._able:
            try:
                self._recorded = self._recorded or _Recorded(given, forward)
                return self._recorded.replay(given)
            except Exception as error:
                logger.info("Passes are not recorded on %s (%s).", self._device, type(error).__name__)
                self._able, self._recorded = False, None
        return forward(given)


class _Recorded:
    def __init__(self, given: Tensor, forward: Forward) -> None:
        import torch

        self._given = given.clone()
        self._graph: Any = torch.cuda.CUDAGraph()
        with torch.cuda.device(given.device):
            stream: Any = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            # Not torch.cuda.graph, which collects garbage and empties the caches of the whole process.
            with torch.cuda.stream(stream):
                self._graph.capture_begin(capture_error_mode="thread_local")
                try:
                    self._logits = forward(self._given)
                finally:
                    self._graph.capture_end()
            torch.cuda.current_stream().wait_stream(stream)

    def replay(self, given: Tensor) -> Tensor:
        import torch

        with torch.cuda.device(given.device):
            self._given.copy_(given)
            self._graph.replay()
            return self._logits.clone()
