"""Asks the edge a set of prompts and keeps all it said in a file, which a later run goes on from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from confroute.calibration.journal import Journal, digest_of
from confroute.calibration.prompts import Prompt
from confroute.edge import EdgeEngine
from confroute.edge.weights import weights_of
from confroute.errors import (
    ConfigurationError,
    ContextLengthError,
    InputError,
    ModelError,
    UnsupportedRequestError,
)
from confroute.estimators import Estimator
from confroute.inquiry import Inquiry
from confroute.records import Evidence, ModelUsage, Sample, SamplingOptions
from confroute.steps import Flow, run

FORMAT = 1

IN_A_ROW = 3
"""After so many failures in a row it is tried whether the edge still answers what it has answered before."""

# An edge that says so is in reach.
_OF_THE_PROMPT = frozenset(kind.__name__ for kind in (ContextLengthError, InputError, UnsupportedRequestError))


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What the edge said to one prompt. *error* is the class name of what went wrong instead; then there is no
    evidence."""

    key: str
    evidence: Evidence | None = None
    usage: ModelUsage | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """How the edge is asked: a served answer, *samples* of it, and what the *estimators* want to know, all of it,
    since a threshold that is yet to be found cannot settle anything early."""

    edge: EdgeEngine
    estimators: Sequence[Estimator]
    samples: int = 10
    sampling_temperature: float = 0.7
    sampling_top_p: float = 0.9
    options: SamplingOptions = field(default_factory=SamplingOptions)

    @property
    def settings(self) -> dict[str, Any]:
        """What a file of answers must have been made with to be gone on with."""
        wanted = max((estimator.needs_alternatives for estimator in self.estimators), default=0)
        lists = {"stop": list(self.options.stop), "tools": list(self.options.tools)}
        options = {**asdict(self.options), **lists, "alternatives": wanted}
        # Files of older versions do not name these.
        unnamed = ("hidden_layer",) if self.options.tools else ("hidden_layer", "tools", "must_call", "parallel_calls")
        return {
            "format": FORMAT,
            "edge": self.edge.model,
            "engine": type(self.edge).__name__,
            "samples": self.samples if any(estimator.needs_samples for estimator in self.estimators) else 0,
            "asks": [part.identity for part in self.estimators if type(part).follow_ups is not Estimator.follow_ups],
            "sampling_temperature": self.sampling_temperature,
            "sampling_top_p": self.sampling_top_p,
            "options": {name: value for name, value in options.items() if name not in unnamed},
        }

    def gather(self, prompts: Sequence[Prompt], path: Path) -> Iterator[Collected]:
        """What the edge says to each prompt, as it says it, in order; what *path* already holds is not asked again.

        Each answer is in the file before it is handed out; see `Journal`. A failure is in none: another run asks again,
        of an edge that may be back, or have a larger context.

        Raises:
            InputError: *path* was made with other settings, or is no such file; before the first answer is wanted.
            ModelError: the edge answers nothing any more.
        """
        url = getattr(self.edge, "base_url", None)
        # Files of older versions do not name these.
        later = {"weights": weights_of(self.edge), "url": digest_of(url) if isinstance(url, str) else None}
        journal = Journal(path, settings={**self.settings, **later}, later=later.keys(), read=partial(_read, ""))
        return self._gathered(prompts, journal)

    def _gathered(self, prompts: Sequence[Prompt], opened: Journal) -> Iterator[Collected]:
        with opened as journal:
            failures = 0
            for prompt in prompts:
                known = journal.results.get(prompt.key)
                if known is not None and known["error"] is None:
                    yield _read(prompt.key, known)
                    continue
                collected = self.ask(prompt)
                if collected.error is None:
                    journal.add(prompt.key, asdict(collected))
                failures = 0 if collected.error is None or collected.error in _OF_THE_PROMPT else failures + 1
                if failures == IN_A_ROW:
                    self._check_alive(prompts, journal, collected.error)
                    failures = 0
                yield collected

    def _check_alive(self, prompts: Sequence[Prompt], journal: Journal, error: str | None) -> None:
        """Raises ModelError unless the edge answers again what it has answered before."""
        found = (prompt for prompt in prompts if journal.results.get(prompt.key, {"error": ""})["error"] is None)
        answered = next(found, None)
        if answered is None or self.ask(answered).error is not None:
            raise ModelError(
                f"{self.edge.model} failed {IN_A_ROW} times in a row ({error}): it may be out of reach. What it has "
                "answered is kept. See that it runs; the same command then goes on from here."
            )

    def ask(self, prompt: Prompt) -> Collected:
        """What the edge says to one prompt, now."""
        # No file holds hidden states.
        inquiry = Inquiry(self.edge, prompt.messages, replace(self.options, hidden_layer=None))
        try:
            run(self._inquire(inquiry))
        except ConfigurationError:
            raise
        except Exception as error:
            # One prompt that is too long must not end a run of hours; it counts as no signal.
            return Collected(key=prompt.key, usage=inquiry.usage, error=type(error).__name__)
        return Collected(key=prompt.key, evidence=inquiry.evidence, usage=inquiry.usage)

    def _inquire(self, inquiry: Inquiry) -> Flow[None]:
        settings = self.settings
        sampling: Any = {"temperature": self.sampling_temperature, "top_p": self.sampling_top_p}
        wanted = self.samples if settings["samples"] else 0
        alternatives: int = settings["options"]["alternatives"]
        answer = yield from inquiry.serve(alternatives=alternatives, beside=wanted, **sampling)
        if answer.is_empty:
            return
        for estimator in self.estimators:
            yield from inquiry.follow_up(estimator.follow_ups(inquiry.evidence))
        if wanted and not inquiry.samples:
            yield from inquiry.draw(wanted, **sampling)


def _read(key: str, item: dict[str, Any]) -> Collected:
    evidence, usage = item["evidence"], item["usage"]
    return Collected(
        key=key,
        evidence=evidence
        and Evidence(
            question=evidence["question"],
            answer=read_sample(evidence["answer"]),
            samples=tuple(map(read_sample, evidence["samples"])),
            replies={name: read_sample(reply) for name, reply in evidence["replies"].items()},
        ),
        usage=usage and ModelUsage(**usage),
        error=item["error"],
    )


def read_sample(item: dict[str, Any]) -> Sample:
    """The sample that ``dataclasses.asdict`` and JSON made of one."""
    alternatives, text = item["alternatives"], item["text"]
    if not isinstance(text, str):
        raise TypeError("a sample's text must be a string")
    return Sample(
        text=text,
        token_logprobs=_tuple(item["token_logprobs"]),
        tokens=_tuple(item["tokens"]),
        alternatives=None
        if alternatives is None
        else tuple(tuple((text, logprob) for text, logprob in place) for place in alternatives),
        output_tokens=item["output_tokens"],
        finish_reason=item["finish_reason"],
    )


def _tuple(items: list[Any] | None) -> tuple[Any, ...] | None:
    return None if items is None else tuple(items)
