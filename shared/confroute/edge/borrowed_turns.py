"""In whose turn a borrowed model is asked, and whether in a thread or on the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from confroute.edge.in_process import native_of, turns_on
from confroute.edge.protocol import together
from confroute.edge.turns import Turns
from confroute.errors import ConfigurationError
from confroute.steps import Call

T = TypeVar("T")

CONNECTIONS = 16
"""One request's samples at once, and few enough for a small server, or a service's limit."""


class BorrowedTurns:
    """The turns of all requests of *model*, *connections* of them at the same time, as `BorrowedModel` says of both.

    Raises:
        ConfigurationError: *connections* is less than 1.
    """

    def __init__(self, model: Any, connections: int | None, *, is_synchronous: bool) -> None:
        if connections is not None and connections < 1:
            raise ConfigurationError(f"connections must be at least 1, not {connections}.")
        self._model = model
        self._own = Turns(connections or CONNECTIONS)
        self._is_for_many = connections is not None and connections > 1
        # None as long as it is not known to have one form only.
        self._is_synchronous = is_synchronous or None

    def take(self, asks: Sequence[Call]) -> list[Any]:
        """The answers of all *asks*, made in threads."""
        return (self._native() or self._own).take([each.call for each in asks])

    async def atake(self, asks: Sequence[Call]) -> list[Any]:
        """The answers of all *asks*, made on the event loop or in threads."""
        native = self._native()
        return await together([self._awaited(native, each) for each in asks])

    def _native(self) -> Turns | None:
        """Those of what the model runs on by now in this process, unless the caller has it serve more at once."""
        native = None if self._is_for_many else native_of(self._model)
        return None if native is None else turns_on(native)

    async def _awaited(self, native: Turns | None, ask: Call) -> Any:
        """What *ask* gives awaited, or in a thread where the model has no asynchronous form, or is for one thread. That
        one is awaited only where it has no other form: that form has threads of its own, and the turns of an event loop
        are not counted together with those of threads."""
        turns = native or self._own
        forms = {True: lambda: turns.in_thread(ask.call), False: lambda: turns.on_loop(cast("Any", ask.acall))}
        is_in_thread = native is not None if self._is_synchronous is None else self._is_synchronous
        try:
            return await forms[is_in_thread]()
        except NotImplementedError:
            if self._is_synchronous:
                raise
        reply = await forms[not is_in_thread]()
        self._is_synchronous = not is_in_thread
        return reply
