"""Reading LlamaIndex's messages for the edge model. The cloud never sees what is read here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llama_index.core.base.llms.types import CachePoint, ChatMessage, MessageRole, TextBlock, ThinkingBlock

from confroute.contract import Request
from confroute.edge.choices import asked_schema
from confroute.records import Message, SamplingOptions

_ROLES = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
}
# A thought of an earlier turn and a cache mark are no part of what was said: chat templates leave them out, too.
_READ_OVER = (TextBlock, ThinkingBlock, CachePoint)
_BEYOND_THE_EDGE = ("tools", "functions")
_SAMPLING = ("temperature", "top_p", "max_tokens", "stop", "seed")


def read_request(messages: Sequence[ChatMessage], kwargs: Mapping[str, Any], options: SamplingOptions) -> Request:
    """What the edge is asked: text and roles of *messages*; *options*, overridden by the call's own *kwargs*."""
    given = {name: kwargs[name] for name in _SAMPLING if kwargs.get(name) is not None}
    if "stop" in given:
        given["stop"] = (given["stop"],) if isinstance(given["stop"], str) else tuple(given["stop"])
    return Request(
        messages=[read_message(message) for message in messages],
        options=replace(options, json_schema=asked_schema(kwargs.get("response_format")), **given),
        unsupported=next(_obstacles(messages, kwargs), None),
    )


def read_message(message: ChatMessage) -> Message:
    """*message* in OpenAI's form; only its text, blocks joined by newlines as ``ChatMessage.content`` does."""
    return {"role": _ROLES.get(message.role, message.role.value), "content": message.content or ""}


def _obstacles(messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> Iterator[str]:
    """What of the request the edge cannot do, named."""
    for name in _BEYOND_THE_EDGE:
        if kwargs.get(name):
            yield name
    if kwargs.get("response_format") and asked_schema(kwargs["response_format"]) is None:
        yield "response_format"
    for message in messages:
        if message.role not in _ROLES:
            yield f"{message.role.value} message"
        for name in ("tool_calls", "function_call"):
            if message.additional_kwargs.get(name):
                yield name
        for block in message.blocks:
            if not isinstance(block, _READ_OVER):
                yield f"{block.block_type} block"
