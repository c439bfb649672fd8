"""Objects of a class where the cloud makes them by calls of a function, whole and in pieces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.llms.openai import OpenAI

from confroute.records import Sample, ToolCall
from confroute.testing import ScriptedEngine
from confroute_llamaindex import ConfidenceRoutedLLM, ConfidenceRoutingEvent
from tests.llamaindex.test_structured import FROM_EDGE, PROMPT, Capital, City, engine, predicted, routes

PIECES = ("", '{"na', 'me": ', '"Paris"}')


def replies(request: httpx.Request) -> httpx.Response:
    """As OpenAI: a call of the function that is offered, which is Paris's."""
    asked = json.loads(request.content)
    called = {"name": asked["tools"][0]["function"]["name"], "arguments": "".join(PIECES)}
    made = {"id": "call_1", "type": "function", "index": 0}
    base = {"id": "1", "created": 1, "model": "gpt-4"}
    if not asked.get("stream"):
        message = {"role": "assistant", "content": None, "tool_calls": [{**made, "function": called}]}
        choices = [{"index": 0, "finish_reason": "tool_calls", "message": message}]
        return httpx.Response(200, json={**base, "object": "chat.completion", "choices": choices})

    def chunks() -> Iterator[str]:
        for piece in PIECES:
            function = {"arguments": piece} if piece else {**called, "arguments": ""}
            delta = {
                "role": "assistant",
                "tool_calls": [{**(made if not piece else {"index": 0}), "function": function}],
            }
            chunk = {**base, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}
            yield f"data: {json.dumps(chunk)}\n\n"
        yield "data: [DONE]\n\n"

    return httpx.Response(200, text="".join(chunks()), headers={"content-type": "text/event-stream"})


def routed(edge: ScriptedEngine) -> ConfidenceRoutedLLM:
    transport = httpx.MockTransport(replies)
    cloud = OpenAI(
        model="gpt-4",
        api_key="none",
        max_retries=0,
        http_client=httpx.Client(transport=transport),
        async_http_client=httpx.AsyncClient(transport=transport),
    )
    return ConfidenceRoutedLLM(edge=edge, cloud=cloud)


def calls(name: str, arguments: str = FROM_EDGE) -> Sample:
    return Sample(text="", tool_calls=(ToolCall(name=name, arguments=arguments),), output_tokens=5)


async def test_the_edge_s_call_is_the_object(events: list[Any]) -> None:
    """By each way to it, streamed or not; a call has to be made."""
    edge = engine(calls("City"), tools=True)
    assert await predicted(routed(edge)) == [City(name="Lyon")] * 6
    assert routes(events) == {"edge"}
    assert {options.must_call for _, _, options in edge.requests} == {True}


@pytest.mark.filterwarnings("ignore:The `json` method")  # LlamaIndex's structured LLM calls it
async def test_a_streamed_object_is_the_only_one() -> None:
    """The edge's answer is one piece; the text of a structured LLM is its JSON."""
    llm = routed(engine(calls("City"), tools=True))
    given: dict[str, Any] = {"temperature": 0.0}
    assert list(llm.stream_structured_predict(City, PROMPT, given, x="France")) == [City(name="Lyon")]
    assert given == {"temperature": 0.0}
    (chunk,) = llm.as_structured_llm(City).stream_chat([ChatMessage("Capital of France?")])
    assert json.loads(chunk.message.content or "") == {"name": "Lyon"}


@pytest.mark.parametrize(
    ("edge", "output_cls", "reason"),
    [
        (engine(calls("City"), sure=False, tools=True), City, "uncertain"),
        (engine("It is Lyon.", tools=True), City, "edge_error"),
        (engine(calls("Capital"), tools=True), Capital, "edge_error"),
    ],
    ids=["unsure", "does not call", "refused by its class"],
)
async def test_the_cloud_s_call_is_the_object(edge: Any, output_cls: Any, reason: str, events: list[Any]) -> None:
    """By each way to it, where the edge is not sure, does not call, or its object is refused."""
    assert await predicted(routed(edge), output_cls) == [output_cls(name="Paris")] * 6
    assert {event.reason for event in events if isinstance(event, ConfidenceRoutingEvent)} == {reason}


def test_the_cloud_s_object_grows_as_it_comes() -> None:
    """LlamaIndex makes objects of its pieces as it does without us."""
    llm = routed(engine(calls("City"), sure=False, tools=True))
    told = [
        [each.model_dump() for each in way.stream_structured_predict(City, PROMPT, x="France")]
        for way in (llm, llm.cloud)
    ]
    assert told[0][: len(told[1])] == told[1]
    assert told[0][-1] == {"name": "Paris"}
