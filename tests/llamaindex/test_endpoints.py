"""What holds on all eight endpoints."""

import asyncio
import threading
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionStartEvent,
)
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler

from confroute import Disagreement, InputError
from confroute.records import Generation
from confroute_llamaindex import ConfidenceRoutingEvent

ENDPOINTS = [f"{a}{stream}{kind}" for kind in ("chat", "complete") for a in ("", "a") for stream in ("", "stream_")]
STREAMS = [endpoint for endpoint in ENDPOINTS if "stream" in endpoint]
KEY = "confidence_routing"

EDGE_PART = {"model": "scripted-edge", "input_tokens": 7, "output_tokens": 11, "cost_usd": None}
RECORDS = {
    "edge": {"route": "edge", "reason": "confident", "confidence": 1.0, "uncertainty": 0.0, "cloud": None},
    "cloud": {
        "route": "cloud",
        "reason": "uncertain",
        "confidence": 0.0,
        "uncertainty": 1.0,
        "cloud": {"model": "big", "input_tokens": 11, "output_tokens": 4, "cost_usd": None},
    },
}
ANSWERS = {"edge": "Paris", "cloud": "The capital is Paris"}

every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS)
every_stream = pytest.mark.parametrize("endpoint", STREAMS)
both_routes = pytest.mark.parametrize("route", ["edge", "cloud"])


def without_seconds(record: dict[str, Any]) -> dict[str, Any]:
    def part(usage: Any) -> Any:
        return usage and {name: value for name, value in usage.items() if name != "seconds"}

    return record | {"edge": part(record["edge"]), "cloud": part(record["cloud"])}


def text_of(response: Any) -> str:
    return response.message.content if hasattr(response, "message") else response.text


@both_routes
@every_endpoint
async def test_same_answer_and_record(endpoint: str, route: str, routed: Any, ask: Any) -> None:
    """All eight endpoints give the same answer with the same record, seconds aside."""
    last = (await ask(routed(route, threshold=0.6), endpoint))[-1]
    assert text_of(last) == ANSWERS[route]
    record = without_seconds(last.additional_kwargs[KEY])
    expected = {"estimator": Disagreement().identity, "threshold": 0.6, "samples": 10, "edge": EDGE_PART}
    assert record == record | expected | RECORDS[route]


@both_routes
@every_stream
async def test_deltas_add_up_to_the_content(endpoint: str, route: str, routed: Any, ask: Any) -> None:
    """Deltas joined are the last chunk's content, each content is cumulative, and only the last has the record."""
    chunks = await ask(routed(route), endpoint)
    said = ""
    for chunk in chunks:
        said += chunk.delta
        assert text_of(chunk) == said
    assert said == ANSWERS[route]
    assert [KEY in chunk.additional_kwargs for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


@every_endpoint
async def test_cloud_gets_the_callers_messages(endpoint: str, routed: Any, cloud: Any, ask: Any) -> None:
    """The cloud gets the caller's message objects in a list of its own, and the keyword arguments as they are."""
    stop = ["\n"]
    given: Any = "Capital?"
    if "chat" in endpoint:
        given = [ChatMessage(role="system", content="Be short."), ChatMessage(role="user", content="Capital?")]
    await ask(routed("cloud"), endpoint, given, stop=stop, temperature=0.5, user="someone")
    messages, kwargs = cloud.received[0]
    assert kwargs == {"stop": ["\n"], "temperature": 0.5, "user": "someone"}
    assert kwargs["stop"] is stop
    if "chat" in endpoint:
        assert messages is not given
        assert [id(message) for message in messages] == [id(message) for message in given]
    else:
        assert messages == given


@every_endpoint
async def test_own_kwargs_of_responses_are_kept_and_untouched(endpoint: str, routed: Any, cloud: Any, ask: Any) -> None:
    """What the cloud said besides its text comes through, and its own response objects are not written into."""
    last = (await ask(routed("cloud"), endpoint))[-1]
    assert last.raw == cloud.given[-1].raw
    for own in cloud.given:
        assert own.additional_kwargs == {"thinking_delta": "hm"}
        assert own.message.additional_kwargs == {"own": 1}
    if hasattr(last, "message"):
        assert last.message.additional_kwargs == {"own": 1}
    else:
        assert last.additional_kwargs["own"] == 1
    # The chunk after the cloud's last brings no delta of any kind a second time.
    assert ("thinking_delta" in last.additional_kwargs) == ("stream" not in endpoint)


@both_routes
@every_endpoint
async def test_one_event_and_one_pair(endpoint: str, route: str, routed: Any, ask: Any, events: list[Any]) -> None:
    """Each call fires one routing event and one Start/End pair of our own, all with the called method's span."""
    last = (await ask(routed(route), endpoint))[-1]
    fired = [event for event in events if isinstance(event, ConfidenceRoutingEvent)]
    starts = [event for event in events if isinstance(event, LLMChatStartEvent | LLMCompletionStartEvent)]
    own_starts = [event for event in starts if event.model_dict["class_name"] == "ConfidenceRoutedLLM"]
    span_ids = [event.span_id for event in own_starts]
    ends = [
        event
        for event in events
        if isinstance(event, LLMChatEndEvent | LLMCompletionEndEvent) and event.span_id in span_ids
    ]
    assert (len(fired), len(own_starts), len(ends)) == (1, 1, 1)
    assert len(starts) == (1 if route == "edge" else 2)
    assert fired[0].span_id == span_ids[0]
    assert fired[0].span_id.startswith(f"ConfidenceRoutedLLM.{endpoint}-")
    assert fired[0].record == last.additional_kwargs[KEY]
    assert (fired[0].route, fired[0].samples) == (route, 10)
    assert ends[0].response.additional_kwargs[KEY] == fired[0].record
    assert events.index(fired[0]) < events.index(ends[0])


@every_endpoint
async def test_the_clouds_span_is_our_child(endpoint: str, routed: Any, ask: Any) -> None:
    """A tracer sees the cloud's call inside ours on every endpoint; a lazy stream would make it a root."""
    spans, root = SimpleSpanHandler(), get_dispatcher()
    root.add_span_handler(spans)
    try:
        await ask(routed("cloud"), endpoint)
    finally:
        root.span_handlers.remove(spans)
    (inner,) = [span for span in spans.completed_spans if span.id_.startswith("ScriptedCloud.")]
    assert inner.parent_id is not None
    assert inner.parent_id.startswith(f"ConfidenceRoutedLLM.{endpoint}-")


@both_routes
@every_endpoint
async def test_token_counting(endpoint: str, route: str, routed: Any, ask: Any) -> None:
    """LlamaIndex's token counter counts the served answer once, from raw's usage."""
    counter = TokenCountingHandler(tokenizer=str.split)
    await ask(routed(route, callback_manager=CallbackManager([counter])), endpoint)
    counts = [(event.prompt_token_count, event.completion_token_count) for event in counter.llm_token_counts]
    assert counts == [(7, 1) if route == "edge" else (11, 4)]


@every_endpoint
async def test_cloud_error_is_raised(endpoint: str, routed: Any, cloud: Any, ask: Any, events: list[Any]) -> None:
    """By default the caller gets the cloud's own error object, and no event claims an answer."""
    cloud.error = ConnectionError("down")
    with pytest.raises(ConnectionError) as caught:
        await ask(routed("cloud"), endpoint)
    assert caught.value is cloud.error
    assert not [event for event in events if isinstance(event, ConfidenceRoutingEvent)]


@every_endpoint
async def test_cloud_error_serves_the_edge(endpoint: str, routed: Any, cloud: Any, ask: Any) -> None:
    """With on_cloud_error="edge" the edge's answer comes, flagged as what it is."""
    cloud.error = ConnectionError("down")
    last = (await ask(routed("cloud", on_cloud_error="edge"), endpoint))[-1]
    assert text_of(last) == "Paris"
    record = last.additional_kwargs[KEY]
    assert (record["route"], record["reason"], record["error"]) == ("edge", "cloud_error", "ConnectionError")


@every_stream
async def test_cloud_error_after_the_first_word(endpoint: str, routed: Any, cloud: Any, ask: Any) -> None:
    """Once the cloud's text began, its failure is raised: the edge's answer cannot be put after half of another."""
    cloud.error, cloud.words_before_error = ConnectionError("down"), 2
    with pytest.raises(ConnectionError):
        await ask(routed("cloud", on_cloud_error="edge"), endpoint)


@pytest.mark.parametrize("endpoint", [endpoint for endpoint in ENDPOINTS if "chat" in endpoint])
async def test_no_messages(endpoint: str, routed: Any, cloud: Any, ask: Any) -> None:
    """An empty list is an error of the caller and is not sent to the cloud."""
    with pytest.raises(InputError, match="no messages"):
        await ask(routed("cloud"), endpoint, [])
    assert cloud.received == []


def test_the_first_word_comes_before_the_last_is_made(routed: Any, cloud: Any) -> None:
    """The cloud's chunks pass through one by one: with the first in hand, the cloud has made no second."""
    chunks = routed("cloud").stream_chat([ChatMessage(content="Capital?")])
    assert next(chunks).delta == "The"
    assert len(cloud.given) == 1
    assert next(chunks).delta == " capital"
    assert len(cloud.given) == 2


async def test_the_first_word_comes_before_the_last_is_made_async(routed: Any, cloud: Any) -> None:
    """As above, on an event loop."""
    chunks = await routed("cloud").astream_complete("Capital?")
    assert (await anext(chunks)).delta == "The"
    assert len(cloud.given) == 1


@every_stream
async def test_nothing_of_the_edge_leaks(endpoint: str, routed: Any, ask: Any) -> None:
    """No chunk of an escalated stream holds the edge's draft."""
    chunks = await ask(routed("cloud", threshold=2), endpoint)
    assert [chunk.delta for chunk in chunks] == ["The", " capital", " is", " Paris", ""]


def test_closing_early_closes_the_cloud(routed: Any, cloud: Any) -> None:
    """A consumer who stops reading stops the cloud's stream, which may hold a connection."""
    chunks = routed("cloud").stream_chat([ChatMessage(content="Capital?")])
    next(chunks)
    chunks.close()
    assert cloud.closed


def test_a_stream_without_chunks(routed: Any, cloud: Any) -> None:
    """A cloud that says nothing still gives one chunk, since that is where the record is."""
    cloud.answer = ""
    (chunk,) = routed("cloud").stream_chat([ChatMessage(content="Capital?")])
    assert chunk.delta == ""
    assert chunk.additional_kwargs[KEY]["route"] == "cloud"


class WaitingEngine:
    """Answers when told to, or fails."""

    model = "waiting"

    def __init__(self) -> None:
        self.asked, self.may_answer = threading.Event(), threading.Event()

    def generate(self, messages: Any, *, n: int, options: Any) -> Generation:
        self.asked.set()
        if not self.may_answer.wait(timeout=20):
            raise TimeoutError
        raise ConnectionError


@pytest.mark.parametrize("endpoint", [endpoint for endpoint in ENDPOINTS if endpoint.startswith("a")])
async def test_the_event_loop_runs_on(endpoint: str, routed: Any, ask: Any) -> None:
    """While the edge computes, the loop serves others: here, the one who lets the edge go on."""
    engine = WaitingEngine()
    task = asyncio.create_task(ask(routed("edge", edge=engine), endpoint))
    await asyncio.to_thread(engine.asked.wait, 20)
    engine.may_answer.set()
    last = (await task)[-1]
    record = last.additional_kwargs[KEY]
    assert (record["reason"], record["error"]) == ("edge_error", "ConnectionError")
