"""Asks a routed chat model a set of questions and keeps what each tier said, took and cost."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from confroute.demo.questions import SYSTEM, Question
from confroute.edge import EdgeEngine
from confroute.evaluation import auroc, auroc_interval
from confroute.records import Generation, Message, Sample, SamplingOptions

if TYPE_CHECKING:
    from confroute_langchain import ConfidenceRoutedChatModel

MAX_TOKENS = 16
SEED = 7


class WatchedEdge:
    """An edge engine that remembers its last served answer, which an escalated request does not show, and samples
    with fixed seeds, so that two runs agree.
    """

    def __init__(self, engine: EdgeEngine) -> None:
        self._engine = engine
        self.model = engine.model
        self.wave: int | None = getattr(engine, "wave", None)
        self._drawn = 0
        self.answer: Sample | None = None
        self.seconds = 0.0

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        started = time.perf_counter()
        served = options.temperature == 0
        self._drawn = 0 if served else self._drawn
        generation = self._engine.generate(messages, n=n, options=replace(options, seed=SEED + self._drawn))
        if served:
            self.answer = generation.samples[0]
            self.seconds = time.perf_counter() - started
        else:
            self._drawn += n
        return generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One question's outcome. Tokens are in and out together; *seconds* are wall-clock."""

    question: str
    edge_answer: str
    edge_right: bool
    edge_tokens: int
    edge_seconds: float
    final_answer: str
    final_right: bool
    cloud_right: bool
    cloud_tokens: int
    cloud_seconds: float
    seconds: float
    record: dict[str, Any]

    @property
    def escalated(self) -> bool:
        return self.record["route"] == "cloud"


def ask_all(
    model: ConfidenceRoutedChatModel, edge: WatchedEdge, questions: Iterable[Question], *, cloud: Any
) -> Iterator[Row]:
    """A row for each question as it is answered. The *cloud* is also asked what the edge kept, for "cloud alone"."""
    for question in questions:
        prompt = [("system", SYSTEM), ("human", question.question)]
        edge.answer, edge.seconds = None, 0.0
        started = time.perf_counter()
        answer = model.invoke(prompt)
        seconds = time.perf_counter() - started
        record: dict[str, Any] = answer.response_metadata["confidence_routing"]
        if record["cloud"] is None:
            started = time.perf_counter()
            from_cloud = cloud.invoke(prompt)
            cloud_seconds = time.perf_counter() - started
        else:
            from_cloud, cloud_seconds = answer, record["cloud"]["seconds"]
        edge_answer = edge.answer.text if edge.answer else ""
        # What the served answer alone takes: the prompt and its own tokens, without the samples'.
        edge_tokens = (record["edge"]["input_tokens"] or 0) + edge.answer.output_tokens if edge.answer else 0
        usage = from_cloud.usage_metadata or {"total_tokens": 0}
        yield Row(
            question=question.question,
            edge_answer=edge_answer,
            edge_right=question.is_right(edge_answer),
            edge_tokens=edge_tokens,
            edge_seconds=edge.seconds,
            final_answer=answer.text,
            final_right=question.is_right(answer.text),
            cloud_right=question.is_right(from_cloud.text),
            cloud_tokens=usage["total_tokens"],
            cloud_seconds=cloud_seconds,
            seconds=seconds,
            record=record,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One line of the summary."""

    name: str
    right: int
    n: int
    edge_tokens: int
    cloud_tokens: int
    seconds: float

    @property
    def accuracy(self) -> float:
        return self.right / self.n if self.n else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the rows say together. Shares are in [0, 1]; the AUROC is that of "the edge is wrong"."""

    n: int
    escalated: int
    kept_right: int
    kept: int
    auroc: float
    auroc_low: float
    auroc_high: float
    tiers: tuple[Tier, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; a figure that is undefined is None."""
        figures = asdict(self)
        for name in ("auroc", "auroc_low", "auroc_high"):
            figures[name] = None if math.isnan(figures[name]) else figures[name]
        return {**figures, "tiers": [{**asdict(tier), "accuracy": tier.accuracy} for tier in self.tiers]}


def summarise(rows: Sequence[Row]) -> Summary:
    """Accuracy, escalation, tokens and seconds of the edge alone, the routed model and the cloud alone."""
    n = len(rows)
    kept = [row for row in rows if not row.escalated]
    # No signal is the most uncertain there is.
    uncertainties = [math.inf if row.record["uncertainty"] is None else row.record["uncertainty"] for row in rows]
    wrong = [not row.edge_right for row in rows]
    low, high = auroc_interval(uncertainties, wrong)
    edge = Tier(
        name="edge alone",
        right=sum(row.edge_right for row in rows),
        n=n,
        edge_tokens=sum(row.edge_tokens for row in rows),
        cloud_tokens=0,
        seconds=sum(row.edge_seconds for row in rows),
    )
    used = [row.record["edge"] for row in rows if row.record["edge"]]
    routed = Tier(
        name="routed",
        right=sum(row.final_right for row in rows),
        n=n,
        edge_tokens=sum((usage["input_tokens"] or 0) + (usage["output_tokens"] or 0) for usage in used),
        cloud_tokens=sum(row.cloud_tokens for row in rows if row.escalated),
        seconds=sum(row.seconds for row in rows),
    )
    cloud = Tier(
        name="cloud alone",
        right=sum(row.cloud_right for row in rows),
        n=n,
        edge_tokens=0,
        cloud_tokens=sum(row.cloud_tokens for row in rows),
        seconds=sum(row.cloud_seconds for row in rows),
    )
    return Summary(
        n=n,
        escalated=n - len(kept),
        kept=len(kept),
        kept_right=sum(row.edge_right for row in kept),
        auroc=auroc(uncertainties, wrong),
        auroc_low=low,
        auroc_high=high,
        tiers=(edge, routed, cloud),
    )
