"""LlamaIndex's responses, of chats and of completions: the edge's answers as such, and records on them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeVar, cast
from uuid import uuid4

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.llms.llm import ToolSelection
from pydantic import BaseModel

from confroute.contract import Answer
from confroute.records import ConfidenceRecord, Sample
from confroute.tools import as_openai

KEY = "confidence_routing"
"""Where the record is in a response's ``additional_kwargs``."""

_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")

Response = TypeVar("Response", ChatResponse, CompletionResponse)


def delivered(response: Response, record: ConfidenceRecord | None) -> Response:
    """A copy of *response* with *record*. A copy, and of the message too, because tracers keep the cloud's own
    responses, and LlamaIndex's chat-to-completion converters write into the message they are given.
    """
    update: dict[str, Any] = {"additional_kwargs": extra_of(response)}
    if record is not None:
        update["additional_kwargs"] |= {KEY: record.to_dict()}
    if isinstance(response, ChatResponse):
        kept = dict(response.message.additional_kwargs)
        update["message"] = response.message.model_copy(update={"additional_kwargs": kept})
    return response.model_copy(update=update)


def edge_response(
    kind: type[Response], answer: Answer[Any], *, delta: str | None = None, calls_twice: bool = False
) -> Response:
    """The edge's *answer* as one of the cloud's would be. Its calls are blocks, and where *calls_twice* in the
    message's ``additional_kwargs``, too, as OpenAI's integration has them: others cannot read them there."""
    sample, record = answer.sample, answer.record
    if sample is None or record is None or record.edge is None:
        raise RuntimeError("The router gave an answer of the edge without its sample or its usage.")
    # A mapping, as token counters want it. Its usage is that of the served answer, as a cloud's is; what else the edge
    # was asked is in the record.
    raw: dict[str, Any] = {"model": record.edge.model, "finish_reason": sample.finish_reason}
    if (usage := answer.usage) is not None:
        raw["usage"] = dict(zip(_TOKENS, (*usage, sum(usage)), strict=True))
    if issubclass(kind, CompletionResponse):
        return kind(text=sample.text, delta=delta, raw=raw)
    extra = {"tool_calls": list(map(as_openai, sample.tool_calls))} if calls_twice else {}
    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=list(_blocks(sample)), additional_kwargs=extra)
    return kind(message=message, delta=delta, raw=raw)


def cloud_response(kind: type[Response], native: Response | BaseModel) -> Response:
    """What the cloud gave; an object as LlamaIndex's `StructuredLLM` tells of it."""
    if isinstance(native, kind):
        return native
    try:
        text = native.model_dump_json()
    except ValueError:
        text = ""  # there are objects that JSON cannot tell
    if issubclass(kind, CompletionResponse):
        return kind(text=text, raw=native)
    return kind(message=ChatMessage(role=MessageRole.ASSISTANT, content=text), raw=native)


def end_of(kind: type[Response], last: Response | None) -> Response:
    """The chunk after the cloud's *last*: the whole message again and nothing new, neither text nor thought."""
    if last is not None:
        extra = {name: value for name, value in extra_of(last).items() if not name.endswith("_delta")}
        return last.model_copy(update={"delta": "", "additional_kwargs": extra})
    if issubclass(kind, CompletionResponse):
        return kind(text="", delta="")
    return kind(message=ChatMessage(role=MessageRole.ASSISTANT, content=""), delta="")


def is_of_edge(response: ChatResponse) -> bool:
    """Whether this is an answer of the edge's that was delivered."""
    return extra_of(response).get(KEY, {}).get("route") == "edge"


def tool_selections(response: ChatResponse, *, required: bool) -> list[ToolSelection]:
    """The calls of an answer of the edge's, whose arguments were found to be of their schema."""
    calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    if required and not calls:
        raise ValueError("The answer calls no tool.")
    return [
        ToolSelection(
            tool_id=call.tool_call_id or "",
            tool_name=call.tool_name,
            tool_kwargs=cast("dict[str, Any]", call.tool_kwargs),
        )
        for call in calls
    ]


def extra_of(response: ChatResponse | CompletionResponse) -> dict[str, Any]:
    """A copy of what a response has besides; LlamaIndex types it as a bare dict."""
    return dict(cast("dict[str, Any]", response.additional_kwargs))  # pyright: ignore[reportUnknownMemberType]


def _blocks(sample: Sample) -> Iterator[TextBlock | ToolCallBlock]:
    if sample.text or not sample.tool_calls:
        yield TextBlock(text=sample.text)
    for call in sample.tool_calls:
        yield ToolCallBlock(
            tool_call_id=f"call_{uuid4().hex}", tool_name=call.name, tool_kwargs=json.loads(call.arguments)
        )
