"""Delivering the answer: every reason, whole and streamed, synchronously and on an event loop."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any, get_args

import pytest

from confroute import (
    ConfidenceRecord,
    ModelError,
    Price,
    Router,
)
from confroute.calibration import Certificate, answer_settings, template_hash
from confroute.contract import Answer, Request
from confroute.records import Reason, SamplingOptions
from confroute.steps import Call, arun, astream, run, stream
from confroute.testing import says
from tests.scripted import ASK, SECRET, SURE, UNSURE, MiscountingSamples, ScriptedCloud, engine

Pieces = list[Answer[Any]]


def by_answer(router: Router, request: Request, cloud: ScriptedCloud) -> Pieces:
    return [run(router.answer(request, cloud))]


def by_aanswer(router: Router, request: Request, cloud: ScriptedCloud) -> Pieces:
    return [asyncio.run(arun(router.answer(request, cloud)))]


def by_stream(router: Router, request: Request, cloud: ScriptedCloud) -> Pieces:
    return list(stream(router.stream(request, cloud)))


def by_astream(router: Router, request: Request, cloud: ScriptedCloud) -> Pieces:
    async def drive() -> Pieces:
        return [piece async for piece in astream(router.stream(request, cloud))]

    return asyncio.run(drive())


delivers = pytest.mark.parametrize("deliver", [by_answer, by_aanswer, by_stream, by_astream])
streams = pytest.mark.parametrize("deliver", [by_stream, by_astream])
Deliver = Callable[[Router, Request, ScriptedCloud], Pieces]


def said(pieces: Pieces) -> str:
    return "".join(piece.sample.text if piece.sample else piece.native or "" for piece in pieces)


NOTHING_KEPT = Certificate(
    kind="harm",
    method="rcps",
    target=0.05,
    delta=0.1,
    n=20,
    threshold=None,
    bound=0.2,
    kept=0.0,
    date="2026-11-24T00:00:00+00:00",
    edge="scripted-edge",
    engine="ScriptedEngine",
    estimator="disagreement@1(structured@2(text@6))",
    samples=4,
    sampling={"temperature": 0.7, "top_p": 0.9},
    answers=answer_settings(SamplingOptions()),
    template=template_hash([]),
)

# Each way to deliver: the edge's script, settings, the cloud, unsupported, route, reason, text.
DELIVERIES: dict[str, tuple[Any, dict[str, Any], Exception | None, str | None, Reason, str]] = {
    "confident": (SURE, {}, None, None, "confident", "Paris"),
    "uncertain": (UNSURE, {}, None, None, "uncertain", "Stone Town"),
    "no signal": (("", [""]), {"threshold": 0.0}, None, None, "no_signal", "Stone Town"),
    "edge error": (ModelError("x"), {}, None, None, "edge_error", "Stone Town"),
    "unsupported": (SURE, {}, None, "tools", "unsupported", "Stone Town"),
    "uncertified": (SURE, {"certificate": NOTHING_KEPT}, None, None, "uncertified", "Stone Town"),
    "cloud error": (UNSURE, {"on_cloud_error": "edge"}, TimeoutError(SECRET), None, "cloud_error", "Paris"),
}


def delivery(case: str, hooks: Sequence[Callable[[ConfidenceRecord], object]] = ()) -> tuple[Router, Request, Any]:
    scripted, settings, error, unsupported, _, _ = DELIVERIES[case]
    cloud = ScriptedCloud(error=error)
    if error is not None:
        cloud.chunks = ()
    settings = dict[str, Any](samples=4, hooks=hooks) | settings
    router = Router(engine(scripted), **settings)
    return router, Request(messages=ASK, unsupported=unsupported), cloud


@delivers
@pytest.mark.parametrize("case", DELIVERIES)
def test_deliveries(deliver: Deliver, case: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each reason delivers the right text with one record, the last piece's, given once to each hook."""
    seen: list[ConfidenceRecord] = []
    router, request, cloud = delivery(case, [seen.append, seen.append])
    pieces = deliver(router, request, cloud)
    reason, text = DELIVERIES[case][4:]
    record = pieces[-1].record
    assert said(pieces) == text
    assert record is not None
    assert [piece.record for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert record.reason == reason
    assert record.route == ("edge" if text == "Paris" else "cloud")
    assert seen == [record, record]
    assert len(cloud.calls) == (reason != "confident")
    assert SECRET not in json.dumps(record.to_dict(), allow_nan=False) + caplog.text


def test_every_reason_is_tested() -> None:
    """A reason added to the records needs a case above."""
    assert {case[4] for case in DELIVERIES.values()} == set(get_args(Reason))


@delivers
def test_rejected_work_is_charged(deliver: Deliver) -> None:
    """The edge's tokens stand beside the cloud's where the cloud served, each with its cost."""
    router = Router(
        engine(UNSURE),
        samples=4,
        edge_price=Price(input_usd=1.0, output_usd=1.0),
        cloud_price=Price(input_usd=10.0, output_usd=100.0),
    )
    record = deliver(router, Request(messages=ASK), ScriptedCloud())[-1].record
    assert record is not None
    assert record.edge is not None
    assert record.cloud is not None
    assert (record.edge.input_tokens, record.edge.output_tokens) == (7, 5)
    assert (record.cloud.model, record.cloud.input_tokens, record.cloud.output_tokens) == ("scripted-cloud", 20, 4)
    assert record.edge.cost_usd == pytest.approx(12e-6)
    assert record.cloud.cost_usd == pytest.approx(600e-6)


@delivers
def test_answer_is_charged_when_its_samples_fail(deliver: Deliver) -> None:
    """The first call's tokens are in the record though the second one failed, and so are those that it did bring."""
    router = Router(MiscountingSamples({SECRET: SURE}), samples=4)
    record = deliver(router, Request(messages=ASK), ScriptedCloud())[-1].record
    assert record is not None
    assert record.reason == "edge_error"
    assert record.edge is not None
    assert record.edge.output_tokens == 1 + 3


@delivers
def test_unknown_usage_is_none(deliver: Deliver) -> None:
    """A cloud that does not tell its tokens has no cost, which is not a cost of zero."""
    router = Router(engine(UNSURE), cloud_price=Price(input_usd=1.0, output_usd=1.0))
    record = deliver(router, Request(messages=ASK), ScriptedCloud(usage=(20, None)))[-1].record
    assert record is not None
    assert record.cloud is not None
    assert (record.cloud.input_tokens, record.cloud.output_tokens, record.cloud.cost_usd) == (20, None, None)


@delivers
def test_cloud_error_is_raised_by_default(deliver: Deliver) -> None:
    """The cloud's own error object reaches the caller."""
    failure = ConnectionError("busy")
    with pytest.raises(ConnectionError) as caught:
        deliver(Router(engine(UNSURE)), Request(messages=ASK), ScriptedCloud(chunks=(), error=failure))
    assert caught.value is failure


@delivers
@pytest.mark.parametrize("scripted", [("", ["Paris"]), (" \n", ["Paris"]), ModelError("x")])
def test_cloud_error_without_an_answer_to_fall_back_to(deliver: Deliver, scripted: Any) -> None:
    """No answer or an empty one is never served in the cloud's stead."""
    router = Router(engine(scripted), on_cloud_error="edge")
    with pytest.raises(TimeoutError):
        deliver(router, Request(messages=ASK), ScriptedCloud(chunks=(), error=TimeoutError("busy")))


@delivers
def test_cloud_error_is_recorded_by_class(deliver: Deliver) -> None:
    """The fallback's record keeps the edge's confidence and names the cloud that failed and how."""
    router, request, cloud = delivery("cloud error")
    record = deliver(router, request, cloud)[-1].record
    assert record is not None
    assert (record.error, record.confidence) == ("TimeoutError", 0.25)
    assert record.cloud is not None
    assert record.cloud.output_tokens is None


@streams
@pytest.mark.parametrize("on_cloud_error", ["raise", "edge"])
def test_cloud_error_after_the_first_chunk_is_raised(deliver: Deliver, on_cloud_error: Any) -> None:
    """What was streamed cannot be taken back, so another answer must not follow it."""
    router = Router(engine(UNSURE), on_cloud_error=on_cloud_error)
    with pytest.raises(TimeoutError):
        deliver(router, Request(messages=ASK), ScriptedCloud(chunks=("Stone",), error=TimeoutError("busy")))


def test_chunks_arrive_before_a_late_error() -> None:
    """The pieces before the error are handed out as they come, before the cloud is read on."""
    cloud = ScriptedCloud(chunks=("Stone",), error=TimeoutError("busy"))
    driver = stream(Router(engine(UNSURE)).stream(Request(messages=ASK), cloud))
    assert next(driver).native == "Stone"
    with pytest.raises(TimeoutError):
        next(driver)


def test_nothing_is_emitted_before_the_decision() -> None:
    """When the first piece comes out, all of the edge's work is done and the cloud is open."""
    edge, cloud = engine(UNSURE), ScriptedCloud()
    first = next(stream(Router(edge, samples=4).stream(Request(messages=ASK), cloud)))
    assert first.native == "Stone"
    assert [n for _, n, _ in edge.requests] == [1, 4]


@streams
def test_edge_answer_is_one_piece(deliver: Deliver) -> None:
    """A served edge answer is emitted once, whole, with its record."""
    pieces = deliver(Router(engine(SURE)), Request(messages=ASK), ScriptedCloud())
    assert [piece.sample for piece in pieces] == [says("Paris")]


@delivers
def test_unsupported_does_not_run_the_edge(deliver: Deliver) -> None:
    """A request the edge cannot handle costs nothing on the edge."""
    edge = engine()
    pieces = deliver(Router(edge), Request(messages=ASK, unsupported="tools"), ScriptedCloud())
    assert edge.requests == []
    assert pieces[-1].record is not None
    assert pieces[-1].record.edge is None


@delivers
@pytest.mark.parametrize("case", ["confident", "uncertain", "cloud error"])
def test_failing_hook_does_not_break_the_answer(deliver: Deliver, case: str, caplog: pytest.LogCaptureFixture) -> None:
    """A hook's error is logged; the answer arrives and the hooks after it are called."""
    seen: list[ConfidenceRecord] = []

    def failing(record: ConfidenceRecord) -> None:
        raise ZeroDivisionError

    router, request, cloud = delivery(case, [failing, seen.append])
    with caplog.at_level(logging.ERROR):
        pieces = deliver(router, request, cloud)
    assert said(pieces) == DELIVERIES[case][5]
    assert seen == [pieces[-1].record]
    assert "hook failed" in caplog.text


@delivers
@pytest.mark.parametrize("case", DELIVERIES)
def test_announcement_precedes_the_last_piece(deliver: Deliver, case: str) -> None:
    """The framework hears of the final record once, whoever answered."""
    announced: list[ConfidenceRecord] = []
    router, request, cloud = delivery(case)

    def announce(record: ConfidenceRecord) -> Call:
        return Call(lambda: announced.append(record))

    request = Request(messages=request.messages, unsupported=request.unsupported, announce=announce)
    assert [deliver(router, request, cloud)[-1].record] == announced
