"""Samples that are left out would not have changed the decision."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from confroute import Disagreement, Estimator, Evidence, Router, SemanticEntropy
from confroute.estimators import (
    CoCoA,
    DegreeMatrix,
    LexicalSimilarity,
    LogisticCombination,
    MeanLogprob,
    SequenceNLL,
    VoteShare,
)
from confroute.testing import ScriptedEngine, says

N = 10
ESTIMATORS: list[Estimator] = [
    Disagreement(),
    VoteShare(),
    SemanticEntropy(),
    DegreeMatrix(),
    LexicalSimilarity(),
    CoCoA(),
    CoCoA(own=SequenceNLL()),
    LogisticCombination((Disagreement(), MeanLogprob(), SemanticEntropy()), weights=(2.0, 1.5, -0.3), bias=-1.5),
]
TEXTS = ("Paris", "It is Paris.", "Lyon", "Rome", "red green", "green blue", "blue yellow", "1969", "")


def draw(rng: random.Random) -> Evidence:
    """An answer and ten samples out of few texts, some of which are alike only in part, so that the equivalence is not
    transitive; a skewed choice makes unanimous and scattered draws both frequent."""
    texts = rng.choices(TEXTS, k=rng.choice((1, 2, 3, 6)))
    samples = tuple(says(rng.choice(texts), -rng.expovariate(1.0)) for _ in range(N))
    return Evidence(question="", answer=says(rng.choice(TEXTS[:-1]), -rng.expovariate(2.0)), samples=samples)


def replay(estimator: Estimator, evidence: Evidence, threshold: float, rng: random.Random) -> tuple[bool, int]:
    """The decision in waves of two or three, and the samples that it took."""
    used = 0
    while used < N:
        bounds = estimator.bounds(replace(evidence, samples=evidence.samples[:used]), N - used)
        verdicts = {estimator.confidence(bound) >= threshold for bound in bounds} if bounds else set[bool]()
        if len(verdicts) == 1:
            return verdicts.pop(), used
        used = min(N, used + rng.choice((2, 3)))
    return estimator.confidence(estimator.estimate(evidence).uncertainty) >= threshold, used


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=[estimator.identity for estimator in ESTIMATORS])
def test_the_curtailed_decision_is_the_full_one(estimator: Estimator) -> None:
    """On 10,000 random draws over all estimators, stopping at random thresholds decides as all samples do, NaN
    included, and leaves out at least a tenth of the samples."""
    rng = random.Random(4711)
    draws = 10_000 // len(ESTIMATORS)
    taken = 0
    for _ in range(draws):
        evidence = draw(rng)
        # Also thresholds that some estimate hits exactly.
        threshold = rng.choice((rng.random(), rng.randint(0, N) / N, 0.5))
        decision, used = replay(estimator, evidence, threshold, rng)
        full = estimator.confidence(estimator.estimate(evidence).uncertainty) >= threshold
        assert decision == full, (evidence, threshold, used)
        taken += used
    assert taken <= 0.9 * N * draws


@pytest.mark.parametrize("total", range(4, 13))
def test_bounds_meet_the_estimate(total: int) -> None:
    """Once all samples are drawn both bounds are the estimate to the last digit: thresholds of certificates are values
    that estimates had, compared after a calibrator that rounds nothing."""
    rng = random.Random(total)
    for _ in range(200):
        samples = tuple(says(rng.choice(TEXTS[:4]), -rng.random()) for _ in range(total))
        evidence = Evidence(question="", answer=says("Paris", -0.1), samples=samples)
        for estimator in (SemanticEntropy(), Disagreement(), VoteShare()):
            uncertainty = estimator.estimate(evidence).uncertainty
            assert estimator.bounds(evidence, 0) == (uncertainty, uncertainty)


def test_an_answer_sure_by_itself_needs_no_sample() -> None:
    """In CoCoA a served answer whose own uncertainty is below the threshold is kept for free."""
    edge = ScriptedEngine({"q": (says("Paris", -0.1), ["Rome"])})
    record = Router(edge, estimator=CoCoA(), threshold=0.8).decide([{"role": "user", "content": "q"}]).record
    assert (record.route, record.samples, record.samples_planned) == ("edge", 0, N)
    assert record.uncertainty == pytest.approx(0.1)  # the bound: were no sample like it
    assert len(edge.requests) == 1


def run_sync(router: Router) -> Any:
    return router.decide([{"role": "user", "content": "q"}]).record


def run_async(router: Router) -> Any:
    return asyncio.run(router.adecide([{"role": "user", "content": "q"}])).record


@pytest.mark.parametrize("decide", [run_sync, run_async], ids=["decide", "adecide"])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=[estimator.identity for estimator in ESTIMATORS])
def test_the_router_decides_as_without_curtailing(estimator: Estimator, decide: Callable[[Router], Any]) -> None:
    """The router in waves has the route of the router that draws all, its uncertainty is on the same side of the
    threshold, and it never draws a single sample."""
    rng = random.Random(7)
    for _ in range(40):
        evidence = draw(rng)
        threshold = rng.randint(0, N) / N
        waves = WavesEngine(evidence)
        full = decide(Router(WavesEngine(evidence), estimator=estimator, threshold=threshold, curtail=False))
        record = decide(Router(waves, estimator=estimator, threshold=threshold, wave=3))
        assert record.route == full.route
        assert record.samples <= full.samples == full.samples_planned == record.samples_planned
        if record.confidence is not None:
            assert (record.confidence >= threshold) == (record.route == "edge")
        assert 1 not in waves.drawn


class WavesEngine:
    """Gives the answer, then the samples of some evidence one wave after the other."""

    model = "waves"

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.drawn: list[int] = []

    def generate(self, messages: Any, *, n: int, options: Any) -> Any:
        from confroute import Generation

        if options.temperature == 0:
            return Generation(samples=(self.evidence.answer,), input_tokens=1)
        begin = sum(self.drawn)
        self.drawn.append(n)
        return Generation(samples=self.evidence.samples[begin : begin + n], input_tokens=1)


def test_an_engine_says_how_many_at_a_time() -> None:
    """Without a wave of the caller's, the engine's own preference holds; without either, all come at once."""
    engine = WavesEngine(Evidence(question="", answer=says("Paris"), samples=(says("Paris"), says("Rome")) * 5))
    Router(engine, threshold=0.5).decide([{"role": "user", "content": "q"}])
    assert engine.drawn == [10]
    engine = WavesEngine(engine.evidence)
    engine.wave = 4  # type: ignore[attr-defined]
    Router(engine, threshold=0.5).decide([{"role": "user", "content": "q"}])
    assert engine.drawn == [4, 4, 2]


def test_waves_of_one_seed_differ() -> None:
    """Each wave goes on with the seed where the last one stopped, or all would draw the same."""
    engine = ScriptedEngine({"q": ("Paris", ["Paris", "Rome"])})
    from confroute import SamplingOptions

    Router(engine, threshold=0.5, wave=4).decide([{"role": "user", "content": "q"}], SamplingOptions(seed=7))
    assert [options.seed for _, n, options in engine.requests] == [7, 7, 11, 15]
