"""Scripted models and known-answer samples for tests: confroute's own and its users'.

No mock: a `ScriptedEngine` is an engine whose answers were written down before. `check_estimator` and `check_engine`
hold an estimator or an engine of one's own against the laws that all obey.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from confroute.conformance import ENGINE_LAWS, ESTIMATOR_LAWS, check_engine, check_estimator, random_evidence
from confroute.errors import ConfigurationError
from confroute.records import Generation, Message, Sample, SamplingOptions, question_of

__all__ = [
    "ENGINE_LAWS",
    "ESTIMATOR_LAWS",
    "ScriptedEngine",
    "check_engine",
    "check_estimator",
    "equiprobable_meanings",
    "random_evidence",
    "says",
]


def says(text: str, *token_logprobs: float) -> Sample:
    """A sample with this text; its tokens are counted by words unless logprobs are given.

    >>> says("Paris", -0.5, -1.5).mean_logprob
    -1.0
    """
    return Sample(
        text=text,
        token_logprobs=token_logprobs or None,
        output_tokens=len(token_logprobs) or len(text.split()),
    )


def equiprobable_meanings(k: int, *, per_meaning: int = 1) -> tuple[Sample, ...]:
    """k times *per_meaning* samples of k meanings that no equivalence should join: their semantic entropy is ln k."""
    names = ("Paris", "Lyon", "Rome", "Oslo", "Cairo", "Lima", "Delhi", "Tokyo", "Quito", "Hanoi", "Accra", "Sofia")
    if not 1 <= k <= len(names):
        raise ConfigurationError(f"k must be from 1 to {len(names)}, not {k}.")
    return tuple(says(name, -1.0) for name in names[:k] for _ in range(per_meaning))


class ScriptedEngine:
    """An edge engine that answers by script: each question has the answer to serve and the samples to draw.

    A request for one answer gets the served one; one for several gets the samples in turn, again from the first where
    more are asked for than were written. An exception in the script is raised. *requests* is what it was
    asked, in order. With *json_schema* it takes requests for JSON of a schema, too, and with *tools* those that offer
    tools, which the script has to answer so.

    >>> engine = ScriptedEngine({"Capital of France?": ("Paris", ["Paris", "Lyon"])})
    >>> from confroute import Router
    >>> Router(engine, samples=2).decide([{"role": "user", "content": "Capital of France?"}]).record.confidence
    0.5
    """

    def __init__(
        self,
        script: Mapping[str, tuple[str | Sample, Sequence[str | Sample]] | Exception],
        *,
        model: str = "scripted-edge",
        input_tokens: int = 7,
        json_schema: bool = False,
        tools: bool = False,
    ) -> None:
        self.json_schema = json_schema
        self.tools = tools
        self.script = script
        self.model = model
        self.input_tokens = input_tokens
        self.requests: list[tuple[list[Message], int, SamplingOptions]] = []
        self._lock = threading.Lock()

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        with self._lock:
            self.requests.append((list(messages), n, options))
        question = question_of(messages)
        if question not in self.script:
            raise ConfigurationError(f"The script has no answer to question {len(self.requests)}.")
        scripted = self.script[question]
        if isinstance(scripted, Exception):
            raise scripted
        answer, drawn = scripted
        source = [answer] if n == 1 else list(drawn)
        samples = [source[i % len(source)] for i in range(n)]
        return Generation(
            samples=tuple(says(sample) if isinstance(sample, str) else sample for sample in samples),
            input_tokens=self.input_tokens,
        )
