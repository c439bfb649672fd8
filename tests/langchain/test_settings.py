"""Settings changed on the model, and those of LangChain's that it shares with its cloud."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.runnables import RunnableLambda

from confroute.records import Sample, ToolCall
from confroute.testing import ScriptedEngine
from confroute_langchain import ConfidenceRoutedChatModel
from tests.langchain.scripted import SURE, UNSURE, ScriptedCloud, record_of, routed, scripted_edge

ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
Change = Callable[..., ConfidenceRoutedChatModel]


def copied(model: ConfidenceRoutedChatModel, **changes: Any) -> ConfidenceRoutedChatModel:
    return model.model_copy(update=changes)


def assigned(model: ConfidenceRoutedChatModel, **changes: Any) -> ConfidenceRoutedChatModel:
    model = copy.copy(model)
    for name, value in changes.items():
        setattr(model, name, value)
    return model


@pytest.fixture(params=[copied, assigned])
def change(request: pytest.FixtureRequest) -> Change:
    return request.param


def test_a_changed_setting_holds(change: Change) -> None:
    """For the decision and what is told of it; the model that was copied keeps its own."""
    model = routed()
    seen: list[Any] = []
    changed = change(model, threshold=0.5, samples=3, hooks=[seen.append])
    record = record_of(changed.invoke(UNSURE))
    assert (record["threshold"], record["samples_planned"], len(seen)) == (0.5, 3, 1)
    assert changed._identifying_params["threshold"] == 0.5
    assert record_of(model.invoke(UNSURE))["threshold"] == 0.3
    assert change(model, max_tokens=5).invoke(UNSURE)
    assert model.edge.requests[-1][2].max_tokens == 5


def test_a_changed_model_is_asked(change: Change) -> None:
    """Another cloud answers, another edge is asked."""
    other = ScriptedCloud(text="I am another.")
    assert change(routed(), cloud=other).invoke(UNSURE).text == "I am another."
    model, edge = routed(), scripted_edge()
    change(model, edge=edge).invoke(SURE)
    assert (len(edge.requests) > 0, model.edge.requests) == (True, [])


def test_the_engine_stays(change: Change) -> None:
    """With its weights, where it is not the edge that changed."""
    model = ConfidenceRoutedChatModel(edge=ScriptedCloud(), cloud=ScriptedCloud())
    assert change(model, threshold=0.5)._router.edge is model._router.edge
    assert change(model, edge=ScriptedCloud())._router.edge is not model._router.edge


class Tokens(BaseCallbackHandler):
    def __init__(self) -> None:
        self.told: list[str] = []

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.told.append(token)


class AsyncTokens(AsyncCallbackHandler, Tokens):
    async def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.told.append(token)


class StreamingCloud(ScriptedCloud):
    streaming: bool = False


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        (routed(StreamingCloud(streaming=True)), {}),
        (routed(streaming=True), {}),
        (routed(), {"stream": True}),
        (routed(ScriptedCloud().bind(stream=True)), {}),
    ],
    ids=["the cloud's setting", "ours", "the call's", "bound to the cloud"],
)
@pytest.mark.parametrize("handler", [Tokens, AsyncTokens])
async def test_tokens_are_told_under_invoke(model: Any, arguments: Any, handler: type[Tokens]) -> None:
    """As LangChain's chat models do where they are told to stream, each token once."""
    tokens = handler()
    answer = await model.ainvoke(UNSURE, {"callbacks": [tokens]}, **arguments)
    assert "".join(tokens.told) == answer.text == "The cloud knows it"
    if handler is Tokens:
        tokens.told.clear()
        model.invoke(UNSURE, {"callbacks": [tokens]}, **arguments)
        assert "".join(tokens.told) == "The cloud knows it"


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        (routed(disable_streaming=True), {}),
        (routed(), {"stream": False}),
        (routed(streaming=False), {}),
        (routed(StreamingCloud(streaming=True), disable_streaming=True), {}),
    ],
    ids=["disabled", "the call's", "ours", "though the cloud would"],
)
async def test_streaming_that_was_turned_off_stays_off(model: Any, arguments: Any) -> None:
    """Under a listener for tokens, too."""

    async def invoked(question: str) -> Any:
        return await model.ainvoke(question, **arguments)

    events = [event["event"] async for event in RunnableLambda(invoked).astream_events(UNSURE, version="v2")]
    assert ("on_chat_model_stream" in events, "on_chat_model_end" in events) == (False, True)


def test_answers_are_in_the_version_that_the_cloud_is_set_to(ask: Any) -> None:
    """Whichever model answers, and unless the routed model is set to another."""
    cloud = ScriptedCloud(output_version="v1")
    for question in (SURE, UNSURE):
        answer = ask(routed(cloud), question)
        assert (answer.content, answer.response_metadata["output_version"]) == (answer.content_blocks, "v1")
        assert isinstance(ask(routed(), question).content, str)
    assert ask(routed(cloud, output_version="v0"), SURE).content == "Paris"


def test_all_pieces_of_a_stream_are_in_that_version() -> None:
    """The last, which has the record, included; where the routed model is set otherwise, it is as those before it."""
    for settings in ({}, {"output_version": "v0"}):
        pieces = list(routed(ScriptedCloud(output_version="v1"), **settings).stream(UNSURE))
        assert [type(piece.content) for piece in pieces] == [list] * len(pieces)


class Pieces(BaseCallbackHandler):
    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **kwargs: Any) -> None:
        self.told.append(chunk.message.content)


def test_handlers_are_told_of_the_edge_s_answer_in_that_version(ask: Any) -> None:
    """Under `invoke`, too, its calls included, as they are of the cloud's."""
    pieces = Pieces()
    cloud = ScriptedCloud(output_version="v1")
    answer = ask(routed(cloud, streaming=True), SURE, config={"callbacks": [pieces]})
    assert pieces.told == [[{"type": "text", "text": "Paris", "index": 0}]] == [answer.content]
    said = Sample(text="", tool_calls=(ToolCall(name="add", arguments='{"a": 1}'),), output_tokens=1)
    edge = ScriptedEngine({SURE: (said, [said])}, tools=True)
    model = ConfidenceRoutedChatModel(edge=edge, cloud=cloud, streaming=True).bind_tools([ADD])
    answer = ask(model, SURE, config={"callbacks": [pieces]})
    assert [(block["type"], block["name"]) for block in answer.content] == [("tool_call", "add")]
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("add", {"a": 1})]


def test_another_cloud_s_version_is_taken_over(change: Change) -> None:
    """Where it was the one before's; the caller's own stays."""
    new = ScriptedCloud(output_version="v1")
    assert isinstance(change(routed(), cloud=new).invoke(SURE).content, list)
    assert change(routed(new), cloud=ScriptedCloud()).invoke(SURE).content == "Paris"
    assert change(routed(output_version="v0"), cloud=new).invoke(SURE).content == "Paris"
    assert isinstance(
        routed(new).model_copy(update={"cloud": ScriptedCloud(), "output_version": "v1"}).invoke(SURE).content, list
    )
