"""The request as the edge is asked it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import BaseOutputParser
from langchain_core.outputs import ChatGeneration

from confroute.arguments import obstacle, options_of
from confroute.contract import Request
from confroute.records import ConfidenceRecord, Sample, SamplingOptions
from confroute.steps import Call
from confroute_langchain.messages import edge_message, is_readable, read


def edge_request(
    messages: Sequence[BaseMessage],
    arguments: Mapping[str, Any],
    announce: Callable[[ConfidenceRecord], Call] | None,
    parser: BaseOutputParser[Any] | None = None,
) -> Request:
    """What the edge cannot read or do is told as unsupported: it is for the cloud to judge, which may. The caller will
    read the answer with *parser*."""
    unsupported = _unsupported(messages, arguments)
    if unsupported is None:
        try:
            given = options_of(arguments)
            return Request(
                messages=read(messages),
                options=SamplingOptions(**given),
                limited="max_tokens" in given,
                read=parser and (lambda sample: _parsed(parser, sample)),
                announce=announce,
            )
        except (LookupError, TypeError, ValueError):
            unsupported = "what the edge cannot read"
    # That there are messages is all that counts of them then.
    unread = [{"role": message.type, "content": ""} for message in messages]
    return Request(messages=unread, unsupported=unsupported, announce=announce)


def _parsed(parser: BaseOutputParser[Any], sample: Sample) -> Any:
    # As its `invoke` does, but for the run that this would show in traces.
    return parser.parse_result([ChatGeneration(message=edge_message(sample))])


def _unsupported(messages: Sequence[BaseMessage], arguments: Mapping[str, Any]) -> str | None:
    if named := obstacle(arguments):
        return named
    return None if all(map(is_readable, messages)) else "content other than text"
