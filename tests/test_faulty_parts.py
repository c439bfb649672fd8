"""A part of the caller's own that fails, or an answer that ends too early, escalates: no request is lost by it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from confroute import Disagreement, Estimate, Evidence, Router, SamplingOptions
from confroute.calibration import Calibrator
from confroute.contract import Request
from confroute.policies import Threshold
from confroute.records import Sample
from confroute.steps import run
from confroute.testing import ScriptedEngine
from tests.scripted import ASK, SECRET, SURE, engine


def broken(*_: Any) -> Any:
    raise ZeroDivisionError


class Own(Disagreement):
    """Disagreement with one method replaced."""

    __slots__ = ("does",)

    def __init__(self, **does: Any) -> None:
        super().__init__()
        object.__setattr__(self, "does", does)

    def estimate(self, evidence: Evidence) -> Estimate:
        return self.does.get("estimate", super().estimate)(evidence)

    def confidence(self, uncertainty: float) -> float:
        return self.does.get("confidence", super().confidence)(uncertainty)


@pytest.mark.parametrize("curtail", [True, False])
@pytest.mark.parametrize(
    "does",
    [
        {"estimate": broken},
        {"estimate": lambda _: None},
        {"estimate": lambda _: 0.1},
        {"estimate": lambda _: Estimate(uncertainty=None)},  # type: ignore[arg-type]
        {"confidence": broken},
        {"confidence": lambda _: "sure"},
    ],
    ids=["raises", "none", "a number", "no number in it", "confidence raises", "confidence no number"],
)
def test_an_estimator_that_fails_escalates(does: dict[str, Any], curtail: bool, caplog: Any) -> None:
    """Whatever it gives or raises, and whether samples may be left out; the record has the error's class."""
    record = Router(engine(SURE), estimator=Own(**does), samples=4, curtail=curtail).decide(ASK).record
    assert (record.route, record.reason, record.confidence) == ("cloud", "no_signal", None)
    assert record.error in ("ZeroDivisionError", "AttributeError", "TypeError")
    assert SECRET not in caplog.text


def test_a_policy_or_calibrator_that_fails_escalates() -> None:
    """As an estimator does."""

    class Broken(Threshold):
        serves = broken

    class Crooked(Calibrator):
        confidence = broken

    for settings in ({"policy": Broken(0.5)}, {"calibrator": Crooked()}):
        record = Router(engine(SURE), samples=4, **settings).decide(ASK).record  # type: ignore[arg-type]
        assert (record.route, record.reason, record.error) == ("cloud", "no_signal", "ZeroDivisionError")


@pytest.mark.parametrize("limited", [True, False])
def test_an_answer_cut_short_is_served_only_at_the_callers_own_limit(limited: bool) -> None:
    """Half a sentence is no answer, where nobody asked for less; and no sample is drawn for it."""
    cut = Sample(text="Paris is the", output_tokens=3, finish_reason="length")
    edge = ScriptedEngine({SECRET: (cut, [cut])})
    request = Request(messages=ASK, options=SamplingOptions(max_tokens=3), limited=limited)
    record = run(Router(edge, samples=4).decision(request)).record
    assert (record.route, record.reason) == (("edge", "confident") if limited else ("cloud", "edge_error"))
    if not limited:
        # Told from a broken model: it is for the caller to allow more tokens.
        assert record.error == "CutShortError"
        assert len(edge.requests) == 1


@pytest.mark.parametrize("limited", [True, False])
def test_json_cut_short_is_not_served(limited: bool, caplog: Any) -> None:
    """Though it reads as JSON: a number may go on. At nobody's limit is that an answer."""
    cut = Sample(text="76561197", output_tokens=8, finish_reason="length")
    edge = ScriptedEngine({SECRET: (cut, [cut])}, json_schema=True)
    options = SamplingOptions(max_tokens=8, json_schema={"type": "integer"})
    record = run(Router(edge, samples=4).decision(Request(messages=ASK, options=options, limited=limited))).record
    assert (record.route, record.reason) == ("cloud", "edge_error")
    assert len(edge.requests) == 1
    assert "cut short" in caplog.text
    assert "76561197" not in caplog.text


def test_confidences_of_long_answers_keep_their_order() -> None:
    """Two hundred tokens have tens or hundreds of nats."""
    from confroute.estimators import SAR, SequenceNLL

    for estimator in (SequenceNLL(), SAR()):
        confidences = [estimator.confidence(uncertainty) for uncertainty in (-9.0, 0.5, 20.0, 40.0, 60.0, 400.0, 700.0)]
        if isinstance(estimator, SequenceNLL):
            confidences = confidences[1:]
        assert sorted(set(confidences), reverse=True) == confidences
        assert math.isnan(estimator.confidence(math.nan))


@pytest.mark.parametrize("readable", [True, False])
def test_an_answer_that_the_caller_cannot_read_is_not_served(readable: bool, caplog: Any) -> None:
    """Nor told of; what it took is counted, and no sample is drawn for it."""
    edge = engine(SURE)
    seen: list[str] = []

    def read(answer: Sample) -> None:
        seen.append(answer.text)
        if not readable:
            raise ValueError(answer.text)

    record = run(Router(edge, samples=4).decision(Request(messages=ASK, read=read))).record
    assert seen == ["Paris"]
    assert (record.route, record.reason) == (("edge", "confident") if readable else ("cloud", "edge_error"))
    assert "Paris" not in caplog.text
    if not readable:
        assert len(edge.requests) == 1
        assert record.edge is not None
        assert record.edge.output_tokens
