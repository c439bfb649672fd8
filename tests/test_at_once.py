"""An answer and its samples asked for at once: only where they are needed anyway, and never another decision."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import (
    Disagreement,
    Estimator,
    Generation,
    MeanLogprob,
    Router,
    SamplingOptions,
    SemanticEntropy,
    Threshold,
)
from confroute.contract import Decision
from confroute.estimators import CoCoA, LogisticCombination
from confroute.records import ConfidenceRecord, Message
from confroute.testing import ScriptedEngine, says
from tests.scripted import ASK, SECRET, SURE, UNSURE, AtOnce, Miscounting


class Scripted(AtOnce, ScriptedEngine):
    """Answers two requests at once as it would one after the other."""


class ScriptedAwaited(Scripted):
    async def agenerate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        return self.generate(messages, n=n, options=options)

    async def agenerate_with_samples(self, messages: Sequence[Message], **request: Any) -> list[Generation]:
        return self.generate_with_samples(messages, **request)


class Losing(AtOnce, Miscounting):
    """Returns one sample too few."""


def decided(router: Router, options: SamplingOptions | None = None) -> Decision:
    return router.decide(ASK, options=options)


def adecided(router: Router, options: SamplingOptions | None = None) -> Decision:
    return asyncio.run(router.adecide(ASK, options=options))


def calls(of: ScriptedEngine) -> list[int]:
    return [n for _, n, _ in of.requests]


def untimed(record: ConfidenceRecord) -> ConfidenceRecord:
    edge = record.edge and replace(record.edge, seconds=0.0)
    return replace(record, edge=edge)


ESTIMATORS: list[Estimator] = [
    Disagreement(),
    SemanticEntropy(),
    MeanLogprob(),
    CoCoA(),
    LogisticCombination([MeanLogprob(), Disagreement()], weights=[1.0, 2.0], bias=-1.0),
]


@pytest.mark.parametrize("kind", [Scripted, ScriptedAwaited])
@pytest.mark.parametrize("decide", [decided, adecided])
@given(
    answer=st.sampled_from(["Paris", "Lyon", "", "a long answer of more words than any sample has"]),
    drawn=st.lists(st.sampled_from(["Paris", "Lyon", "Rome", ""]), min_size=1, max_size=8),
    estimator=st.sampled_from(ESTIMATORS),
    threshold=st.sampled_from([0.0, 0.2, 0.5, 1.0, 2.0]),
    wave=st.integers(2, 8),
    options=st.builds(
        SamplingOptions, seed=st.none() | st.integers(0, 9), max_tokens=st.integers(1, 99), top_p=st.floats(0.1, 1.0)
    ),
)
def test_never_another_decision(
    decide: Callable[..., Decision],
    kind: type[Scripted],
    answer: str,
    drawn: list[str],
    estimator: Estimator,
    threshold: float,
    wave: int,
    options: SamplingOptions,
) -> None:
    """Decision, record and what the engine is asked are those of an engine that is asked one after the other, but for
    the samples beside an empty answer."""
    script = {SECRET: (says(answer, *[-0.5] * len(answer.split())), [says(text, -1.0) for text in drawn])}
    one_by_one, at_once = ScriptedEngine(script), kind(script)
    first, second = (
        decide(Router(edge, estimator=estimator, policy=Threshold(threshold), samples=8, wave=wave), options)
        for edge in (one_by_one, at_once)
    )
    assert second.answer == first.answer
    if answer:
        assert untimed(second.record) == untimed(first.record)
        assert at_once.requests == one_by_one.requests
    else:
        assert (second.record.route, second.record.reason) == (first.record.route, first.record.reason)
        assert second.record.samples == 0


@pytest.mark.parametrize(
    ("settings", "together"),
    [
        ({}, True),
        ({"samples": 10, "wave": 4}, True),
        ({"curtail": False, "estimator": CoCoA()}, True),
        ({"policy": Threshold(0.0)}, False),  # served whatever the samples say
        ({"policy": Threshold(2.0)}, False),  # escalated whatever they say
        ({"policy": Threshold(2.0), "curtail": False}, True),
        ({"estimator": MeanLogprob()}, False),
        ({"estimator": CoCoA()}, False),  # a sure enough answer needs no samples
    ],
)
def test_at_once_only_where_samples_are_drawn_anyway(settings: dict[str, Any], together: bool) -> None:
    """Where the threshold or the answer alone may settle it, the answer comes first."""
    asked: list[int] = []

    class Noting(Scripted):
        def generate_with_samples(self, messages: Sequence[Message], **request: Any) -> list[Generation]:
            asked.append(request["n"])
            return super().generate_with_samples(messages, **request)

    router = Router(Noting({SECRET: UNSURE}), **settings)
    router.decide(ASK)
    assert asked == ([min(router.wave, router.samples)] if together else [])


def test_the_rest_of_the_samples_may_still_be_spared() -> None:
    """Only the first wave comes with the answer; what that settles is not drawn on."""
    edge = Scripted({SECRET: SURE})
    record = Router(edge, samples=10, wave=3, policy=Threshold(0.3)).decide(ASK).record
    assert (record.samples, record.route) == (3, "edge")
    assert calls(edge) == [1, 3]


def test_tokens_of_both_are_counted() -> None:
    """The prompt once, and what samples beside an empty answer took, too."""
    record = Router(Scripted({SECRET: SURE}), samples=4).decide(ASK).record
    assert record.edge is not None
    assert (record.edge.input_tokens, record.edge.output_tokens) == (7, 5)
    assert record.edge.seconds > 0
    empty = Router(Scripted({SECRET: ("", ["Paris"])}), samples=4).decide(ASK).record
    assert empty.edge is not None
    assert (empty.reason, empty.edge.output_tokens) == ("no_signal", 4)


@pytest.mark.parametrize("edge", [Losing({SECRET: SURE}), Scripted({SECRET: RuntimeError("secret")})])
@pytest.mark.parametrize("decide", [decided, adecided])
def test_its_failure_is_an_edge_error(decide: Callable[..., Decision], edge: ScriptedEngine) -> None:
    """It escalates, as that of a single request does."""
    record = decide(Router(edge)).record
    assert (record.route, record.reason) == ("cloud", "edge_error")


def test_a_request_that_the_engine_does_not_take_is_not_asked() -> None:
    """Nor its samples."""
    edge = Scripted({SECRET: SURE})
    options = SamplingOptions(json_schema={"type": "object"})
    assert Router(edge).decide(ASK, options=options).record.reason == "unsupported"
    assert edge.requests == []
