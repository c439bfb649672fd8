"""What is read of a LangChain chat model's answer as the edge."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from pydantic import Field

from confroute import ModelError, Sample, SamplingOptions
from confroute_langchain import ConfidenceRoutedChatModel
from confroute_langchain.edge import ChatModelEdge
from tests.langchain.scripted import ScriptedCloud, record_of
from tests.langchain.test_edge_samples import DRAWN, GREEDY, asked, awaited


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


THOUGHTS: list[tuple[Any, dict[str, Any]]] = [
    ("<think>Peru?</think>\nLima", {}),
    ([{"type": "reasoning", "reasoning": "Peru?"}, {"type": "text", "text": "Lima"}], {}),
    ([{"type": "thinking", "thinking": "Peru?", "signature": "s"}, {"type": "text", "text": "Lima"}], {}),
    ([{"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Peru?"}]}, "Lima"], {}),
    ("Lima", {"additional_kwargs": {"reasoning_content": "Peru?"}}),
]
"""Answers of the same thought, as a server's text, LangChain's and Anthropic's blocks, OpenAI's, and DeepSeek's."""


@pytest.mark.parametrize(("content", "said"), THOUGHTS)
def test_thoughts_are_no_part_of_the_answer(content: Any, said: dict[str, Any]) -> None:
    """Answers that only differ in them are the same."""
    assert answer(content, **said).text == "Lima"


@pytest.mark.parametrize(("content", "said"), THOUGHTS)
def test_tokens_are_those_of_the_answer(content: Any, said: dict[str, Any]) -> None:
    """The thoughts' own say nothing of it: they are told from it by their mark, or by what they spell."""
    marked = isinstance(content, str) and not said
    tokens = ["<think>", "Peru?", "</think>", "\n", "Lima"] if marked else ["Peru?", "Lima"]
    metadata = {"logprobs": {"content": [{"token": token, "logprob": -1.0} for token in tokens]}}
    assert answer(content, response_metadata=metadata, **said).tokens == ("Lima",)


def test_no_token_is_the_answers_where_they_cannot_be_told_apart() -> None:
    """Tokens that spell neither the thought nor the answer may be of either."""
    metadata = {"logprobs": {"content": [{"token": token, "logprob": -1.0} for token in ("Chile?", "Lima")]}}
    assert answer("Lima", response_metadata=metadata, additional_kwargs={"reasoning_content": "Peru?"}).tokens is None


@pytest.mark.parametrize(("own", "stop"), [({}, ()), ({}, ("END",)), ({"stop": ["END"]}, ())])
def test_no_token_is_the_answers_where_a_hidden_thought_began_with_it(own: dict[str, Any], stop: tuple[str]) -> None:
    """Its first words would be as sure as the thought is, and no stop string was what came after them."""
    tokens = ["Lima", ", wait, is it?", "Lima"]
    metadata = {"logprobs": {"content": [{"token": token, "logprob": -1.0} for token in tokens]}}
    edge = ChatModelEdge(saying("Lima", response_metadata=metadata).bind(**own))
    assert asked(edge, 1, SamplingOptions(stop=stop)).samples[0].tokens is None


@pytest.mark.parametrize(("own", "stop"), [({}, ("\nEND",)), ({"stop": ["\nEND"]}, ()), ({"stop": "\nEND"}, ())])
def test_tokens_of_a_stop_string_are_not_the_answers(own: dict[str, Any], stop: tuple[str]) -> None:
    """Which some servers list after it; it may be one of the model's own."""
    tokens = ["Lima", "\n", "EN", "D"]
    metadata = {"logprobs": {"content": [{"token": token, "logprob": -1.0} for token in tokens]}}
    edge = ChatModelEdge(saying("Lima", response_metadata=metadata).bind(**own))
    assert asked(edge, 1, SamplingOptions(stop=stop)).samples[0].tokens == ("Lima",)


def test_a_stop_string_that_another_stands_for_stops_nothing() -> None:
    """That which is bound prevails over the model's own."""

    class Stopping(GenericFakeChatModel):
        stop: list[str] = Field(default=["END"])

    model = Stopping(messages=iter([AIMessage(content="Lima END")]))
    assert asked(ChatModelEdge(model.bind(stop=["ZZZ"])), 1, GREEDY).samples[0].text == "Lima END"


def test_an_answer_ends_before_its_stop_string() -> None:
    """Also where the integration did not tell it to the server, which went on."""
    tokens = ["<think>", "END?", "</think>", "Lima", " EN", "D and", " more"]
    metadata = {"logprobs": {"content": [{"token": token, "logprob": -1.0} for token in tokens]}}
    edge = ChatModelEdge(saying("".join(tokens), response_metadata={**metadata, "finish_reason": "length"}))
    sample = asked(edge, 1, SamplingOptions(stop=("more", "END"))).samples[0]
    assert (sample.text, sample.tokens, sample.finish_reason) == ("Lima", ("Lima",), "stop")


@pytest.mark.parametrize(("content", "said"), THOUGHTS)
def test_thoughts_that_differ_show_that_a_model_draws(content: Any, said: dict[str, Any]) -> None:
    """However sure of the answer it is: nothing else has to be asked."""
    other, as_said = json.loads(json.dumps([content, said]).replace("Peru", "Chile"))
    thought = [AIMessage(content=content, **said), AIMessage(content=other, **as_said)]
    edge = ChatModelEdge(GenericFakeChatModel(messages=iter(thought)))
    assert [sample.text for sample in asked(edge, 2, DRAWN).samples] == ["Lima"] * 2


@pytest.mark.parametrize("ask", [asked, awaited])
def test_a_usage_without_tokens_tells_none(ask: Any) -> None:
    """As that of an answer from LangChain's cache, which tells what it cost."""
    model = saying("Lima")
    model.messages = iter([AIMessage("Lima").model_copy(update={"usage_metadata": {"total_cost": 0}})])
    generation = ask(ChatModelEdge(model), 1, GREEDY)
    assert (generation.samples[0].text, generation.input_tokens, generation.output_tokens) == ("Lima", 0, 0)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"input_tokens": 12, "output_tokens": 8, "total_tokens": 140}, 128),
        ({"input_tokens": 12, "output_tokens": 128, "total_tokens": 140}, 128),
        ({"input_tokens": 12, "output_tokens": 8, "total_tokens": 140, "input_token_details": {"cache_read": 4}}, 124),
        ({"input_tokens": 0, "output_tokens": 8, "total_tokens": 140}, 8),  # it is not told how many are the prompt's
        (
            {
                "input_tokens": 12,
                "output_tokens": 8,
                "total_tokens": 220,
                "input_token_details": {"cache_read": 200},
            },
            8,
        ),
        (  # older integrations of Bedrock count what they have in a cache, or put there, apart
            {
                "input_tokens": 12,
                "output_tokens": 8,
                "total_tokens": 220,
                "input_token_details": {"cache_read": 0, "cache_creation": 200},
            },
            8,
        ),
        (
            {
                "input_tokens": 300,
                "output_tokens": 8,
                "total_tokens": 508,
                "input_token_details": {"cache_read": 150, "cache_creation": 50},
            },
            8,
        ),
        (  # Gemini's tools read pages
            {
                "input_tokens": 27,
                "output_tokens": 76,
                "total_tokens": 10412,
                "output_token_details": {"reasoning": 31},
            },
            76,
        ),
        (
            {"input_tokens": 27, "output_tokens": 76, "total_tokens": 10412, "output_token_details": {"reasoning": 0}},
            76,
        ),
        (  # xAI's thoughts are no part of the output
            {"input_tokens": 12, "output_tokens": 8, "total_tokens": 140, "output_token_details": {"reasoning": 120}},
            128,
        ),
        (
            {"input_tokens": 12, "output_tokens": 8, "total_tokens": 23, "output_token_details": {"reasoning": 3}},
            11,
        ),
    ],
)
def test_thoughts_that_only_the_total_counts_are_the_answers(usage: Any, tokens: int) -> None:
    """As Google's endpoint of OpenAI's form has it: its max_tokens are theirs, too, and samples are given as many."""
    assert answer("Lima", usage_metadata=usage).output_tokens == tokens


def test_a_prompt_put_into_a_cache_is_no_cut_one() -> None:
    """Older integrations of Bedrock tell of the rest alone as the input."""
    usage: Any = {
        "input_tokens": 300,
        "output_tokens": 8,
        "total_tokens": 5308,
        "input_token_details": {"cache_read": 0, "cache_creation": 5000},
    }
    assert answer("Lima", usage_metadata=usage).output_tokens == 8
    model = GenericFakeChatModel(messages=iter([AIMessage("Lima", usage_metadata=usage)]))
    ask = [{"role": "user", "content": "word " * 4000}]
    assert ChatModelEdge(model).generate(ask, n=1, options=GREEDY).input_tokens == 5300
