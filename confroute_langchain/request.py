"""The request as the edge is asked it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from confroute.arguments import obstacle, options_of
from confroute.contract import Request
from confroute.errors import ConfigurationError
from confroute.records import ConfidenceRecord, SamplingOptions
from confroute.steps import Call
from confroute_langchain.messages import is_readable, read


def edge_request(
    messages: Sequence[BaseMessage],
    arguments: Mapping[str, Any],
    announce: Callable[[ConfidenceRecord], Call] | None,
) -> Request:
    """What the edge cannot read or do is told as unsupported: it is for the cloud to judge, which may."""
    unsupported = _unsupported(messages, arguments)
    if unsupported is None:
        try:
            options = SamplingOptions(**options_of(arguments))
            return Request(messages=read(messages), options=options, announce=announce)
        except (ConfigurationError, LookupError, TypeError, ValueError):
            unsupported = "what the edge cannot read"
    # That there are messages is all that counts of them then.
    unread = [{"role": message.type, "content": ""} for message in messages]
    return Request(messages=unread, unsupported=unsupported, announce=announce)


def _unsupported(messages: Sequence[BaseMessage], arguments: Mapping[str, Any]) -> str | None:
    if named := obstacle(arguments):
        return named
    if arguments.get("logprobs") or arguments.get("top_logprobs"):
        return "log probabilities"
    if arguments.get("n") not in (None, 1):
        return "several answers"
    if not all(is_readable(message) for message in messages):
        return "content other than text"
    return None
