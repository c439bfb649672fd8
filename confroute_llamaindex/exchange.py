"""From the router's answers to LlamaIndex's responses: one `Exchange` for each call of an LLM method."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass, field, replace
from typing import Any, cast
from uuid import uuid4

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, TextBlock, ToolCallBlock
from llama_index.core.instrumentation import get_dispatcher  # pyright: ignore[reportPrivateImportUsage]
from llama_index.core.instrumentation.span import active_span_id
from llama_index.core.llms.llm import ToolSelection

from confroute.contract import Answer, Request
from confroute.records import ConfidenceRecord, Sample
from confroute.router import Router
from confroute.steps import Call, arun, astream, run, stream
from confroute_llamaindex.cloud import LlamaIndexCloud
from confroute_llamaindex.events import ConfidenceRoutingEvent

KEY = "confidence_routing"
"""Where the record is in a response's ``additional_kwargs``."""

dispatcher = get_dispatcher(__name__)


@dataclass
class Exchange:
    """One request on its way through *router*. To be made where the LLM's method begins: it remembers the span."""

    router: Router
    request: Request
    cloud: LlamaIndexCloud
    span_id: str | None = field(default_factory=active_span_id.get)
    _last: ChatResponse | None = None

    def __post_init__(self) -> None:
        self.request = replace(self.request, announce=self._announce)

    def _announce(self, record: ConfidenceRecord) -> Call:
        def fire() -> None:
            dispatcher.event(ConfidenceRoutingEvent.of(record, span_id=self.span_id))

        async def afire() -> None:
            fire()

        return Call(fire, afire)

    def chat(self) -> ChatResponse:
        return self._whole(run(self.router.answer(self.request, self.cloud)))

    async def achat(self) -> ChatResponse:
        return self._whole(await arun(self.router.answer(self.request, self.cloud)))

    def stream_chat(self) -> Generator[ChatResponse, None, None]:
        """The chunks. The decision is taken here and not at the first ``next``: the method's span is still open, so
        that the cloud's span becomes its child rather than a root.
        """
        answers = stream(self.router.stream(self.request, self.cloud))
        first = self._chunk(next(answers))

        def chunks() -> Generator[ChatResponse, None, None]:
            with closing(answers):
                yield first
                for answer in answers:
                    yield self._chunk(answer)

        return chunks()

    async def astream_chat(self) -> AsyncGenerator[ChatResponse, None]:
        answers = astream(self.router.stream(self.request, self.cloud))
        first = self._chunk(await anext(answers))

        async def chunks() -> AsyncGenerator[ChatResponse, None]:
            async with aclosing(answers):
                yield first
                async for answer in answers:
                    yield self._chunk(answer)

        return chunks()

    def _whole(self, answer: Answer[ChatResponse]) -> ChatResponse:
        response = _edge_response(answer) if answer.native is None else answer.native
        return self._delivered(response, answer.record)

    def _chunk(self, answer: Answer[ChatResponse]) -> ChatResponse:
        if answer.sample is not None:
            chunk = _edge_response(answer, delta=answer.sample.text)
        elif answer.native is not None:
            chunk = self._last = answer.native
        else:
            chunk = _end_of(self._last)
        return self._delivered(chunk, answer.record)

    def _delivered(self, response: ChatResponse, record: ConfidenceRecord | None) -> ChatResponse:
        """A copy of *response* with *record*. A copy, and of the message too, because tracers keep the cloud's own
        responses, and LlamaIndex's chat-to-completion converters write into the message they are given.
        """
        routing: dict[str, Any] = {}
        if record is not None:
            routing = {KEY: record.to_dict()}
        message = response.message.model_copy(
            update={"additional_kwargs": dict(response.message.additional_kwargs)},
        )
        return response.model_copy(update={"message": message, "additional_kwargs": _extra(response) | routing})


def is_of_edge(response: ChatResponse) -> bool:
    """Whether an `Exchange` delivered this answer of the edge's."""
    return _extra(response).get(KEY, {}).get("route") == "edge"


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


def _edge_response(answer: Answer[Any], *, delta: str | None = None) -> ChatResponse:
    sample, record = answer.sample, answer.record
    if sample is None or record is None or record.edge is None:
        raise RuntimeError("The router gave an answer of the edge without its sample or its usage.")
    return ChatResponse(
        message=ChatMessage(role=MessageRole.ASSISTANT, blocks=list(_blocks(sample))),
        delta=delta,
        raw=_raw(sample, record.edge.model, record.edge.input_tokens or 0),
    )


def _blocks(sample: Sample) -> Iterator[TextBlock | ToolCallBlock]:
    if sample.text or not sample.tool_calls:
        yield TextBlock(text=sample.text)
    for call in sample.tool_calls:
        yield ToolCallBlock(
            tool_call_id=f"call_{uuid4().hex}", tool_name=call.name, tool_kwargs=json.loads(call.arguments)
        )


def _raw(sample: Sample, model: str, input_tokens: int) -> dict[str, Any]:
    """A mapping, as token counters want it. Its usage is that of the served answer, as a cloud's is; what the
    samples cost besides is in the record.
    """
    return {
        "model": model,
        "finish_reason": sample.finish_reason,
        "usage": {
            "prompt_tokens": input_tokens,
            "completion_tokens": sample.output_tokens,
            "total_tokens": input_tokens + sample.output_tokens,
        },
    }


def _end_of(last: ChatResponse | None) -> ChatResponse:
    """The chunk after the cloud's *last*: the whole message again and nothing new, neither text nor thought."""
    if last is None:
        return ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=""), delta="")
    extra = {name: value for name, value in _extra(last).items() if not name.endswith("_delta")}
    return last.model_copy(update={"delta": "", "additional_kwargs": extra})


def _extra(response: ChatResponse) -> dict[str, Any]:
    # LlamaIndex types it as a bare dict.
    return cast("dict[str, Any]", response.additional_kwargs)  # pyright: ignore[reportUnknownMemberType]
