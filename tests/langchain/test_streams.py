"""Streams of clouds that are unlike the scripted one: without a stream of their own, or themselves routed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import pytest
from langchain_core.language_models import FakeMessagesListChatModel
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
