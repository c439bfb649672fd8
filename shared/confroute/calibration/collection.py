"""Asks the edge a set of prompts and keeps all it said in a file, which a later run goes on from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from confroute.edge import EdgeEngine
from confroute.errors import InputError
from confroute.estimators import Estimator
from confroute.inquiry import Inquiry
from confroute.records import Evidence, Message, ModelUsage, Sample, SamplingOptions
from confroute.steps import Flow, run

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What to ask, and the answers that would be right, if they are known."""

    messages: tuple[Message, ...]
    references: tuple[str, ...] | None = None

    @property
    def key(self) -> str:
        """The prompt's own digest: the same messages have the same key in every run."""
        return hashlib.sha256(json.dumps(self.messages, sort_keys=True).encode()).hexdigest()[:16]


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
        return {
            "format": FORMAT,
            "edge": self.edge.model,
            "engine": type(self.edge).__name__,
            "samples": self.samples if any(estimator.needs_samples for estimator in self.estimators) else 0,
            "sampling_temperature": self.sampling_temperature,
            "sampling_top_p": self.sampling_top_p,
            "options": {**asdict(self.options), "stop": list(self.options.stop), "alternatives": wanted},
        }

    def gather(self, prompts: Sequence[Prompt], path: Path) -> Iterator[Collected]:
        """What the edge says to each prompt, as it says it, in order; what *path* already holds is not asked again.

        Each answer is in the file before it is handed out, so that an interrupted run loses at most the one being
        asked. The file has the prompts' answers in plain text and is readable by its owner only.

        Raises:
            InputError: *path* was made with other settings, or is no such file.
        """
        known = self._known(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "a", encoding="utf-8") as file:  # noqa: PTH123
            if not known and not file.tell():
                file.write(json.dumps({"settings": self.settings}) + "\n")
            for prompt in prompts:
                if prompt.key not in known:
                    known[prompt.key] = self._ask(prompt)
                    file.write(json.dumps(asdict(known[prompt.key]), ensure_ascii=False) + "\n")
                    file.flush()
                yield known[prompt.key]

    def _ask(self, prompt: Prompt) -> Collected:
        inquiry = Inquiry(self.edge, prompt.messages, self.options)
        try:
            run(self._inquire(inquiry))
        except Exception as error:
            # One prompt that is too long must not end a run of hours; it counts as no signal.
            return Collected(key=prompt.key, usage=inquiry.usage, error=type(error).__name__)
        return Collected(key=prompt.key, evidence=inquiry.evidence, usage=inquiry.usage)

    def _inquire(self, inquiry: Inquiry) -> Flow[None]:
        settings = self.settings
        answer = yield from inquiry.serve(alternatives=settings["options"]["alternatives"])
        if not answer.text.strip():
            return
        for estimator in self.estimators:
            yield from inquiry.follow_up(estimator.follow_ups(inquiry.evidence))
        if settings["samples"]:
            yield from inquiry.draw(self.samples, temperature=self.sampling_temperature, top_p=self.sampling_top_p)

    def _known(self, path: Path) -> dict[str, Collected]:
        if not path.exists():
            return {}
        lines = path.read_text(encoding="utf-8").splitlines()
        # A run that was killed while it wrote leaves half a line at the end.
        whole = [line for i, line in enumerate(lines) if i < len(lines) - 1 or _is_json(line)]
        if len(whole) < len(lines):
            path.write_text("".join(line + "\n" for line in whole), encoding="utf-8")
        if not whole:
            return {}
        try:
            settings = json.loads(whole[0])["settings"]
            collected = [_read(json.loads(line)) for line in whole[1:]]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f'"{path.name}" is not a file of collected answers ({type(error).__name__}). Name another file, or '
                "remove it to begin anew."
            ) from None
        if settings != self.settings:
            changed = sorted(name for name in self.settings if settings.get(name) != self.settings[name])
            raise InputError(
                f'"{path.name}" was collected with other settings ({", ".join(changed)}). Use the same ones, name '
                "another file, or remove it to begin anew."
            )
        return {item.key: item for item in collected}


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _read(item: dict[str, Any]) -> Collected:
    evidence, usage = item["evidence"], item["usage"]
    return Collected(
        key=item["key"],
        evidence=evidence
        and Evidence(
            question=evidence["question"],
            answer=_read_sample(evidence["answer"]),
            samples=tuple(map(_read_sample, evidence["samples"])),
            replies={name: _read_sample(reply) for name, reply in evidence["replies"].items()},
        ),
        usage=usage and ModelUsage(**usage),
        error=item["error"],
    )


def _read_sample(item: dict[str, Any]) -> Sample:
    alternatives = item["alternatives"]
    return Sample(
        text=item["text"],
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
