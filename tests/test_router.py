"""The decision procedure: every way to each decision."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from confroute import (
    ConfigurationError,
    ContextLengthError,
    Disagreement,
    Estimate,
    Estimator,
    Evidence,
    Generation,
    InputError,
    MeanLogprob,
    ModelError,
    Price,
    Router,
    Sample,
    SamplingOptions,
    SemanticEntropy,
    Threshold,
)
from confroute.calibration import Platt
from confroute.contract import Decision, Request
from confroute.records import Message, Reason
from confroute.steps import Flow
from confroute.testing import ScriptedEngine, equiprobable_meanings, says
from tests.scripted import ASK, SECRET, SURE, UNSURE, Miscounting, MiscountingSamples, engine


class Undefined(Estimator):
    """Never measures anything."""

    name = "undefined"
    unit = "share"

    def estimate(self, evidence: Evidence) -> Estimate:
        return Estimate(uncertainty=math.nan)


class Broken(Undefined):
    """Fails on every answer, quoting the question as careless code does."""

    def estimate(self, evidence: Evidence) -> Estimate:
        raise KeyError(evidence.question)


def by_decide(router: Router, messages: Sequence[Message]) -> Decision:
    return router.decide(messages)


def by_adecide(router: Router, messages: Sequence[Message]) -> Decision:
    return asyncio.run(router.adecide(messages))


decides = pytest.mark.parametrize("decide", [by_decide, by_adecide])
Decide = Callable[[Router, Sequence[Message]], Decision]


# Each way to each decision: the edge's script, the router's settings, reason, confidence.
DECISIONS: dict[str, tuple[Any, dict[str, Any], Reason, float | None]] = {
    "all samples agree": (SURE, {}, "confident", 1.0),
    "confidence equals threshold": (UNSURE, {"threshold": 0.25}, "confident", 0.25),
    "a quarter agrees": (UNSURE, {"threshold": 0.26}, "uncertain", 0.25),
    "threshold above 1": (SURE, {"threshold": 1.01}, "uncertain", 1.0),
    "a policy of one's own": (UNSURE, {"policy": Threshold(0.2)}, "confident", 0.25),
    "nan at threshold 0": (SURE, {"threshold": 0.0, "estimator": Undefined()}, "no_signal", None),
    "empty answer at threshold 0": (("", ["Paris"]), {"threshold": 0.0}, "no_signal", None),
    "no logprobs at threshold 0": (SURE, {"threshold": 0.0, "estimator": MeanLogprob()}, "no_signal", None),
    "probable empty answer": (
        (says("", -0.01), ["Paris"]),
        {"threshold": 0.0, "estimator": MeanLogprob()},
        "no_signal",
        None,
    ),
    "infinite uncertainty": (
        (says("Paris", -math.inf), ["Paris"]),
        {"threshold": 0.0, "estimator": MeanLogprob()},
        "no_signal",
        None,
    ),
    "empty samples": (("Paris", [""]), {"threshold": 0.0, "estimator": SemanticEntropy()}, "no_signal", None),
    "the engine fails": (ModelError("out of memory"), {"threshold": 0.0}, "edge_error", None),
    "the engine has a bug": (KeyError(SECRET), {"threshold": 0.0}, "edge_error", None),
    "the engine runs an iterator dry": (StopIteration(SECRET), {"threshold": 0.0}, "edge_error", None),
    "the estimator fails": (SURE, {"threshold": 0.0, "estimator": Broken()}, "no_signal", None),
}


@decides
@pytest.mark.parametrize("case", DECISIONS)
def test_decisions(decide: Decide, case: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each case has its route, reason and confidence, as strict JSON; neither record nor log quotes the prompt."""
    scripted, settings, reason, confidence = DECISIONS[case]
    settings = dict[str, Any](samples=4) | settings
    decision = decide(Router(engine(scripted), **settings), ASK)
    record = decision.record
    assert (record.route, record.reason) == ("edge" if reason == "confident" else "cloud", reason)
    assert record.confidence == (None if confidence is None else pytest.approx(confidence))
    assert (record.confidence is None) == (record.uncertainty is None)
    assert record.edge is not None
    failed = reason == "edge_error" or case == "the estimator fails"
    assert (record.error is not None) == failed
    document = json.dumps(record.to_dict(), allow_nan=False)
    assert SECRET not in document + caplog.text + repr(record)
    assert bool(caplog.records) == failed


@decides
def test_a_configuration_error_is_the_caller_s(decide: Decide) -> None:
    """What every request would fail at is raised and not paid for in cloud calls."""
    with pytest.raises(ConfigurationError, match="no chat template"):
        decide(Router(engine(ConfigurationError("The model has no chat template.")), samples=4), ASK)


@decides
def test_served_record_in_full(decide: Decide) -> None:
    """What the record of a served answer says about method, samples, tokens and cost."""
    router = Router(
        engine(("Paris", equiprobable_meanings(2))),
        estimator=SemanticEntropy(),
        threshold=0.4,
        samples=4,
        edge_price=Price(input_usd=1.0, output_usd=2.0),
    )
    decision = decide(router, ASK)
    record = decision.record
    assert decision.answer == says("Paris")
    assert record.confidence == pytest.approx(0.5)  # one over two equally likely meanings
    assert record.uncertainty == pytest.approx(math.log(2))
    assert (record.estimator, record.threshold) == ("semantic_entropy@2(structured@2(text@6))", 0.4)
    assert (record.samples, record.clusters) == (4, 2)
    assert (record.calibrated, record.certificate, record.error, record.cloud) == (False, None, None, None)
    assert record.edge is not None
    # The prompt once, the served answer's token and four samples of one token.
    assert (record.edge.model, record.edge.input_tokens, record.edge.output_tokens) == ("scripted-edge", 7, 5)
    assert record.edge.cost_usd == pytest.approx((7 * 1.0 + 5 * 2.0) / 1e6)
    assert record.edge.seconds > 0


@decides
@pytest.mark.parametrize(
    ("scripted", "prompt", "counts", "cost"),
    [
        (SURE, 0, (None, 5), None),
        ((Sample(text="Paris"), ["Paris"]), 7, (7, None), None),
        (("Paris", [Sample(text="Paris")]), 7, (7, None), None),
        (("", ["Paris"]), 7, (7, 0), 7e-6),  # a blank answer has none
        (("Paris", [""]), 7, (7, 1), 8e-6),
    ],
)
def test_tokens_that_the_edge_does_not_tell_are_none(
    decide: Decide, scripted: Any, prompt: int, counts: tuple[int | None, int | None], cost: float | None
) -> None:
    """A server that replies without usage has no cost, which is not a cost of zero."""
    edge = ScriptedEngine({SECRET: scripted}, input_tokens=prompt)
    usage = decide(Router(edge, samples=4, edge_price=Price(input_usd=1.0, output_usd=1.0)), ASK).record.edge
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == counts
    assert usage.cost_usd == (cost and pytest.approx(cost))


@decides
def test_edge_is_asked_for_one_answer_then_for_samples(decide: Decide) -> None:
    """The served answer has the request's temperature; the samples have the router's, and the caller's messages."""
    edge = engine()
    decide(Router(edge, samples=5, sampling_temperature=0.9), ASK)
    assert [(messages, n, options.temperature) for messages, n, options in edge.requests] == [
        (ASK, 1, 0.0),
        (ASK, 5, 0.9),
    ]


@pytest.mark.parametrize(("scripted", "estimator"), [(SURE, MeanLogprob()), (("", ["Paris"]), Disagreement())])
def test_no_samples_without_need(scripted: Any, estimator: Estimator) -> None:
    """An estimator that looks at no samples, or an answer that cannot be served, costs no sampling."""
    edge = engine(scripted)
    assert Router(edge, estimator=estimator).decide(ASK).record.samples == 0
    assert [n for _, n, _ in edge.requests] == [1]


def test_the_log_says_what_an_engine_says_of_its_failure(caplog: pytest.LogCaptureFixture) -> None:
    """In confroute's own words, which tell what to do and quote no prompt; of any other error the class alone."""
    for error in (ContextLengthError(9, 5, 8), RuntimeError(SECRET)):
        Router(engine(error), samples=2).decide(ASK)
    assert "The prompt has 9 tokens" in caplog.text
    assert "(RuntimeError)" in caplog.text
    assert SECRET not in caplog.text


def test_options_reach_the_edge() -> None:
    """The caller's limits hold for the samples as for the answer; temperature and top-p are the router's own, for the
    caller's may leave nothing to chance."""
    edge = engine()
    options = SamplingOptions(temperature=0.0, top_p=0.1, max_tokens=3, stop=("\n",), seed=7)
    Router(edge, samples=2).decide(ASK, options)
    assert edge.requests[0][2] == options
    assert edge.requests[1][2] == SamplingOptions(temperature=0.7, top_p=0.9, max_tokens=3, stop=("\n",), seed=7)


def test_the_edge_is_given_a_developer_message_as_a_system_message() -> None:
    """Edge models know no other name of it, and a certificate takes the one for the other."""
    edge = ScriptedEngine({"hi": ("a", ["a"])})
    developer, user = {"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hi"}
    Router(edge, samples=2).decide([developer, user])
    assert [messages for messages, _, _ in edge.requests] == [[{**developer, "role": "system"}, user]] * 2


@pytest.mark.parametrize(("told", "most"), [(1, 32), (100, 200), (0, 300)])
def test_a_sample_may_be_twice_as_long_as_the_answer(told: int, most: int) -> None:
    """And 32 tokens in any case. Where the engine does not tell how many the answer has, it may be very long."""
    edge = engine((Sample(text="word " * 100, output_tokens=told), ["Paris"]))
    Router(edge, samples=4).decide(ASK, options=SamplingOptions(max_tokens=300))
    assert edge.requests[1][2].max_tokens == most


def test_a_drawn_answer_is_not_drawn_again_as_its_sample() -> None:
    """With the seed of the answer, the first sample would be a copy of it."""
    edge = engine()
    Router(edge, samples=2).decide(ASK, SamplingOptions(temperature=0.7, seed=7))
    assert [options.seed for _, _, options in edge.requests] == [7, 8]


@decides
@pytest.mark.parametrize("kind", [Miscounting, MiscountingSamples])
def test_wrong_number_of_samples_escalates(decide: Decide, kind: type[ScriptedEngine]) -> None:
    """Missing samples would raise the agreement of the rest, so they are a failure of the edge."""
    decision = decide(Router(kind({SECRET: SURE}), threshold=0.5, samples=4), ASK)
    assert (decision.record.route, decision.record.reason) == ("cloud", "edge_error")
    assert decision.record.error == "RuntimeError"


@decides
def test_no_messages(decide: Decide) -> None:
    """Nothing to answer is the caller's error, not a reason to pay the cloud."""
    edge = engine()
    with pytest.raises(InputError, match="no messages"):
        decide(Router(edge), [])
    assert edge.requests == []


def make_router(edge: Any = None, **settings: Any) -> Router:
    return Router(engine() if edge is None else edge, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 0.5, "policy": Threshold(0.5)}, "not both"),
        ({"threshold": -0.1}, "at least 0"),
        ({"threshold": math.nan}, "at least 0"),
        ({"samples": 1}, "at least 2"),
        ({"sampling_temperature": 0.0}, "above 0"),
        ({"sampling_temperature": math.nan}, "above 0"),
        ({"on_cloud_error": "ignore"}, '"raise" or "edge"'),
        ({"edge": "no-such-model"}, "Unknown edge model"),
        ({"edge": 3}, "not int"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    """Each wrong setting is refused when the router is made, with what was given."""
    with pytest.raises(ConfigurationError, match=message):
        make_router(**settings)


async def test_concurrent_decisions_have_their_own_records() -> None:
    """32 decisions at once, sure and unsure ones mixed, each get the confidence of their own question."""
    agreeing = {f"question {i}": i % 5 for i in range(32)}
    edge = ScriptedEngine({q: (q, [q] * k + ["something else"] * (4 - k)) for q, k in agreeing.items()})
    router = Router(edge, samples=4, threshold=0.5)
    decisions = await asyncio.gather(*(router.adecide([{"role": "user", "content": q}]) for q in agreeing))
    for decision, (question, k) in zip(decisions, agreeing.items(), strict=True):
        assert decision.answer is not None
        assert decision.answer.text == question
        assert decision.record.confidence == k / 4
        assert decision.record.route == ("edge" if k >= 2 else "cloud")


async def test_asynchronous_engine_is_awaited() -> None:
    """An engine's own agenerate is used on an event loop, and its plain generate elsewhere."""
    used: list[str] = []

    class Both(ScriptedEngine):
        def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
            used.append("generate")
            return super().generate(messages, n=n, options=options)

        async def agenerate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
            used.append("agenerate")
            return super().generate(messages, n=n, options=options)

    router = Router(Both({SECRET: SURE}))
    assert (await router.adecide(ASK)).record.route == "edge"
    assert used == ["agenerate", "agenerate"]
    assert router.decide(ASK).record.route == "edge"
    assert used[2:] == ["generate", "generate"]


def test_decision_is_a_flow_anyone_can_drive() -> None:
    """The procedure does no I/O of its own: answered by hand, it decides."""
    flow: Flow[Decision] = Router(engine(), samples=2).decision(Request(messages=ASK))
    answer = flow.send(None).run()
    settled = flow.send(answer).run()
    assert settled is None
    samples = flow.send(settled).run()
    estimate = flow.send(samples).run()
    with pytest.raises(StopIteration) as stop:
        flow.send(estimate)
    assert stop.value.value.record.reason == "confident"


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        ("estimator", "an Estimator"),
        ("policy", "a policy"),
        ("calibrator", "a Calibrator"),
        ("certificate", "a Certificate or the path"),
    ],
)
@pytest.mark.parametrize("given", [0, 0.5, "sk-secret.json", Disagreement, Threshold, Platt, object()])
def test_what_is_no_such_part_is_refused(part: str, wanted: str, given: Any) -> None:
    """When the router is made, in words that say what is wanted: each request would escalate otherwise."""
    if part == "certificate" and isinstance(given, str):
        wanted = "cannot be read"  # the name of a file
    with pytest.raises(ConfigurationError, match=f"{part} .*{wanted}") as told:
        Router(engine(), **{part: given})
    assert part == "certificate" or "sk-secret" not in str(told.value)
