"""From LangChain's messages to what the edge reads, and from the core's answers to LangChain's messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast
from uuid import uuid4

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolCall, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk

from confroute.contract import Answer
from confroute.records import ConfidenceRecord, Message, Sample, in_roles_of_the_edge

METADATA_KEY = "confidence_routing"
"""Where the record stands in ``response_metadata``, and the name of the custom event."""

# A thought in an earlier answer is no part of what was said; refusing it would send all later turns to the cloud.
_READABLE = ("text", "reasoning", "thinking", "redacted_thinking")
_PLAIN = {"human": "user", "system": "system"}
# What a message's tool_calls say again.
_CALL_BLOCKS = ("tool_use", "tool_call", "function_call")
_TOKENS = {"input_tokens", "output_tokens", "total_tokens"}
_OF_TOOLS = ("tool_calls", "tool_call_id")


def read(messages: Sequence[BaseMessage]) -> list[Message]:
    """The messages in OpenAI's form, of their content the text only; what is not text is left out (see
    `is_readable`)."""
    if all(type(message.content) is str and message.type in _PLAIN for message in messages):
        # As below, in less time.
        return [{"role": _PLAIN[message.type], "content": message.content} for message in messages]
    converted = convert_to_openai_messages(list(messages))
    texts: list[Message] = [
        {
            "role": message["role"],
            "content": _text(message.get("content")),
            **{name: message[name] for name in _OF_TOOLS if message.get(name)},
        }
        for message in converted
    ]
    return list(in_roles_of_the_edge(texts))


def is_readable(message: BaseMessage) -> bool:
    """Whether nothing of its content would be left out."""
    if not isinstance(message.content, list):
        return True
    readable = (*_READABLE, *_CALL_BLOCKS) if isinstance(message, AIMessage) else _READABLE
    return all(_block_type(block) in readable for block in message.content)


def edge_message(sample: Sample, answer: Answer[Any] | None = None) -> AIMessage:
    """What the edge said, and where it is the *answer*, the record and its usage; what else the edge was asked is in
    the record."""
    record = answer and answer.record
    usage = answer and answer.usage
    metadata: dict[str, Any] = {"finish_reason": sample.finish_reason}
    if record is not None:
        metadata = {"model_name": record.edge.model if record.edge else "", **metadata, METADATA_KEY: record.to_dict()}
    return AIMessage(
        content=sample.text,
        tool_calls=[
            ToolCall(name=call.name, args=json.loads(call.arguments), id=f"call_{uuid4().hex}", type="tool_call")
            for call in sample.tool_calls
        ],
        response_metadata=metadata,
        usage_metadata=usage and UsageMetadata(input_tokens=usage[0], output_tokens=usage[1], total_tokens=sum(usage)),
    )


def whole_message(answer: Answer[BaseMessage]) -> AIMessage:
    """The message that `invoke` returns: a copy, since tracers keep references to the cloud's own."""
    if answer.sample is not None:
        return edge_message(answer.sample, answer)
    record = cast("ConfidenceRecord", answer.record)
    message = cast("AIMessage", answer.native)
    told = {"usage_metadata": _usage_of(message)} if isinstance(answer.native, AIMessage) else {}
    return message.model_copy(
        update={
            **told,
            "id": _own_id(message),
            "response_metadata": {**message.response_metadata, METADATA_KEY: record.to_dict()},
        }
    )


def message_chunk(answer: Answer[BaseMessage], before: AIMessageChunk) -> AIMessageChunk:
    """One piece of a stream. The record is on the last only: LangChain merges chunks' metadata by adding strings and
    numbers up, so it may stand in one chunk of a stream. One without an id has that of the piece *before* it: by ids
    LangGraph tells messages apart. What is ours is text or blocks as that is.
    """
    if answer.sample is not None:
        whole = _as_chunk(edge_message(answer.sample, answer))
        whole = whole.model_copy(update={"id": before.id, "chunk_position": "last"})
        return whole if isinstance(before.content, str) else _in_blocks(whole)
    if answer.native is None:
        metadata = {METADATA_KEY: cast("ConfidenceRecord", answer.record).to_dict()}
        nothing: Any = "" if isinstance(before.content, str) else []
        return AIMessageChunk(content=nothing, id=before.id, response_metadata=metadata, chunk_position="last")
    chunk = _as_chunk(answer.native)
    return chunk.model_copy(
        update={
            "id": _own_id(chunk) or before.id,
            "response_metadata": _without_record(chunk.response_metadata),
            "chunk_position": None,
        }
    )


def _in_blocks(whole: AIMessageChunk) -> AIMessageChunk:
    """As LangChain has it in its version "v1", which it makes of the pieces of a stream, and of no others."""
    blocks = [{**block, "index": i} for i, block in enumerate(whole.content_blocks)]
    metadata: dict[str, Any] = {**whole.response_metadata, "output_version": "v1"}
    return whole.model_copy(update={"content": blocks, "response_metadata": metadata})


def _as_chunk(message: BaseMessage) -> AIMessageChunk:
    """*message* itself, or where the cloud does not stream its whole answer, which LangChain hands out as it is."""
    if isinstance(message, AIMessageChunk):
        return message
    # ChatOpenAI makes a ChatMessage of an answer in another role than the assistant's, as some gateways give.
    whole = message if isinstance(message, AIMessage) else AIMessage(**dict(message) | {"type": "ai"})
    calls: list[Any] = [*whole.tool_calls, *whole.invalid_tool_calls]
    return AIMessageChunk(
        content=whole.content,
        additional_kwargs=whole.additional_kwargs,
        response_metadata=whole.response_metadata,
        usage_metadata=_usage_of(whole),
        name=whole.name,
        id=whole.id,
        tool_call_chunks=[_call_chunk(call, i) for i, call in enumerate(calls)],
    )


def _usage_of(message: AIMessage) -> UsageMetadata | None:
    """Its usage if it tells tokens: a cache's hit may tell its cost alone, which is refused when it is read back."""
    usage = message.usage_metadata
    return usage if usage and _TOKENS.issubset(usage) else None


def _call_chunk(call: dict[str, Any], index: int) -> ToolCallChunk:
    args = call["args"]
    # Those of an invalid call are the words that the model wrote.
    written = args if isinstance(args, str) or args is None else json.dumps(args)
    return tool_call_chunk(name=call["name"], args=written, id=call["id"], index=index)


def _without_record(metadata: dict[str, Any]) -> dict[str, Any]:
    # The record of a cloud that is itself a routed model; LangChain cannot merge two of them.
    return {key: value for key, value in metadata.items() if key != METADATA_KEY}


def _own_id(message: BaseMessage) -> str | None:
    # "lc_run-" ids are those of the cloud's own run; LangChain then gives the message ours. A provider's id stays.
    return None if message.id and message.id.startswith("lc_run-") else message.id


def _block_type(block: Any) -> str:
    return "text" if isinstance(block, str) else str(block.get("type"))


def _text(content: Any) -> str:
    if isinstance(content, list):
        blocks = cast("list[dict[str, Any]]", content)
        return "\n".join(str(block["text"]) for block in blocks if block.get("type") == "text")
    return str(content or "")
