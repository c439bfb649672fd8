"""Structured output by JSON schema: the edge's where it can, parsed as LangChain parses it."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.outputs import ChatResult
from pydantic import BaseModel
from typing_extensions import TypedDict

from confroute import ConfigurationError, records
from confroute.records import Sample
from confroute.testing import ScriptedEngine
from confroute_langchain import ConfidenceRoutedChatModel
from tests.langchain.scripted import ScriptedCloud

SURE, UNSURE = "Oldest town?", "Newest town?"
SCRIPT = {
    SURE: ('{"name": "Jericho", "old": true}', ['{"old": true, "name": "Jericho"}']),
    UNSURE: ('{"name": "Ur", "old": true}', ['{"name": "Rome", "old": true}']),
}


class Town(BaseModel):
    """A town."""

    name: str
    old: bool


def routed(*, json_schema: bool = True) -> tuple[ConfidenceRoutedChatModel, ScriptedCloud]:
    cloud = ScriptedCloud(text='{"name": "Paris", "old": false}')
    return ConfidenceRoutedChatModel(edge=ScriptedEngine(SCRIPT, json_schema=json_schema), cloud=cloud), cloud


def route_of(message: Any) -> str:
    return message.response_metadata["confidence_routing"]["route"]


def test_the_edge_writes_it() -> None:
    """Where its engine holds answers to a schema and the samples agree by their values, no cloud is asked."""
    model, cloud = routed()
    structured = model.with_structured_output(Town, method="json_schema")
    assert structured.invoke(SURE) == asyncio.run(structured.ainvoke(SURE)) == Town(name="Jericho", old=True)
    assert cloud.seen == []


@pytest.mark.parametrize(("question", "json_schema"), [(UNSURE, True), (SURE, False)])
def test_the_cloud_writes_the_rest(question: str, json_schema: bool) -> None:
    """What the edge is not sure of, or cannot, is asked of the cloud in OpenAI's form, with name and strictness."""
    model, cloud = routed(json_schema=json_schema)
    schema = Town.model_json_schema()
    assert model.with_structured_output(schema, method="json_schema", strict=True).invoke(question) == {
        "name": "Paris",
        "old": False,
    }
    asked = cloud.seen[0][1]["response_format"]["json_schema"]
    assert (asked["name"], asked["strict"], asked["schema"]["required"]) == ("Town", True, ["name", "old"])


def test_raw_answers_come_along() -> None:
    """With include_raw the message is there with its record, and an answer that does not parse is no exception."""
    model, cloud = routed()
    structured = model.with_structured_output(Town, method="json_schema", include_raw=True)
    told = structured.invoke(SURE)
    assert (route_of(told["raw"]), told["parsed"], told["parsing_error"]) == (
        "edge",
        Town(name="Jericho", old=True),
        None,
    )
    cloud.text = "I had rather not."
    told = structured.invoke(UNSURE)
    assert (route_of(told["raw"]), told["parsed"]) == ("cloud", None)
    assert told["parsing_error"] is not None


class Feast(BaseModel):
    """With a rule that no JSON schema tells: a word is no date."""

    day: date


class Called(ScriptedCloud):
    """Calls the tool, too, where one is offered."""

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        result = super()._generate(messages, stop, **kwargs)
        if kwargs.get("tools"):
            call = ToolCall(name="Feast", args=json.loads(self.text), id="1")
            result.generations[0].message = AIMessage("", tool_calls=[call])
        return result


def celebrating(day: str, **settings: Any) -> tuple[ConfidenceRoutedChatModel, ScriptedCloud]:
    """The edge says this *day*, as JSON or by a call, and is sure of it; the cloud says another."""
    told = json.dumps({"day": day})
    calls = (records.ToolCall(name="Feast", arguments=told),)
    script = {
        f"{SURE} json_schema": (told, [told]),
        f"{SURE} function_calling": (
            Sample(text="", tool_calls=calls, output_tokens=3),
            [Sample(text="", tool_calls=calls, output_tokens=3)],
        ),
    }
    cloud = Called(text='{"day": "2026-02-02"}', disable_streaming=True)
    edge = ScriptedEngine(script, json_schema=True, tools=True)
    return ConfidenceRoutedChatModel(edge=edge, cloud=cloud, **settings), cloud


methods = pytest.mark.parametrize("method", ["json_schema", "function_calling"])


@methods
@pytest.mark.parametrize(("day", "served"), [("2026-01-01", "2026-01-01"), ("next Tuesday", "2026-02-02")])
async def test_an_object_that_its_class_refuses_is_escalated(
    method: str, day: str, served: str, caplog: pytest.LogCaptureFixture
) -> None:
    """However sure the edge is of it, and by whichever way it is asked; the cloud is not told of our reading."""
    seen: list[Any] = []
    model, cloud = celebrating(day, hooks=[seen.append])
    structured = model.with_structured_output(Feast, method=method)
    question = f"{SURE} {method}"
    expected = Feast(day=date.fromisoformat(served))
    assert structured.invoke(question) == await structured.ainvoke(question) == expected
    assert [*structured.stream(question)] == [each async for each in structured.astream(question)] == [expected]
    assert {record.reason for record in seen} == {"confident" if day == served else "edge_error"}
    assert not any(name.startswith("confroute") for _, given in cloud.seen for name in given)
    assert day not in caplog.text


@methods
def test_an_object_that_its_class_refuses_is_no_parsing_error(method: str) -> None:
    """Not with include_raw either: the cloud was asked."""
    model, _ = celebrating("next Tuesday")
    told = model.with_structured_output(Feast, method=method, include_raw=True).invoke(f"{SURE} {method}")
    assert (route_of(told["raw"]), told["parsed"], told["parsing_error"]) == (
        "cloud",
        Feast(day=date(2026, 2, 2)),
        None,
    )


@methods
@pytest.mark.parametrize("schema", [TypedDict("Feast", {"day": str}), Feast.model_json_schema()])
def test_a_dict_is_served_as_the_edge_said_it(method: str, schema: Any) -> None:
    """No class of the caller's reads it."""
    model, cloud = celebrating("next Tuesday")
    assert model.with_structured_output(schema, method=method).invoke(f"{SURE} {method}") == {"day": "next Tuesday"}
    assert cloud.seen == []


@methods
def test_structured_answers_are_cached_by_their_class(method: str) -> None:
    """One class's answer is not another's, and traces see nothing of how they are told apart."""
    model, _ = celebrating("2026-01-01")
    seen: list[Any] = []

    class Starts(BaseCallbackHandler):
        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            seen.append(kwargs["invocation_params"])

    model.cache = cache = InMemoryCache()
    config: Any = {"callbacks": [Starts()]}
    for _ in range(2):
        model.with_structured_output(Feast, method=method).invoke(f"{SURE} {method}", config)
    assert (len(cache._cache), len(model.edge.requests)) == (1, 2)
    assert "confroute_" not in str(seen)


def test_a_mistyped_argument_is_refused() -> None:
    """An argument that neither method knows is told, not dropped."""
    with pytest.raises(ConfigurationError, match="no argument shema"):
        routed()[0].with_structured_output(Town, method="json_schema", shema=1)
