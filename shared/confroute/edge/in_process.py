"""Models of frameworks that run in this process: most serve one thread at a time, and some crash with two."""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, TypeVar, cast

from confroute.edge.forks import RenewedLock
from confroute.edge.turns import Turns

T = TypeVar("T")

# Not torch's, whose calls share nothing that changes: sixteen at once were right, and took less than half of the time
# on two busy cores.
PACKAGES = (
    "llama_cpp.",
    "ik_llama_cpp.",
    "ctransformers.",
    "gpt4all.",
    "mlx.",
    "mlx_lm.",
    "mlx_vlm.",
    "onnxruntime_genai.",
    "openvino_genai.",
    "optimum.intel.",
    "optimum.onnxruntime.",
    "exllamav2.",
    "exllamav3.",
    "vllm.entrypoints.",  # its asynchronous engine takes many requests
)
_ITEMS = 16
"""How many of a list's are looked at: a chain's steps, not all that a model remembers."""


def native_of(model: Any) -> Any:
    """What *model* runs on in this process, itself or another that it is around, told by the package it is from: the
    first that is found, or None. A function hides what it asks."""
    waiting, seen = deque([model]), dict[int, Any]()
    while waiting:
        each = waiting.popleft()
        if _is_native(each):
            return each
        if id(each) not in seen:
            seen[id(each)] = each
            waiting.extend(_within(each))
    return None


def turns_on(native: Any) -> Turns:
    """Those of one thread at a time on *native*, the same for all that ask it, in whatever framework; but those within
    its turn for what has it already, as a model that asks another over the same native one."""
    for within in reversed(_within_turns.get()):
        if within.native is native and within.is_open:
            return within
    with _gate:
        turns = _turns.get(id(native))
        if turns is None:
            turns = _turns[id(native)] = _OneByOne(native)
        return turns


class _OneByOne(Turns):
    """Holds what it is for, as an id is another's afterwards. It lives as long as somebody asks, or a thread is in.
    Those within another's turn are open until that ends."""

    def __init__(self, native: Any) -> None:
        super().__init__(1)
        self._native: Callable[[], Any] = lambda: native
        self.is_open = True
        self._beginning = RenewedLock()

    @property
    def native(self) -> Any:
        return self._native()

    async def on_loop(self, call: Callable[[], Awaitable[T]]) -> T:
        async def done() -> T:
            within = _OneByOne(self.native)
            within._enter()
            try:
                return await call()
            finally:
                within._close()

        return await super().on_loop(done)

    def _begin(self, call: Callable[[], T]) -> Future[T]:
        def done() -> T:
            within = _OneByOne(self.native)
            within._enter()
            try:
                return call()
            finally:
                within._close()
                within._leave()

        with self._beginning:
            if self.is_open:
                return super()._begin(done)
        return turns_on(self.native)._begin(call)

    def _enter(self) -> None:
        """Have these be the turns for what is asked of the native model from now on, as long as they are open."""
        # Not reset: a coroutine may be closed in another context.
        _within_turns.set((*(each for each in _within_turns.get() if each.is_open), self))

    def _close(self) -> None:
        """Lets nobody in any more: who outlives the call, as where it gave up waiting, waits for a turn of its own."""
        with self._beginning:
            self.is_open = False
        # Contexts may live on, such as those of a task or a connection, and the model may not be wanted any more.
        with suppress(TypeError):
            self._native = weakref.ref(self.native)

    def _leave(self) -> None:
        """Waits for those who are in."""
        if self._threads:
            super()._begin(lambda: None).result()


_within_turns: ContextVar[tuple[_OneByOne, ...]] = ContextVar("confroute_within_turns", default=())
_turns: weakref.WeakValueDictionary[int, _OneByOne] = weakref.WeakValueDictionary()
_gate = RenewedLock()


def _is_native(each: Any) -> bool:
    return _is_of_packages(cast("type[Any]", type(each)))


@lru_cache(maxsize=1024)
def _is_of_packages(kind: type[Any]) -> bool:
    return any(f"{each.__module__}.".startswith(PACKAGES) for each in kind.__mro__)


def _within(each: Any) -> Iterator[Any]:
    """What a framework's object, or a list of such, holds; of others only what is native, as a pipeline's model."""
    if isinstance(each, (list, tuple)):
        yield from itertools.islice(cast("list[Any]", each), _ITEMS)
        return
    try:
        held: Mapping[str, Any] = object.__getattribute__(each, "__dict__")
    except AttributeError:
        return
    if any("__pydantic_private__" in vars(kind) for kind in type(each).__mro__):
        yield from [*held.values(), *(each.__pydantic_private__ or {}).values()]
    else:
        yield from filter(_is_native, list(held.values()))
