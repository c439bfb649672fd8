"""ConfidenceRoutedChatModel against a scripted edge and a scripted cloud."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tracers import BaseTracer
from pydantic import BaseModel

from confroute import InputError, Router
from confroute_langchain import METADATA_KEY
from tests.langchain.scripted import FAILING, SURE, UNSURE, ScriptedCloud, record_of, routed, scripted_edge


def without_seconds(record: dict[str, Any]) -> dict[str, Any]:
    record = copy.deepcopy(record)
    for tier in ("edge", "cloud"):
        if record[tier]:
            del record[tier]["seconds"]
    return record


class Events(BaseCallbackHandler):
    """Remembers what a plain handler is told."""

    def __init__(self) -> None:
        self.custom: list[tuple[str, dict[str, Any], Any]] = []
        self.starts: list[Any] = []
        self.ends: list[Any] = []
        self.tokens: list[str] = []

    def on_custom_event(self, name: str, data: Any, *, run_id: Any, **kwargs: Any) -> None:
        self.custom.append((name, data, run_id))

    def on_chat_model_start(self, *args: Any, run_id: Any, **kwargs: Any) -> None:
        self.starts.append(run_id)

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, response: Any, *, run_id: Any, **kwargs: Any) -> None:
        self.ends.append(run_id)


class Tree(BaseTracer):
    """Remembers the runs a tracer such as LangSmith's is told of."""

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        self.roots.append(run)


def test_a_sure_edge_answers_and_the_cloud_is_not_called(ask: Any) -> None:
    """What the edge is sure of never reaches the cloud, whichever way it is asked."""
    cloud = ScriptedCloud()

    answer = ask(routed(cloud), SURE)

    assert answer.text == "Paris"
    assert cloud.seen == []
    assert record_of(answer)["route"] == "edge"
    assert record_of(answer)["reason"] == "confident"
    assert record_of(answer)["cloud"] is None
    assert answer.response_metadata["model_name"] == "scripted-edge"
    assert answer.usage_metadata == {"input_tokens": 7, "output_tokens": 1, "total_tokens": 8}


def test_an_unsure_edge_is_escalated_and_charged(ask: Any) -> None:
    """What the edge is not sure of is answered by the cloud, and both tiers' tokens are in the record."""
    answer = ask(routed(), UNSURE)

    record = record_of(answer)
    assert answer.text == "The cloud knows it"
    assert (record["route"], record["reason"], record["confidence"]) == ("cloud", "uncertain", 0.0)
    assert record["edge"]["output_tokens"] == 11
    assert (record["cloud"]["input_tokens"], record["cloud"]["output_tokens"]) == (11, 4)
    assert answer.response_metadata["model_name"] == "scripted-cloud"
    assert answer.usage_metadata == {"input_tokens": 11, "output_tokens": 4, "total_tokens": 15}


@pytest.mark.parametrize("question", [SURE, UNSURE, FAILING])
def test_every_way_of_asking_gives_the_core_s_record(ask: Any, question: str) -> None:
    """The record of a script is the one that the core alone decides, plus the cloud's usage."""
    alone = Router(scripted_edge()).decide([{"role": "user", "content": question}]).record.to_dict()

    record = record_of(ask(routed(), question))

    json.dumps(record)
    cloud = without_seconds(record).pop("cloud")
    assert {**without_seconds(record), "cloud": None} == without_seconds(alone)
    assert (cloud is None) == (question == SURE)


def test_the_cloud_gets_the_caller_s_own_messages(ask: Any) -> None:
    """The cloud's input is the caller's message objects, not copies or conversions."""
    cloud = ScriptedCloud()
    messages = [SystemMessage("Be brief."), HumanMessage(UNSURE, additional_kwargs={"mine": 1})]

    ask(routed(cloud), messages)

    assert [id(message) for message in cloud.seen[0][0]] == [id(message) for message in messages]


def test_keyword_arguments_and_stop_reach_the_cloud(ask: Any) -> None:
    """Arguments of the call go to the cloud unchanged, and those the edge knows to the edge."""
    cloud = ScriptedCloud()
    model = routed(cloud, max_tokens=5)

    ask(model, UNSURE, stop=["END"], temperature=0.3, user="u1")

    assert cloud.seen[0][1] == {"stop": ["END"], "temperature": 0.3, "user": "u1"}
    options = model.edge.requests[0][2]
    assert (options.stop, options.temperature, options.max_tokens) == (("END",), 0.3, 5)


def test_the_event_is_sent_once_with_the_record(ask: Any) -> None:
    """A handler gets one custom event per answer, attributed to our run, with the record of the message."""
    events = Events()

    answer = ask(routed(), UNSURE, config={"callbacks": [events]})

    assert [(name, data) for name, data, _ in events.custom] == [(METADATA_KEY, record_of(answer))]
    assert [run_id for *_, run_id in events.custom] == events.starts == events.ends


def test_the_event_reaches_handlers_of_the_constructor(ask: Any) -> None:
    """A handler given to the model itself gets the event, too."""
    events = Events()

    ask(routed(callbacks=[events]), SURE)

    assert len(events.custom) == 1


def test_an_async_handler_gets_the_event() -> None:
    """Asynchronous handlers are awaited."""
    seen: list[str] = []

    class Handler(AsyncCallbackHandler):
        async def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            seen.append(data["route"])

    async def both() -> None:
        await routed().ainvoke(UNSURE, {"callbacks": [Handler()]})
        async for _ in routed().astream(SURE, {"callbacks": [Handler()]}):
            pass

    asyncio.run(both())

    assert seen == ["cloud", "edge"]


@pytest.mark.parametrize("in_a_chain", [False, True])
def test_tracers_see_the_cloud_s_run_inside_ours(ask: Any, *, in_a_chain: bool) -> None:
    """A tracer sees one tree with the cloud's run as the only child of ours, inside a chain or not."""
    tree = Tree()
    cloud = ScriptedCloud().bind(user="u1")
    model = routed(cloud)
    runnable = ChatPromptTemplate.from_template("{q}") | model if in_a_chain else model

    ask(runnable, {"q": UNSURE} if in_a_chain else UNSURE, config={"callbacks": [tree]})

    assert len(tree.roots) == 1
    ours = tree.roots[0].child_runs[-1] if in_a_chain else tree.roots[0]
    assert ours.name == "ConfidenceRoutedChatModel"
    assert [child.name for child in ours.child_runs] == ["ScriptedCloud"]
    assert "cloud" in ours.child_runs[0].tags


def test_tokens_are_reported_once(ask: Any) -> None:
    """A plain handler sees the cloud's text once, not again from the cloud's own run."""
    events = Events()

    ask(routed(), UNSURE, config={"callbacks": [events]})

    assert "".join(events.tokens) in ("", "The cloud knows it")
    assert len(events.starts) == 1


def test_usage_is_counted_once(ask: Any) -> None:
    """LangChain's own usage handler counts each answer once, under the model that served it."""
    usage = UsageMetadataCallbackHandler()

    ask(routed(), UNSURE, config={"callbacks": [usage]})

    assert {name: counts["total_tokens"] for name, counts in usage.usage_metadata.items()} == {"scripted-cloud": 15}


def test_nothing_is_streamed_before_the_decision() -> None:
    """The edge's rejected answer never appears in a stream."""
    chunks = list(routed().stream(UNSURE))

    assert chunks[0].text == "The"
    assert "Olympus" not in "".join(chunk.text for chunk in chunks)
    assert [METADATA_KEY in chunk.response_metadata for chunk in chunks].count(True) == 1
    assert [chunk.chunk_position for chunk in chunks].count("last") == 1


def test_the_cloud_streams_live() -> None:
    """The first word reaches the consumer before the cloud has made its second."""
    cloud = ScriptedCloud()

    stream = routed(cloud).stream(UNSURE)
    next(stream)

    assert cloud.produced == ["The"]
    stream.close()


def test_astream_events_shows_tokens_and_the_record_once() -> None:
    """`astream_events` gives each piece of our stream once and the custom event."""

    async def collect() -> list[Any]:
        chain = ChatPromptTemplate.from_template("{q}") | routed() | StrOutputParser()
        return [event async for event in chain.astream_events({"q": UNSURE}, version="v2")]

    events = asyncio.run(collect())

    tokens = [e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream"]
    assert "".join(tokens) == "The cloud knows it"
    assert [e["data"]["route"] for e in events if e["event"] == "on_custom_event"] == ["cloud"]


def test_a_streaming_listener_gets_tokens_while_invoke_runs() -> None:
    """Under `astream_events` a chain that only invokes the model still shows its tokens, once each."""

    async def collect() -> list[Any]:
        return [event async for event in routed().astream_events(UNSURE, version="v2")]

    async def collect_invoked() -> list[Any]:
        from langchain_core.runnables import RunnableLambda

        model = routed()
        chain = RunnableLambda(lambda question: model.invoke(question))
        return [event async for event in chain.astream_events(UNSURE, version="v2")]

    for events in (asyncio.run(collect()), asyncio.run(collect_invoked())):
        tokens = [e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream"]
        assert "".join(tokens) == "The cloud knows it"


def test_an_lcel_chain_gives_the_text(ask: Any) -> None:
    """In a chain with a parser the answer is plain text."""
    chain = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{q}")]) | routed() | StrOutputParser()

    assert ask(chain, {"q": SURE}) == "Paris"


def test_tools_go_to_the_cloud_at_once(ask: Any) -> None:
    """A request with tools is the cloud's, with the tools in its own form, and the edge is not run."""
    cloud = ScriptedCloud()
    model = routed(cloud)

    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    answer = ask(model.bind_tools([add], tool_choice="any"), SURE)

    assert record_of(answer)["reason"] == "unsupported"
    assert model.edge.requests == []
    assert cloud.seen[0][1]["tool_choice"] == "any"
    assert cloud.seen[0][1]["tools"][0]["function"]["name"] == "add"


@pytest.mark.parametrize("tools", [{}, {"tools": [{"type": "function", "function": {"name": "add"}}]}])
def test_the_call_s_arguments_prevail_over_those_bound_to_the_cloud(ask: Any, tools: dict[str, Any]) -> None:
    """With tools and without, an argument of the call replaces the one bound to the cloud, which keeps the others."""
    cloud = ScriptedCloud()

    ask(routed(cloud.bind(seed=1, user="u1")), UNSURE, seed=2, **tools)

    assert cloud.seen[0][1]["seed"] == 2
    assert cloud.seen[0][1]["user"] == "u1"


@pytest.mark.parametrize(
    "messages",
    [
        [HumanMessage([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}])],
        [
            HumanMessage(SURE),
            AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]),
            ToolMessage("2", tool_call_id="1"),
        ],
    ],
    ids=["image", "tool messages"],
)
def test_what_is_not_text_goes_to_the_cloud(messages: list[Any]) -> None:
    """Images and tool results are not silently dropped from the edge's prompt: the cloud answers."""
    assert record_of(routed().invoke(messages))["reason"] == "unsupported"


def test_a_thought_in_the_history_does_not_escalate() -> None:
    """Reasoning blocks of an earlier answer are left out of the edge's prompt, not a reason to escalate."""
    model = routed()
    earlier = AIMessage([{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Rome."}])

    answer = model.invoke([HumanMessage("Capital of Italy?"), earlier, HumanMessage(SURE)])

    assert record_of(answer)["route"] == "edge"
    assert model.edge.requests[0][0][1] == {"role": "assistant", "content": "Rome."}


def test_structured_output_comes_from_the_cloud() -> None:
    """`with_structured_output` is bound to the cloud's tools."""

    class Capital(BaseModel):
        """A capital."""

        name: str

    cloud = ScriptedCloud()

    parsed = routed(cloud).with_structured_output(Capital, include_raw=True).invoke(SURE)

    assert record_of(parsed["raw"])["reason"] == "unsupported"
    assert cloud.seen[0][1]["tools"][0]["function"]["name"] == "Capital"


def test_an_edge_error_escalates_and_says_no_prompt(ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A failing edge costs an escalation, flagged, and its error text is neither logged nor recorded."""
    answer = ask(routed(), FAILING)

    assert record_of(answer)["reason"] == "edge_error"
    assert record_of(answer)["error"] == "RuntimeError"
    assert "secret" not in json.dumps(record_of(answer)) + caplog.text


def test_a_cloud_error_is_raised(ask: Any) -> None:
    """By default the cloud's own error reaches the caller."""
    with pytest.raises(TimeoutError, match="cloud down"):
        ask(routed(ScriptedCloud(error=TimeoutError("cloud down"))), UNSURE)


def test_a_cloud_error_can_serve_the_edge_s_answer(ask: Any) -> None:
    """With on_cloud_error="edge" the edge's answer is served and flagged."""
    answer = ask(routed(ScriptedCloud(error=TimeoutError("cloud down")), on_cloud_error="edge"), UNSURE)

    assert answer.text == "Olympus"
    assert (record_of(answer)["route"], record_of(answer)["reason"]) == ("edge", "cloud_error")
    assert record_of(answer)["error"] == "TimeoutError"


def test_a_stream_that_breaks_is_not_continued_by_the_edge() -> None:
    """After the cloud's first piece its error is raised, since the piece cannot be taken back."""
    model = routed(ScriptedCloud(error=TimeoutError("cloud down"), words_before_error=2), on_cloud_error="edge")

    with pytest.raises(TimeoutError):
        list(model.stream(UNSURE))


def test_the_cloud_s_message_is_not_changed(ask: Any) -> None:
    """The cloud's own run still shows its message without our record."""
    tree = Tree()

    ask(routed(), UNSURE, config={"callbacks": [tree]})

    child = tree.roots[0].child_runs[0]
    assert METADATA_KEY not in json.dumps(child.outputs, default=str)


def test_no_messages_is_an_input_error(ask: Any) -> None:
    """An empty list is refused before any model is run."""
    with pytest.raises(InputError, match="no messages"):
        ask(routed(), [])


def test_a_batch_keeps_each_answer_s_own_record() -> None:
    """Records are not mixed up between concurrent requests."""
    answers = routed().batch([SURE, UNSURE] * 8, config={"max_concurrency": 8})

    assert [record_of(answer)["route"] for answer in answers] == ["edge", "cloud"] * 8
