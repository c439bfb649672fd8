"""What a framework's model would not take of a request."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from json import JSONDecodeError
from typing import Any, TypeAlias

from confroute.edge.refusals import ECHO, words_in
from confroute.errors import ConfrouteError

Told: TypeAlias = tuple[str, float | None]
"""A parameter of a request by its name, and its value where another may be taken."""

ANEW_SECONDS = 120.0
"""How long a model is not told again what it seems to refuse."""

# 403: some models may not be asked for logprobs.
_STATUSES = (400, 403, 405, 413, 415, 422)
_LEAST_FAILURE = 400
# What clients raise on parameters that they do not know, or on a reply that lacks what it should have.
_OF_THE_CLIENT = (TypeError, ValueError, AttributeError, LookupError, NotImplementedError)
# A reply that is no JSON is a proxy's, or broken off.
_OTHERS = (ConfrouteError, JSONDecodeError)
_ON_THE_WAY = re.compile(r"Connect|Timeout|Transport|Network")
"""What the clients' errors are called, or those that they are kinds of, where nothing came of a request."""


class Objections:
    """What a model refused to be told a while ago, where it took the same request without."""

    def __init__(self) -> None:
        self._until: dict[Told, float] = {}  # by the monotonic clock

    def standing(self) -> frozenset[Told]:
        now = time.monotonic()
        return frozenset(told for told, until in list(self._until.items()) if now < until)

    def remember(self, refused: Iterable[Told]) -> None:
        self._until.update(dict.fromkeys(refused, time.monotonic() + ANEW_SECONDS))


def names_any(error: Exception, names: Iterable[str]) -> bool:
    """Whether the *error* speaks of a parameter of one of these *names*, where it does not repeat the request."""
    body: Any = getattr(error, "body", None)
    words = words_in(body) if isinstance(body, Mapping | list) else ECHO.sub("", str(error))
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", words) for name in names)


def may_be_of_the_request(error: Exception) -> bool:
    """Whether another request may do where this *error* came: the server refused what was asked for, or the client
    would not even send it. Not where it was out of reach, in a hurry, or broken."""
    if isinstance(error, _OTHERS):
        return False
    status = _told_status(error)
    return isinstance(error, _OF_THE_CLIENT) if status is None else status in _STATUSES


def may_be_for_want_of_room(error: Exception) -> bool:
    """Whether more tokens may do where this *error* came: some services refuse a request whose tokens end within the
    thought, and some clients raise on an answer that is cut, with what has no status, or its answer's."""
    if may_be_of_the_request(error):
        return True
    kinds = (kind.__name__ for each in (error, error.__cause__) if each for kind in type(each).__mro__)
    is_of_the_way = isinstance(error, (*_OTHERS, OSError)) or any(map(_ON_THE_WAY.search, kinds))
    return not is_of_the_way and (_told_status(error) or 0) < _LEAST_FAILURE


def _told_status(error: Exception) -> int | None:
    # Google's tells its status by its cause alone.
    told = (_status(each) for each in (error, error.__cause__))
    return next((each for each in told if each is not None), None)


def _status(error: BaseException | None) -> int | None:
    """The HTTP status that it stands for, wherever the client has it."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, Mapping):
        response = response.get("ResponseMetadata")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return response.get("HTTPStatusCode") if isinstance(response, Mapping) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    told = (getattr(error, name, None) for name in ("status_code", "status", "code"))
    return next((each for each in (getattr(response, "status_code", None), *told) if isinstance(each, int)), None)
