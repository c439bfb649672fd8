"""Answers that have to be of some form are never served from an edge that was not told so."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms import LLM
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI, OpenAIResponses
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel, PrivateAttr

from confroute import SamplingOptions
from confroute.contract import Request
from confroute.edge.choices import response_format
from confroute_llamaindex import ConfidenceRoutedLLM
from confroute_llamaindex.messages import read_request
from tests.llamaindex.conftest import ScriptedCloud

USER = ChatMessage(role="user", content="Capital?")


class City(BaseModel):
    """A city."""

    name: str


SCHEMA = City.model_json_schema()


def openai(**settings: Any) -> LLM:
    return OpenAI(model="gpt-4o-mini", api_key="none", **settings)


def read(cloud: LLM, **kwargs: Any) -> Request:
    return read_request([USER], kwargs, SamplingOptions(), cloud=cloud)


class Gemini(ScriptedCloud):
    """Keeps what it was set to as GoogleGenAI does."""

    _generation_config: dict[str, Any] = PrivateAttr()

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self._generation_config = {"temperature": 0.1, "stop_sequences": None, "response_schema": None, **config}


@pytest.mark.parametrize(
    ("cloud", "kwargs", "named"),
    [
        (Gemini(response_mime_type="application/json"), {}, "response_mime_type"),
        (Gemini(tools=[{"google_search": {}}]), {}, "tools"),
        (OpenAIResponses(api_key="none", built_in_tools=[{"type": "web_search_preview"}]), {}, "built_in_tools"),
        (openai(additional_kwargs={"response_format": {"type": "json_object"}}), {}, "response format"),
        (openai(additional_kwargs={"extra_body": {"guided_json": SCHEMA}}), {}, "guided_json"),
        (OpenAILike(model="m", additional_kwargs={"guided_choice": ["a", "b"]}), {}, "guided_choice"),
        (Ollama(model="m", json_mode=True), {}, "json_mode"),
        (Ollama(model="m"), {"format": "json"}, "format"),
        (openai(), {"extra_body": {"response_format": {"type": "json_object"}}}, "response format"),
        (openai(), {"generation_config": {"response_mime_type": "application/json"}}, "response_mime_type"),
        (openai(modalities=["text", "audio"], audio_config={"voice": "alloy"}), {}, "more than text"),
        (openai(), {"modalities": ["text", "audio"], "audio": {"voice": "alloy"}}, "more than text"),
        (openai(), {"text": {"format": {"type": "json_object"}}}, "response format"),
        (openai(logprobs=True), {}, "logprobs"),
        (openai(additional_kwargs={"n": 2}), {}, "several"),
        (openai().as_structured_llm(City), {}, "objects"),
        (Ollama(model="m").as_structured_llm(City), {}, "objects"),
    ],
)
def test_a_form_that_only_the_cloud_knows(cloud: LLM, kwargs: dict[str, Any], named: str, confident: Any) -> None:
    """The cloud's own setting or a call's: such a request is not for the edge, nor through two routers."""
    assert named in (read(cloud, **kwargs).unsupported or "")
    nested = ConfidenceRoutedLLM(edge=confident, cloud=cloud)
    assert named in (read(nested, **kwargs).unsupported or "")


@pytest.mark.parametrize(
    ("cloud", "kwargs"),
    [
        (openai(additional_kwargs={"response_format": response_format(SCHEMA)}), {}),
        (openai(), {"response_format": response_format(SCHEMA)}),
        (openai(additional_kwargs={"extra_body": {"response_format": response_format(SCHEMA)}}), {}),
        (openai(), {"text": {"format": {"type": "json_schema", "name": "City", "schema": SCHEMA}}}),
        (Ollama(model="m"), {"format": SCHEMA}),
    ],
)
def test_a_schema_in_any_words_is_the_edges_too(cloud: LLM, kwargs: dict[str, Any]) -> None:
    """The edge is held to a JSON schema that the cloud is always asked for, or by Ollama's word."""
    request = read(cloud, **kwargs)
    assert (request.unsupported, request.options.json_schema) == (None, SCHEMA)


@pytest.mark.parametrize(
    ("cloud", "kwargs"),
    [
        (openai(additional_kwargs={"user": "somebody", "seed": 1, "extra_body": {"top_k": 4}}), {}),
        (openai(), {}),
        (openai(modalities=["text"], logprobs=False), {"n": 1}),
        (OpenAIResponses(model="gpt-4o-mini", api_key="none"), {}),
        (OpenAILike(model="m"), {}),
        (Ollama(model="m"), {}),
        (openai(), {"format": None}),
        (openai(), {"format": ""}),
        (openai(additional_kwargs={"response_format": {"type": "text"}}), {}),
        (openai(additional_kwargs={"response_format": {"type": "json_object"}}), {"response_format": None}),
        (Ollama(model="m", additional_kwargs={"seed": 1, "temperature": 0.1}), {}),
    ],
)
def test_free_words(cloud: LLM, kwargs: dict[str, Any]) -> None:
    """What says nothing of an answer's form is no obstacle, and the cloud's way of sampling is not the edge's."""
    request = read(cloud, **kwargs)
    assert (request.unsupported, request.options) == (None, SamplingOptions())


@pytest.mark.parametrize(
    "cloud",
    [openai(additional_kwargs={"stop": ["END"]}), Ollama(model="m", additional_kwargs={"stop": ["END"]})],
    ids=["openai", "ollama"],
)
def test_the_clouds_own_stop_strings_end_the_edges_answer(cloud: LLM) -> None:
    """They are what the caller has answers end at, unless a call says otherwise."""
    assert read(cloud).options.stop == ("END",)
    assert read(cloud, stop=["X"]).options.stop == ("X",)


def test_the_edges_prose_is_not_served_for_json(routed: Any) -> None:
    """The caller gets what the cloud, in JSON mode, says."""
    cloud = ScriptedCloud(answer='{"name": "Paris"}')
    assert routed("edge", cloud=cloud).complete("Capital, in JSON?", format="json").text == cloud.answer


def test_a_limit_of_tokens_is_the_callers_or_not() -> None:
    """The router serves an answer that is cut short only at the caller's own limit."""
    for kwargs, limited in (({}, False), ({"max_tokens": 9}, True), ({"max_completion_tokens": 9}, True)):
        assert read(openai(max_tokens=50), **kwargs).limited is limited
    assert read_request([USER], {}, SamplingOptions(max_tokens=9), cloud=openai(), limited=True).limited


def test_a_message_that_cannot_be_read_is_no_error(routed: Any, cloud: Any) -> None:
    """The cloud may know what to do with it."""
    call = ToolCallBlock(tool_call_id="1", tool_name="on", tool_kwargs={"day": dt.date(2024, 1, 1)})
    history = [USER, ChatMessage(role="assistant", blocks=[call]), ChatMessage(role="tool", content="x")]
    response = routed("edge").chat(history)
    assert response.additional_kwargs["confidence_routing"]["reason"] == "unsupported"
    assert cloud.received[0][0] == history


def test_what_a_cloud_keeps_to_itself_is_read() -> None:
    """It is the edge's, too, and no reason not to ask it."""
    request = read(Gemini(stop_sequences=["END"]))
    assert (request.options.stop, request.unsupported) == (("END",), None)
    assert read(Gemini()).unsupported is None
