"""What is read of a LangChain chat model's answer as the edge."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from confroute import ModelError, Sample
from confroute_langchain import ConfidenceRoutedChatModel
from confroute_langchain.edge import ChatModelEdge
from tests.langchain.scripted import ScriptedCloud, record_of
from tests.langchain.test_edge_samples import GREEDY, asked


def saying(content: Any, **said: Any) -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter([AIMessage(content=content, **said)]))


def answer(content: Any, **said: Any) -> Sample:
    return asked(ChatModelEdge(saying(content, **said)), 1, GREEDY).samples[0]


@pytest.mark.parametrize(
    "metadata",
    [
        {"finish_reason": "length"},
        {"done_reason": "length"},
        {"finish_reason": "MAX_TOKENS"},
        {"finish_reason": "model_length"},
        {"stop_reason": "max_tokens"},
        {"stopReason": "max_tokens"},
        {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
        {"status": "incomplete"},
    ],
    ids=["openai", "ollama", "gemini", "mistral", "anthropic", "bedrock", "responses", "untold"],
)
def test_an_answer_cut_short_says_so(metadata: dict[str, Any]) -> None:
    """By whatever name its maker calls it: calls of a tool that are cut short are told from broken ones by it."""
    assert answer("Li", response_metadata=metadata).finish_reason == "length"


@pytest.mark.parametrize("metadata", [{}, {"status": "completed"}, {"finish_reason": "stop", "stop_reason": None}])
def test_an_answer_that_ended_by_itself_says_so(metadata: dict[str, Any]) -> None:
    """Also where nothing is told."""
    assert answer("Lima", response_metadata=metadata).finish_reason == "stop"


@pytest.mark.parametrize(
    "metadata",
    [
        {"finish_reason": "content_filter"},
        {"finish_reason": "SAFETY"},
        {"finish_reason": "RECITATION"},
        {"stop_reason": "refusal"},
        {"stopReason": "guardrail_intervened"},
        {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
    ],
)
def test_an_answer_held_back_is_no_answer(metadata: dict[str, Any]) -> None:
    """What is left of it is not served: it is an error of the edge."""
    with pytest.raises(ModelError, match="content_filter"):
        answer("I cannot", response_metadata=metadata)
    edge = saying("I cannot", response_metadata=metadata)
    routed = ConfidenceRoutedChatModel(edge=edge, cloud=ScriptedCloud(), threshold=0.0)
    record = record_of(routed.invoke("Capital of Peru?"))
    assert (record["route"], record["reason"]) == ("cloud", "edge_error")
