"""On an event loop: what takes microseconds is done there and then, and what may take long in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from confroute import (
    Disagreement,
    Estimate,
    Evidence,
    Generation,
    MeanLogprob,
    Router,
    SamplingOptions,
    SemanticEntropy,
)
from confroute.equivalence import Equivalence, ExactEquivalence, RougeL, StructuredEquivalence, TextEquivalence
from confroute.estimators import CoCoA, LogisticCombination
from confroute.identity import Identified
from confroute.records import Message
from confroute.testing import ScriptedEngine
from tests.scripted import ASK, UNSURE


class Awaited(ScriptedEngine):
    async def agenerate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        return self.generate(messages, n=n, options=options)


class Slow(Equivalence):
    """One that does not say it is quick, as a model would be."""

    name = "slow"

    def same(self, pairs: Sequence[tuple[str, str]], *, question: str) -> list[bool]:
        return [False for _ in pairs]


class Watched(Disagreement):
    """Notes the threads that it runs on."""

    seen: list[threading.Thread]

    def __init__(self, equivalence: Equivalence) -> None:
        super().__init__(equivalence)
        object.__setattr__(self, "seen", [])

    def estimate(self, evidence: Evidence) -> Estimate:
        self.seen.append(threading.current_thread())
        return super().estimate(evidence)

    def bounds(self, evidence: Evidence, remaining: int) -> tuple[float, float] | None:
        self.seen.append(threading.current_thread())
        return super().bounds(evidence, remaining)


def threads(equivalence: Equivalence, samples: Sequence[str], answer: str = "Paris") -> set[bool]:
    """Whether the estimator ran on the event loop's own thread, each time that it ran."""
    watched = Watched(equivalence)
    router = Router(Awaited({ASK[0]["content"]: (answer, list(samples))}), estimator=watched, samples=len(samples))
    asyncio.run(router.adecide(ASK))
    assert len(watched.seen) >= 2
    return {thread is threading.current_thread() for thread in watched.seen}


@pytest.mark.parametrize("equivalence", [TextEquivalence(), ExactEquivalence(), StructuredEquivalence()])
def test_a_comparison_of_words_waits_for_no_thread(equivalence: Equivalence) -> None:
    assert threads(equivalence, UNSURE[1]) == {True}


@pytest.mark.parametrize("equivalence", [Slow(), RougeL(), StructuredEquivalence(otherwise=Slow())])
def test_a_comparison_that_may_take_long_does_not_stop_the_event_loop(equivalence: Equivalence) -> None:
    assert threads(equivalence, UNSURE[1]) == {False}


def test_nor_does_a_quick_one_of_long_texts() -> None:
    # Before there are samples there is nothing long to read.
    assert threads(TextEquivalence(), ["word " * 3_000, "other " * 3_000]) == {True, False}


def test_nor_where_it_is_the_answer_that_is_long() -> None:
    assert threads(TextEquivalence(), UNSURE[1], answer="word " * 3_000) == {False}


def test_a_request_is_judged_though_the_application_keeps_all_threads_of_its_loop() -> None:
    async def judged() -> str:
        with ThreadPoolExecutor(1) as pool:
            asyncio.get_running_loop().set_default_executor(pool)
            over = threading.Event()
            kept = asyncio.ensure_future(asyncio.to_thread(over.wait, 20))
            try:
                router = Router(Awaited({ASK[0]["content"]: UNSURE}), threshold=0.9)
                decision = await asyncio.wait_for(router.adecide(ASK), 10)
            finally:
                over.set()
                await kept
        return decision.record.reason

    assert asyncio.run(judged()) == "uncertain"


QUICK: list[Identified] = [Disagreement(), SemanticEntropy(), MeanLogprob(), CoCoA()]
SLOW: list[Identified] = [
    SemanticEntropy(equivalence=Slow()),
    CoCoA(equivalence=StructuredEquivalence(otherwise=Slow())),
    LogisticCombination((Disagreement(), MeanLogprob()), weights=(1.0, 1.0), bias=0.0),
]


@pytest.mark.parametrize("method", [*QUICK, *SLOW], ids=lambda method: method.identity)
def test_a_method_is_as_quick_as_the_methods_it_is_made_of(method: Identified) -> None:
    assert method.is_quick is (method in QUICK)


def test_what_quick_work_raises_reaches_the_record_and_not_the_loop() -> None:
    class Stopping(MeanLogprob):
        def estimate(self, evidence: Evidence) -> Estimate:
            raise StopIteration

    router = Router(Awaited({ASK[0]["content"]: UNSURE}), estimator=Stopping())
    record = asyncio.run(router.adecide(ASK)).record
    assert (record.reason, record.error) == ("no_signal", "RuntimeError")
