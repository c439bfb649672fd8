"""Reading LlamaIndex's messages for the edge model. The cloud never sees what is read here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms import LLM
from llama_index.core.llms.structured_llm import StructuredLLM

from confroute.arguments import obstacle, options_of
from confroute.contract import Request
from confroute.edge.borrowed_settings import private_settings
from confroute.records import Message, SamplingOptions, ToolCall
from confroute.tools import as_openai
from confroute.wording import told_by
from confroute_llamaindex.cloud import innermost

_ROLES = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
}
# A thought of an earlier turn and a cache mark are no part of what was said: chat templates leave them out, too.
_READ_OVER = (TextBlock, ToolCallBlock, ThinkingBlock, CachePoint)
_UNREAD: Message = {"role": "user", "content": ""}


def read_request(
    messages: Sequence[ChatMessage],
    kwargs: Mapping[str, Any],
    options: SamplingOptions,
    *,
    cloud: LLM,
    limited: bool = False,
) -> Request:
    """What the edge is asked: text, calls and roles of *messages*; *options*, whose max_tokens the caller set where
    *limited*, overridden by the call's own *kwargs*; and the form of answer that *cloud* is asked for.
    """
    cloud = innermost(cloud)
    private = {name.strip("_"): settings for name, settings in private_settings(cloud).items()}  # GoogleGenAI's
    asked = {**told_by({**private, **vars(cloud)}), **kwargs}
    unread = "answers that are objects" if isinstance(cloud, StructuredLLM) else obstacle(asked)
    try:
        read = [read_message(message) for message in messages]
        unread = unread or next(_obstacles(messages), None)
    except Exception:
        # The cloud's integration may know better.
        read = [_UNREAD for _ in messages]
        unread = unread or "a message of another kind"
    own = {} if unread else options_of(asked)
    return Request(
        messages=read,
        options=replace(options, **own),
        unsupported=unread,
        limited=limited or "max_tokens" in own,
    )


def read_message(message: ChatMessage) -> Message:
    """*message* in OpenAI's form: its text, blocks joined by newlines as ``ChatMessage.content`` does, its calls."""
    calls = [
        {"id": block.tool_call_id, **as_openai(_tool_call(block))}
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ]
    answered = message.additional_kwargs.get("tool_call_id")
    return {
        "role": _ROLES.get(message.role, message.role.value),
        "content": message.content or "",
        **({"tool_calls": calls} if calls else {}),
        **({"tool_call_id": answered} if answered else {}),
    }


def _tool_call(block: ToolCallBlock) -> ToolCall:
    arguments = block.tool_kwargs
    return ToolCall(name=block.tool_name, arguments=arguments if isinstance(arguments, str) else json.dumps(arguments))


def _obstacles(messages: Sequence[ChatMessage]) -> Iterator[str]:
    """What of *messages* the edge cannot read, named."""
    for message in messages:
        if message.role not in _ROLES:
            yield f"{message.role.value} message"
        # OpenAI's integration has the calls there besides their blocks.
        told = any(isinstance(block, ToolCallBlock) for block in message.blocks)
        for name in ("tool_calls", "function_call"):
            if message.additional_kwargs.get(name) and not told:
                yield name
        for block in message.blocks:
            if not isinstance(block, _READ_OVER):
                yield f"{block.block_type} block"
