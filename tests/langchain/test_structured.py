"""Structured output by JSON schema: the edge's where it can, parsed as LangChain parses it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from confroute import ConfigurationError
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


def test_a_mistyped_argument_is_refused() -> None:
    """An argument that neither method knows is told, not dropped."""
    with pytest.raises(ConfigurationError, match="no argument shema"):
        routed()[0].with_structured_output(Town, method="json_schema", shema=1)
