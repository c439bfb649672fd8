"""Requests that the edge cannot read, or not answer: the cloud has them as they are, and judges."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from confroute import ConfigurationError
from confroute.records import Sample
from confroute.testing import ScriptedEngine
from confroute_langchain import ConfidenceRoutedChatModel
from tests.langchain.scripted import SURE, UNSURE, ScriptedCloud, record_of, routed

TEXT = {"type": "text", "text": "Summarise this."}
CALL = {"name": "f", "args": {"day": dt.date(2026, 1, 1)}, "id": "1"}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "file", "url": "https://example.org/a.pdf"},
        {"type": "video", "url": "https://example.org/a.mp4"},
        {"type": "audio", "url": "https://example.org/a.wav"},
        {"type": "image", "file_id": "file-1"},
        {"type": "text-plain", "text": "a", "mime_type": "text/plain"},
        {"type": "media", "data": "AA==", "mime_type": "video/mp4"},
        {"type": "guard_content", "text": "a"},
        {"cachePoint": {"type": "default"}},
        {"text": "a"},
        {"type": "text"},
    ],
    ids=lambda block: block.get("type", "-".join(block)),
)
@pytest.mark.parametrize("earlier", [False, True])
def test_what_cannot_be_read_is_the_cloud_s(block: dict[str, Any], *, earlier: bool) -> None:
    """Whatever a provider's block is, and in whichever turn, it is no error of ours."""
    cloud = ScriptedCloud()
    messages: list[BaseMessage] = [HumanMessage([TEXT, block])]
    if earlier:
        messages += [AIMessage([block]), HumanMessage(SURE)]
    model = routed(cloud)
    assert record_of(model.invoke(messages))["reason"] == "unsupported"
    assert cloud.seen[0][0] == messages
    assert model.edge.requests == []


def test_nor_is_what_cannot_be_converted(ask: Any) -> None:
    """Messages that LangChain finds no form of OpenAI's for go to the cloud, too."""
    called = AIMessage("", tool_calls=[CALL])
    messages = [HumanMessage(SURE), called, ToolMessage("x", tool_call_id="1"), HumanMessage(SURE)]
    assert record_of(ask(routed(), messages))["reason"] == "unsupported"


@pytest.mark.parametrize(
    "arguments",
    [
        {"logprobs": True},
        {"logprobs": True, "top_logprobs": 2},
        {"n": 2},
        {"max_tokens": -1},
        {"temperature": "0.5"},
        {"top_p": 2},
        {"stop": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("bound", [False, True])
def test_arguments_that_the_edge_cannot_heed_are_the_cloud_s(arguments: dict[str, Any], *, bound: bool) -> None:
    """What is asked beyond one answer, and values that the edge would refuse, reach the cloud unchanged."""
    cloud = ScriptedCloud()
    model: Any = routed(cloud)
    answer = model.bind(**arguments).invoke(SURE) if bound else model.invoke(SURE, **arguments)
    assert record_of(answer)["reason"] == "unsupported"
    assert cloud.seen[0][1] == {"stop": None, **arguments}


def test_a_setting_of_the_edge_s_that_cannot_be_is_told() -> None:
    """At construction, and at the next request where it was set later."""
    with pytest.raises(ConfigurationError, match="max_tokens"):
        routed(max_tokens=-1)
    model = routed()
    model.temperature = -1.0
    with pytest.raises(ConfigurationError, match="temperature"):
        model.invoke(SURE)


@pytest.mark.parametrize(
    "bound",
    [
        {"tools": [{"type": "function", "function": {"name": "add"}}], "tool_choice": "any"},
        {"response_format": {"type": "json_object"}},
        {"n": 3},
    ],
    ids=lambda bound: next(iter(bound)),
)
def test_what_is_bound_to_the_cloud_asks_the_same_of_the_edge(ask: Any, bound: dict[str, Any]) -> None:
    """An answer of the edge's would not be what the caller told the cloud to give."""
    cloud = ScriptedCloud()
    assert record_of(ask(routed(cloud.bind(**bound)), SURE))["reason"] == "unsupported"
    assert next(iter(bound)) in cloud.seen[0][1]


def test_how_the_cloud_samples_is_its_own() -> None:
    """Temperature and length bound to the cloud are no settings of the edge's, stop strings are for both."""
    cloud = ScriptedCloud().bind(temperature=0.9, max_completion_tokens=3, stop=["END"])
    model = routed(cloud)
    model.invoke(UNSURE)
    options = model.edge.requests[0][2]
    assert (options.temperature, options.max_tokens, options.stop) == (0.0, 256, ("END",))
    assert cloud.bound.seen[0][1] == {"temperature": 0.9, "max_completion_tokens": 3, "stop": ["END"]}


@pytest.mark.parametrize(("limit", "reason"), [({}, "edge_error"), ({"max_tokens": 9}, "confident")])
def test_an_answer_cut_short_is_served_at_the_caller_s_limit_only(ask: Any, limit: dict[str, Any], reason: str) -> None:
    """The caller knows of that limit; at the edge's own the cloud says the whole."""
    cut = Sample(text="The capital is", output_tokens=9, finish_reason="length")
    edge = ScriptedEngine({SURE: (cut, [cut])})
    model = ConfidenceRoutedChatModel(edge=edge, cloud=ScriptedCloud())
    assert record_of(ask(model, SURE, **limit))["reason"] == reason
    settled = ConfidenceRoutedChatModel(edge=edge, cloud=ScriptedCloud(), **limit)
    assert record_of(ask(settled, SURE))["reason"] == reason
