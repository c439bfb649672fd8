"""The demo's experiment."""

from __future__ import annotations

from confroute import Router, SamplingOptions
from confroute.demo.experiment import SEED, WatchedEdge
from confroute.testing import ScriptedEngine


def test_a_watched_edge_draws_what_the_engine_would() -> None:
    """The engine's wave holds behind the watch, no two waves of a question share a seed, and each question begins
    with the same one.
    """
    engine = ScriptedEngine({"q": ("Paris", ["Paris", "Rome"])})
    engine.wave = 4  # type: ignore[attr-defined]
    router = Router(WatchedEdge(engine), threshold=0.5)
    for _ in range(2):
        router.decide([{"role": "user", "content": "q"}], SamplingOptions(temperature=0.0))
    seeds = [(n, options.seed) for _, n, options in engine.requests]
    assert seeds == [(1, SEED), (4, SEED), (4, SEED + 4), (2, SEED + 8)] * 2


def test_the_watch_keeps_the_served_answer() -> None:
    """What the edge said is known also where the cloud answered."""
    watched = WatchedEdge(ScriptedEngine({"q": ("Paris", ["Rome", "Oslo"])}))
    decision = Router(watched, threshold=0.5).decide([{"role": "user", "content": "q"}])
    assert decision.record.route == "cloud"
    assert watched.answer is not None
    assert watched.answer.text == "Paris"
