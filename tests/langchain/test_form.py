"""Answers that the cloud is set to give in some form are never served from an edge that was not told so."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI

from confroute.edge.choices import response_format
from confroute.records import ConfidenceRecord
from confroute.testing import ScriptedEngine
from confroute_langchain import ConfidenceRoutedChatModel
from tests.langchain.scripted import SURE, ScriptedCloud, record_of, routed

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
JSON = {"type": "json_object"}
NOWHERE = "http://127.0.0.1:1"


def openai(**settings: Any) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-5-mini", base_url=NOWHERE, api_key="none", max_retries=0, **settings)  # pyright: ignore[reportArgumentType]


def ollama(**settings: Any) -> ChatOllama:
    return ChatOllama(model="m", base_url=NOWHERE, **settings)


def served(cloud: Any) -> tuple[str, ScriptedEngine]:
    """The reason for who answers what the edge is sure of. The cloud cannot be reached."""
    records: list[ConfidenceRecord] = []
    model = routed(cloud, hooks=[records.append])
    with suppress(Exception):
        model.invoke(SURE)
    return records[0].reason, model.edge


@pytest.mark.parametrize(
    "cloud",
    [
        openai(model_kwargs={"response_format": JSON}),
        openai(extra_body={"response_format": JSON}),
        openai(model_kwargs={"tools": [{"type": "web_search"}]}),
        openai(model_kwargs={"modalities": ["text", "audio"]}),
        openai(n=2),
        openai(logprobs=True),
        ollama(format="json"),
        ollama(logprobs=True),
        openai().bind(extra_body={"guided_json": SCHEMA}),
        openai().bind(extra_body={"response_format": JSON}),
        openai().bind(modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"}),
        openai().bind(response_mime_type="application/json"),
        openai().bind(generation_config={"response_mime_type": "application/json"}),
        openai().bind(text={"format": JSON}),
        openai().bind(json_mode=True),
        ollama().bind(format="json"),
    ],
)
def test_what_the_cloud_is_set_to_is_asked_of_the_edge(cloud: Any) -> None:
    """By its own fields or bound arguments, in any provider's words, and through two routers."""
    assert served(cloud)[0] == "unsupported"
    assert served(routed(cloud))[0] == "unsupported"


@pytest.mark.parametrize(
    "cloud",
    [
        openai(),
        openai(n=1, logprobs=False, stop=[], model_kwargs={"user": "me"}, extra_body={"top_k": 3}),
        openai(model_kwargs={"response_format": {"type": "text"}, "modalities": ["text"]}),
        openai(model_kwargs={"text": {"verbosity": "low"}}),
        openai(temperature=0.9, max_tokens=1, seed=3),
        openai().bind(generation_config={"response_mime_type": "text/plain", "temperature": 0.9}),
        openai().bind(output_config={"effort": "low"}, response_modalities=["TEXT"]),
        openai().bind(text={"format": {"type": "text"}}),
        openai().bind(format=None),
        ollama(),
        ollama(format="", temperature=0.9, num_predict=1),
        ollama(format="json").bind(format=None),
        ScriptedCloud(),
    ],
)
def test_what_leaves_the_form_free_leaves_it_to_the_edge(cloud: Any) -> None:
    """Defaults, and settings of how the cloud samples, are no obstacle and no options of the edge's."""
    reason, edge = served(cloud)
    assert reason == "confident"
    options = edge.requests[0][2]
    assert (options.temperature, options.max_tokens, options.stop, options.json_schema) == (0.0, 256, (), None)


def test_a_cloud_that_init_chat_model_makes_is_the_edge_s_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A string says nothing of a form."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    assert served("openai:gpt-5-mini")[0] == "confident"


@pytest.mark.parametrize(
    "cloud",
    [
        openai(model_kwargs={"response_format": response_format(SCHEMA)}),
        openai(extra_body={"response_format": response_format(SCHEMA)}),
        openai().bind(text={"format": {"type": "json_schema", "name": "city", "schema": SCHEMA}}),
        openai().bind(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
        ollama(format=SCHEMA),
        ollama().bind(format=SCHEMA),
    ],
)
def test_a_schema_in_any_words_is_the_edge_s_too(cloud: Any) -> None:
    """It is held to it as by a bound `response_format`."""
    edge = ScriptedEngine({SURE: ('{"city": "Paris"}', ['{"city": "Paris"}'])}, json_schema=True)
    model = ConfidenceRoutedChatModel(edge=edge, cloud=cloud)
    assert record_of(model.invoke(SURE))["reason"] == "confident"
    assert edge.requests[0][2].json_schema == SCHEMA


def test_the_cloud_s_own_tools_are_offered_as_it_offers_them() -> None:
    """One call at a time where it is told so."""
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    edge = ScriptedEngine({SURE: ("Paris", ["Paris"])}, tools=True)
    cloud = openai(model_kwargs={"tools": tools, "parallel_tool_calls": False})
    model = ConfidenceRoutedChatModel(edge=edge, cloud=cloud)
    assert record_of(model.invoke(SURE))["reason"] == "confident"
    options = edge.requests[0][2]
    assert (len(options.tools), options.parallel_calls) == (1, False)


@pytest.mark.parametrize(
    ("cloud", "stop"),
    [
        (openai(stop=["END"]), ("END",)),
        (openai(stop="END"), ("END",)),
        (ScriptedCloud().bind(stop_sequences=["END"]), ("END",)),
        (ollama(stop=["END"]), ("END",)),
        (openai(stop=["END"]).bind(stop=["X"]), ("X",)),
    ],
)
def test_the_cloud_s_own_stop_strings_end_the_edge_s_answer(cloud: Any, stop: tuple[str, ...]) -> None:
    """As those bound to it do, which prevail, as do a call's."""
    reason, edge = served(cloud)
    assert (reason, edge.requests[0][2].stop) == ("confident", stop)
    model = routed(cloud)
    model.invoke(SURE, stop=["Y"])
    assert model.edge.requests[0][2].stop == ("Y",)
