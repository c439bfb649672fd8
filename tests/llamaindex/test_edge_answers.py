"""What is read of a LlamaIndex LLM's answer as the edge."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LogProb, TextBlock, ThinkingBlock
from llama_index.core.llms import MockLLM

from confroute import ModelError, Sample, SamplingOptions
from confroute_llamaindex import ConfidenceRoutedLLM
from confroute_llamaindex.edge import LLMEdge
from tests.llamaindex.test_edge_samples import ASK, DRAWN, GREEDY, Mine, asked


class Reason(Enum):
    """As Google's client has them."""

    MAX_TOKENS = "MAX_TOKENS"
    SAFETY = "SAFETY"


class Telling(Mine):
    """Its every answer is *response*."""

    response: ChatResponse

    def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        return self.response

    async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        return self.response


def telling(text: str, **said: Any) -> Telling:
    response = ChatResponse(message=ChatMessage(role="assistant", content=text), **said)
    return Telling(answer=str, response=response)


def answer(text: str, **said: Any) -> Sample:
    return asked(LLMEdge(telling(text, **said)), 1, GREEDY).samples[0]


@pytest.mark.parametrize(
    "raw",
    [
        {"choices": [{"finish_reason": "length"}]},
        {"done_reason": "length"},
        {"stop_reason": "max_tokens"},
        {"stopReason": "max_tokens"},
        {"finish_reason": Reason.MAX_TOKENS},
        {"candidates": [{"finish_reason": "MAX_TOKENS"}]},
        SimpleNamespace(candidates=[SimpleNamespace(finish_reason=Reason.MAX_TOKENS)]),
        SimpleNamespace(status="incomplete", incomplete_details=SimpleNamespace(reason="max_output_tokens")),
    ],
    ids=["openai", "ollama", "anthropic", "bedrock", "google", "candidates", "objects", "responses"],
)
def test_an_answer_cut_short_says_so(raw: Any) -> None:
    """By whatever name its maker calls it."""
    assert answer("Li", raw=raw).finish_reason == "length"


@pytest.mark.parametrize("raw", [None, "raw", [1], {"choices": []}, {"choices": None}, {"choices": {"a": 1}}])
def test_what_tells_nothing_of_its_end_ended(raw: Any) -> None:
    """Whatever the integration hands on."""
    assert answer("Lima", raw=raw).finish_reason == "stop"


@pytest.mark.parametrize(
    "raw",
    [
        {"choices": [{"finish_reason": "content_filter"}]},
        {"candidates": [{"finish_reason": "SAFETY"}]},
        {"finish_reason": Reason.SAFETY},
        {"stop_reason": "refusal"},
        {"stopReason": "guardrail_intervened"},
        {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
    ],
)
def test_an_answer_held_back_is_no_answer(raw: Any) -> None:
    """What is left of it is not served: it is an error of the edge."""
    with pytest.raises(ModelError, match="content_filter"):
        answer("I cannot", raw=raw)
    routed = ConfidenceRoutedLLM(edge=telling("I cannot", raw=raw), cloud=MockLLM(), threshold=0.0)
    record = routed.complete("Capital of Peru?").additional_kwargs["confidence_routing"]
    assert (record["route"], record["reason"]) == ("cloud", "edge_error")


@pytest.mark.parametrize(
    "message",
    [
        lambda thought: ChatMessage(role="assistant", content=f"<think>{thought}</think>\nLima"),
        lambda thought: ChatMessage(role="assistant", blocks=[ThinkingBlock(content=thought), TextBlock(text="Lima")]),
        lambda thought: ChatMessage(role="assistant", content="Lima", additional_kwargs={"thinking": thought}),
    ],
    ids=["text", "block", "aside"],
)
def test_thoughts_are_no_part_of_the_answer(message: Callable[[str], ChatMessage]) -> None:
    """Answers that only differ in them are the same, and show that the model draws."""
    said = iter([ChatResponse(message=message("Peru?")), ChatResponse(message=message("Chile?"))])

    class Thinking(Mine):
        def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
            return next(said)

    samples = asked(LLMEdge(Thinking(answer=str)), 2, DRAWN).samples
    assert [sample.text for sample in samples] == ["Lima"] * 2


TOLD = {"token": "Lima", "logprob": -0.25}


@pytest.mark.parametrize(
    "raw",
    [
        {"choices": [{"logprobs": {"content": [TOLD]}}]},
        {"choices": [{"logprobs": [TOLD]}]},
        {"logprobs": [TOLD]},
        SimpleNamespace(logprobs=[LogProb(**TOLD)]),
    ],
    ids=["openai", "list", "ollama", "objects"],
)
def test_logprobs_are_read_wherever_they_are_told(raw: Any) -> None:
    """Before those of the response itself, which OpenAI's integration makes of the most probable tokens."""
    sample = answer("Lima", raw=raw, logprobs=[[LogProb(token="Lima", logprob=-9.0)]])
    assert (sample.tokens, sample.token_logprobs) == (("Lima",), (-0.25,))


def test_logprobs_of_the_response_are_read() -> None:
    """Where nothing else tells them, with the other tokens at each place."""
    logprobs = [
        [LogProb(token="Li", logprob=-0.5), LogProb(token="Cu", logprob=-1.5)],
        [LogProb(token="ma", logprob=-0.25)],
    ]
    edge = LLMEdge(telling("Lima", logprobs=logprobs))
    (sample,) = edge.generate(ASK, n=1, options=SamplingOptions(alternatives=2)).samples
    assert (sample.tokens, sample.token_logprobs) == (("Li", "ma"), (-0.5, -0.25))
    assert sample.alternatives == ((("Li", -0.5), ("Cu", -1.5)), (("ma", -0.25),))


@pytest.mark.parametrize("told", [[[LogProb(token="Cuzco", logprob=-0.5)]], [[]], []])
def test_logprobs_of_other_tokens_are_not_the_answers(told: Any) -> None:
    """Some tell the most probable tokens, of which the answer's need not be any."""
    assert answer("Lima", logprobs=told).token_logprobs is None


@pytest.mark.parametrize("logprobs", ["junk", 1, [1], [{"a": 1}], {"tokens": ["Lima"], "token_logprobs": [-0.5]}])
def test_logprobs_of_another_form_are_none(logprobs: Any) -> None:
    """The answer is one without."""
    assert answer("Lima", raw={"choices": [{"logprobs": logprobs}]}).token_logprobs is None
