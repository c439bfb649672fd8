"""Which errors of a framework's model say that it would not take the request."""

from __future__ import annotations

from collections.abc import Mapping
from json import JSONDecodeError
from typing import Any

from confroute.errors import ConfrouteError

# 403: some models may not be asked for logprobs.
_STATUSES = (400, 403, 405, 413, 415, 422)
# What clients raise on parameters that they do not know, or on a reply that lacks what it should have.
_OF_THE_CLIENT = (TypeError, ValueError, AttributeError, LookupError, NotImplementedError)
# A reply that is no JSON is a proxy's, or broken off.
_OTHERS = (ConfrouteError, JSONDecodeError)


def may_be_of_the_request(error: Exception) -> bool:
    """Whether another request may do where this *error* came: the server refused what was asked for, or the client
    would not even send it. Not where it was out of reach, in a hurry, or broken."""
    status = _status(error)
    if status is not None:
        return status in _STATUSES
    return isinstance(error, _OF_THE_CLIENT) and not isinstance(error, _OTHERS)


def _status(error: Exception) -> int | None:
    """The HTTP status that it stands for, wherever the client has it."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, Mapping):
        response = response.get("ResponseMetadata")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return response.get("HTTPStatusCode") if isinstance(response, Mapping) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    told = (getattr(error, name, None) for name in ("status_code", "status", "code"))
    return next((each for each in (getattr(response, "status_code", None), *told) if isinstance(each, int)), None)
