"""Streams of clouds that are unlike the scripted one: without a stream of their own, or themselves routed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any, cast

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeMessagesListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tracers import BaseTracer
from pydantic import Field

from tests.langchain.scripted import SURE, UNSURE, ScriptedCloud, record_of, routed

CALL = {"name": "add", "args": {"a": 1}, "id": "1", "type": "tool_call"}
WRONG = {"name": "add", "args": "a = 1", "id": "2", "error": None, "type": "invalid_tool_call"}


@pytest.mark.parametrize("disabled", [True, "tool_calling"])
def test_a_cloud_that_does_not_stream_answers_in_one_piece(ask: Any, disabled: Any) -> None:
    """Where LangChain streams the cloud's whole answer, ours has its text, metadata and usage."""
    model = routed(ScriptedCloud(disable_streaming=disabled)).bind(
        tools=[{"type": "function", "function": {"name": "add"}}]
    )
    answer = ask(model, UNSURE)
    assert answer.text == "The cloud knows it"
    assert answer.response_metadata["model_name"] == "scripted-cloud"
    assert answer.usage_metadata == {"input_tokens": 11, "output_tokens": 4, "total_tokens": 15}
    assert record_of(answer)["cloud"]["output_tokens"] == 4


def test_its_calls_come_along(ask: Any) -> None:
    """So do calls, the invalid ones in their own words, additional arguments and the provider's id."""
    said = AIMessage("Hm.", tool_calls=[CALL], invalid_tool_calls=[WRONG], additional_kwargs={"mine": 1}, id="msg_1")
    answer = ask(routed(FakeMessagesListChatModel(responses=[said])), UNSURE)
    assert answer.tool_calls == [CALL]
    assert [call["args"] for call in answer.invalid_tool_calls] == ["a = 1"]
    assert (answer.text, answer.additional_kwargs, answer.id) == ("Hm.", {"mine": 1}, "msg_1")


class Slow(ScriptedCloud):
    """Tells when its stream is closed."""

    closed: list[str] = Field(default_factory=list[str])

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        try:
            for word in self.text.split():
                yield ChatGenerationChunk(message=AIMessageChunk(content=word))
                await asyncio.sleep(0)
        finally:
            self.closed.append("cloud")


class Runs(BaseTracer):
    """Tells when the outermost run has ended."""

    def __init__(self, closed: list[str]) -> None:
        super().__init__()
        self._closed = closed

    def _persist_run(self, run: Any) -> None:
        self._closed.append("run")


@pytest.mark.parametrize("question", [UNSURE, SURE])
async def test_a_stream_that_is_closed_is_over(question: str) -> None:
    """When `aclose` returns, so is the cloud's, its hooks were told and the run has ended, as with any chat model."""
    cloud = Slow()
    model = routed(cloud, hooks=[lambda record: cloud.closed.append(f"{record.route} {record.error}")])
    stream = model.astream(question, {"callbacks": [Runs(cloud.closed)]})
    async with aclosing(cast("AsyncGenerator[Any]", stream)):
        await anext(stream)
    expected = ["cloud GeneratorExit", "cloud", "run"] if question == UNSURE else ["edge None", "run"]
    assert sorted(cloud.closed) == sorted(expected)


@pytest.mark.parametrize(("threshold", "text"), [(0.3, "The cloud knows it"), (0.0, "Olympus")])
def test_a_cloud_may_be_routed_itself(ask: Any, threshold: float, text: str) -> None:
    """In a cascade of three, whichever answers, the record is the outer one's, and there is one."""
    answer = ask(routed(routed(threshold=threshold)), UNSURE)
    assert answer.text == text
    record = record_of(answer)
    assert (record["route"], record["cloud"]["model"]) == ("cloud", "ConfidenceRoutedChatModel")
    assert record_of(ask(routed(routed()), SURE))["route"] == "edge"


class Tokens(BaseCallbackHandler):
    """Keeps the ids of the pieces that handlers are told of."""

    def __init__(self) -> None:
        self.ids: list[str | None] = []

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **kwargs: Any) -> None:
        self.ids.append(chunk.message.id)


@pytest.mark.parametrize("question", [SURE, UNSURE])
@pytest.mark.parametrize("message_id", [None, "msg_1"])
def test_the_pieces_of_an_answer_have_one_id(ask: Any, question: str, message_id: str | None) -> None:
    """Handlers are told the answer's, under `invoke` and `stream`, the provider's where it gives one: LangGraph takes
    pieces of other ids for other messages."""
    cloud = GenericFakeChatModel(messages=iter([AIMessage("Olympus Mons it is", id=message_id)]))
    tokens = Tokens()
    answer = ask(routed(cloud, streaming=True), question, config={"callbacks": [tokens]})
    assert len(tokens.ids) == (1 if question == SURE else 8)
    assert set(tokens.ids) == {answer.id}
    if message_id and question == UNSURE:
        assert answer.id == message_id
    else:
        assert str(answer.id).startswith("lc_run-")


def test_an_id_that_only_the_first_piece_tells_is_all_pieces(ask: Any) -> None:
    """As OpenAI's Responses API streams."""

    class FirstTold(ScriptedCloud):
        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            for i, chunk in enumerate(super()._stream(*args, **kwargs)):
                chunk.message.id = None if i else "resp_1"
                yield chunk

    tokens = Tokens()
    assert ask(routed(FirstTold(), streaming=True), UNSURE, config={"callbacks": [tokens]}).id == "resp_1"
    assert set(tokens.ids) == {"resp_1"}
