"""What a framework's model loads when it is first asked, for the copies of it that are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property, partial
from inspect import getattr_static
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, TypeAlias, cast

from confroute.edge.borrowed_settings import NAMES, fields_of
from confroute.edge.forks import renew_after_fork
from confroute.edge.objections import may_be_of_the_request
from confroute.edge.turns import Turns
from confroute.steps import Call, Flow, arun, run

_Made: TypeAlias = dict[tuple[int, str], tuple[Any, Any]]
"""By a model's id and an attribute's name, the model, as an id is another's afterwards, and what was made for it."""

_PLAIN = (str, bytes, bytearray, int, float, complex, list, tuple, set, frozenset, Mapping)
_BY_CALL = (FunctionType, MethodType, BuiltinFunctionType, partial, BaseException, Iterator)
_SAID = ("langchain_core.messages.", "langchain_core.outputs.", "llama_index.core.base.llms.types.")
_FRAMEWORKS = ("langchain_core.", "llama_index.core.", "pydantic.")


class Loads:
    """Hands what a copy loaded when it was asked, such as weights, to the copies that are asked after it: a model of
    the caller's own often loads at its first call, and what a copy loads would be lost with it.

    That is an object in an attribute that was None, or missing, before the call. Not one that says a temperature, which
    was the copy's, nor what is plain: numbers, texts, messages, functions. What was made on an event loop stays there.
    The model itself is left as it is, and what was loaded is never closed: it may be the caller's.
    """

    def __init__(self) -> None:
        self._turns = Turns(1)
        self._renew()
        renew_after_fork(self._renew)

    def __reduce__(self) -> tuple[type[Loads], tuple[()]]:
        return Loads, ()

    def _renew(self) -> None:
        self._is_over = False
        self._is_of_loops = False
        self._made: dict[asyncio.AbstractEventLoop | None, _Made] = {}

    @property
    def known(self) -> list[Any]:
        """All that was loaded."""
        return [value for made in list(self._made.values()) for _, value in list(made.values())]

    def first(self, originals: Sequence[Any], ask: Call) -> Flow[list[Any]]:
        """What *ask* gives, if it is the first to ask a model of *originals* that may load something; nothing, and
        nothing is asked, where another was the first, once that one is done. Threads, and the tasks of each event loop,
        wait for their own only."""
        if self in _within.get() or not (self._is_awaited() and any(map(_may_load, originals))):
            return []
        return (
            yield Call(
                lambda: self._turns.take([lambda: run(self._alone(ask))])[0],
                lambda: self._turns.on_loop(lambda: arun(self._alone(ask))),
            )
        )

    def _alone(self, ask: Call) -> Flow[list[Any]]:
        if not self._is_awaited():
            return []
        around = _within.get()
        _within.set((*around, self))  # a model that asks itself would wait for itself
        try:
            replies: list[Any] = yield ask
        except Exception as error:
            # Others would wait for one failure after the other, of a server that is out of reach, say.
            self._is_over = self._is_over or not may_be_of_the_request(error)
            raise
        finally:
            _within.set(around)  # not reset: a coroutine may be closed in another context
        self._is_over = True
        return replies

    def _is_awaited(self) -> bool:
        return not self._is_over or (self._is_of_loops and _running() not in (None, *self._made))

    @contextmanager
    def handed_on(self, copies: Sequence[Any], originals: Sequence[Any]) -> Generator[None]:
        """Give each of *copies* what one of the same of *originals* loaded, and remember what it loads itself, in the
        thread or on the event loop where it is asked."""
        loop = _running()
        pairs = list(zip(copies, originals, strict=False))
        for copied, original in pairs:
            _give(copied, {**self._of(original, None), **self._of(original, loop)})
        held = [_held(copied) for copied, _ in pairs]
        try:
            yield
        finally:
            for (copied, original), before in zip(pairs, held, strict=True):
                for name, value in _held(copied).items():
                    if before.get(name) is None and "client" not in name and _lasts(value):
                        self._keep(original, name, value, loop)

    def _of(self, original: Any, loop: asyncio.AbstractEventLoop | None) -> dict[str, Any]:
        made = list(self._made.get(loop, _Made()).items())
        return {name: value for (key, name), (_, value) in made if key == id(original)}

    def _keep(self, original: Any, name: str, value: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        for each in list(self._made):
            if each is not None and each.is_closed():
                self._made.pop(each, None)
        self._is_of_loops = self._is_of_loops or loop is not None
        self._made.setdefault(loop, {}).setdefault((id(original), name), (original, value))


_within: ContextVar[tuple[Loads, ...]] = ContextVar("confroute_first_calls", default=())


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _held(model: Any) -> dict[str, Any]:
    return {**vars(model), **(getattr(model, "__pydantic_private__", None) or {})}


def _give(copied: Any, loaded: Mapping[str, Any]) -> None:
    held = _held(copied)
    private = getattr(copied.__class__, "__private_attributes__", ())
    for name, value in loaded.items():
        if held.get(name) is None:
            (copied.__pydantic_private__ if name in private else vars(copied))[name] = value  # it may be frozen


def _may_load(model: Any) -> bool:
    """Whether it has a place for what may be loaded that is empty. Clients are made in no time."""
    held = _held(model)
    private: Mapping[str, Any] = getattr(model.__class__, "__private_attributes__", {})
    places = [*private, *(name for name, field in fields_of(model).items() if field.annotation is Any)]
    for kind in type(model).__mro__:
        if not f"{kind.__module__}.".startswith(_FRAMEWORKS):
            places += [name for name, value in vars(kind).items() if isinstance(value, cached_property)]
    return any(held.get(name) is None and "client" not in name for name in places)


def _lasts(value: Any) -> bool:
    items: Any = cast("Mapping[Any, Any]", value).values() if isinstance(value, Mapping) else value
    if isinstance(value, (list, tuple, set, frozenset, Mapping)):
        return any(not isinstance(item, _PLAIN) and _lasts(item) for item in items)
    if value is None or isinstance(value, (*_PLAIN, *_BY_CALL)):
        return False
    is_said = any(f"{kind.__module__}.".startswith(_SAID) for kind in type(value).__mro__)
    return not is_said and all(getattr_static(value, name, None) is None for name in NAMES["temperature"])
