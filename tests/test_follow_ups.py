"""What an estimator asks the edge about its answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from confroute import Estimate, Evidence, Generation, Router, Sample, SamplingOptions
from confroute.estimators import CoCoA, LogisticCombination, PTrue, SinglePass
from confroute.records import ConfidenceRecord, FollowUp, Message
from confroute.testing import ScriptedEngine, says

ASK = [{"role": "user", "content": "Capital of Peru?"}]
TRUE = Sample(
    text="True",
    tokens=("True",),
    token_logprobs=(math.log(0.8),),
    alternatives=((("True", math.log(0.8)), ("False", math.log(0.2))),),
    output_tokens=1,
)


class Judging(ScriptedEngine):
    """Answers by script, and says True with a probability of .8 when asked about an answer; or fails at it."""

    failing = False

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        if "Proposed answer" not in str(messages[-1]["content"]):
            return super().generate(messages, n=n, options=options)
        self.requests.append((list(messages), n, options))
        if self.failing:
            raise RuntimeError("no reply")
        return Generation(samples=(TRUE,), input_tokens=20)


def edge() -> Judging:
    return Judging({"Capital of Peru?": (says("Lima", -0.1), ["Lima", "Cusco"])})


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_reply_is_measured_and_charged(asynchronous: bool) -> None:
    """The reply becomes the confidence, no samples are drawn, and its tokens are counted."""
    router = Router(edge(), estimator=PTrue(), threshold=0.7)
    record: ConfidenceRecord = (asyncio.run(router.adecide(ASK)) if asynchronous else router.decide(ASK)).record
    assert (record.route, record.confidence, record.samples) == ("edge", pytest.approx(0.8), 0)
    assert record.edge is not None
    assert (record.edge.input_tokens, record.edge.output_tokens) == (7 + 20, 1 + 1)


def test_a_reply_whose_prompt_is_not_counted_leaves_the_sum_unknown() -> None:
    """It would be that of a part."""

    class Silent(Judging):
        def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
            generation = super().generate(messages, n=n, options=options)
            return replace(generation, input_tokens=0) if generation.samples == (TRUE,) else generation

    usage = Router(Silent(edge().script), estimator=PTrue()).decide(ASK).record.edge
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (None, 1 + 1)


@pytest.mark.parametrize("threshold", [0.7, 0.9])
def test_the_usage_of_the_answer_is_its_own(threshold: float) -> None:
    """A served answer tells the tokens of its own prompt, in both frameworks, also where it stands in for the cloud's;
    what was asked about it is in the record alone."""
    language_models = pytest.importorskip("langchain_core.language_models")
    llms = pytest.importorskip("llama_index.core.llms")
    from confroute_langchain import ConfidenceRoutedChatModel
    from confroute_llamaindex import ConfidenceRoutedLLM

    class Chat(language_models.FakeListChatModel):
        def _call(self, *_: Any, **__: Any) -> str:
            raise OSError("gone")

        _stream = _call

    class LLM(llms.MockLLM):
        def chat(self, *_: Any, **__: Any) -> Any:
            raise OSError("gone")

    settings: Any = {"estimator": PTrue(), "threshold": threshold, "on_cloud_error": "edge"}
    question = ASK[0]["content"]
    model = ConfidenceRoutedChatModel(edge=edge(), cloud=Chat(responses=["x"]), **settings)
    for message in (model.invoke(question), list(model.stream(question))[-1]):
        assert message.usage_metadata == {"input_tokens": 7, "output_tokens": 1, "total_tokens": 8}
        assert message.response_metadata["confidence_routing"]["edge"]["input_tokens"] == 7 + 20
    llm = ConfidenceRoutedLLM(edge=edge(), cloud=LLM(), **settings)
    response = llm.chat([llms.ChatMessage(role="user", content=question)])
    assert response.raw["usage"] == {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
    assert response.additional_kwargs["confidence_routing"]["edge"]["input_tokens"] == 7 + 20


def test_it_is_asked_only_where_it_can_matter() -> None:
    """An answer that is settled by itself costs no question; a blank one is not asked about."""

    class Curious(CoCoA):
        __slots__ = ()

        def follow_ups(self, evidence: Evidence) -> Mapping[str, FollowUp]:
            return PTrue().follow_ups(evidence)

    sure, unsure = edge(), edge()
    Router(sure, estimator=Curious(), threshold=0.8).decide(ASK)
    Router(unsure, estimator=Curious(), threshold=0.99).decide(ASK)
    assert [n for _, n, _ in sure.requests] == [1]
    assert [n for _, n, _ in unsure.requests] == [1, 1, 10]
    blank = Judging({"Capital of Peru?": (" ", ["x"])})
    assert Router(blank, estimator=PTrue()).decide(ASK).record.reason == "no_signal"
    assert len(blank.requests) == 1


def test_parts_of_a_combination_ask_once_each() -> None:
    """A combination asks what its parts ask, and its number is theirs."""
    router = Router(edge(), estimator=LogisticCombination((PTrue(),), weights=(1.0,), bias=0.0), threshold=0.0)
    record = router.decide(ASK).record
    assert record.uncertainty == pytest.approx(1 / (1 + math.exp(-0.2)))


def test_a_question_that_fails_is_the_edge_s_failure() -> None:
    """No reply is a failure of the edge, not a low confidence."""
    engine = edge()
    engine.failing = True
    record = Router(engine, estimator=PTrue(), threshold=0.0).decide(ASK).record
    assert (record.route, record.reason, record.error) == ("cloud", "edge_error", "RuntimeError")


def test_an_estimator_that_cannot_ask_has_no_signal(caplog: pytest.LogCaptureFixture) -> None:
    """An error in making the question escalates, is logged by its class, and quotes nothing."""

    class Broken(SinglePass):
        __slots__ = ()
        name = "broken"
        unit = "share"

        def follow_ups(self, evidence: Evidence) -> Mapping[str, FollowUp]:
            raise ValueError(evidence.question)

        def estimate(self, evidence: Evidence) -> Estimate:
            return Estimate(uncertainty=0.0 if evidence.replies else math.nan)

    record = Router(edge(), estimator=Broken(), threshold=0.0).decide(ASK).record
    assert (record.route, record.reason) == ("cloud", "no_signal")
    assert "ValueError" in caplog.text
    assert "Peru" not in caplog.text
