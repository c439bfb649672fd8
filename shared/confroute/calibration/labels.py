"""Whether the edge's answers are acceptable: by accepted answers, by agreement with the cloud, or by its judgement."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Literal, TypeAlias

from confroute.calibration.collection import Collected
from confroute.calibration.journal import Journal
from confroute.calibration.prompts import Prompt
from confroute.equivalence import Equivalence, StructuredEquivalence
from confroute.grading import contains_answer
from confroute.records import Message, Sample

LabelKind: TypeAlias = Literal["gold", "agreement", "judge"]
Ask: TypeAlias = Callable[[Sequence[Message]], str]

_JUDGE = (
    "Question:\n{question}\n\nAnswer:\n{answer}\n\n"
    "Is the answer correct? Reply with one word: yes or no. If it is partly wrong or does not answer, reply no."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudModel:
    """The cloud model that labels the edge's answers: its name, how to ask it for a text, and the URL it answers at,
    which tells two servers' models of one name apart (and is kept as a digest only, since it may hold a key)."""

    name: str
    ask: Ask
    url: str | None = field(default=None, repr=False)

    def answers(self, prompts: Sequence[Prompt], path: Path) -> Iterator[str]:
        """What it answers to each prompt (a shadow call). Those that *path* holds are not asked, nor paid, again."""
        return self._answered(prompts, self._journal("answers", path))

    def _answered(self, prompts: Sequence[Prompt], opened: Journal) -> Iterator[str]:
        with opened as journal:
            for prompt in prompts:
                yield self._reply(prompt, journal)

    def verdicts(self, collected: Sequence[Collected], path: Path) -> Iterator[bool]:
        """Whether it calls each of the edge's answers correct; a reply that does not begin with "yes" is a no.

        A verdict is of one answer: what *path* holds of another answer to the same prompt is not taken.

        A judge that is wrong labels wrongly, and so does one that prefers answers of its own kind: check some of its
        verdicts by hand.
        """
        return self._judged(collected, self._journal("verdicts", path))

    def _judged(self, collected: Sequence[Collected], opened: Journal) -> Iterator[bool]:
        with opened as journal:
            for item in collected:
                if item.evidence is None:
                    yield False
                    continue
                text = _JUDGE.format(question=item.evidence.question, answer=item.evidence.answer.text)
                reply = self._reply(Prompt(messages=({"role": "user", "content": text},)), journal)
                yield reply.strip().strip("*\"'").casefold().startswith("yes")

    def _journal(self, kind: str, path: Path) -> Journal:
        at = {"url": hashlib.sha256(self.url.encode()).hexdigest()[:16]} if self.url else {}
        return Journal(path, settings={kind: self.name, **at}, read=itemgetter("text"))

    def _reply(self, prompt: Prompt, journal: Journal) -> str:
        if prompt.key not in journal.results:
            journal.add(prompt.key, {"text": self.ask(prompt.messages)})
        return str(journal.results[prompt.key]["text"])


def answer_of(item: Collected) -> Sample:
    """The edge's answer; a blank one where it failed."""
    return item.evidence.answer if item.evidence else Sample(text="")


def by_references(prompts: Sequence[Prompt], texts: Sequence[str]) -> list[bool]:
    """Whether each text holds an accepted answer as whole words. A blank text never does."""
    return [
        bool(text.strip()) and contains_answer(text, prompt.references or ())
        for prompt, text in zip(prompts, texts, strict=True)
    ]


def by_agreement(
    collected: Sequence[Collected], cloud: Sequence[str], equivalence: Equivalence | None = None
) -> list[bool]:
    """Whether each of the edge's answers means the same as the cloud's. Free of annotation; says nothing about which
    of the two is right where they differ."""
    judge = equivalence or StructuredEquivalence()
    verdicts: list[bool] = []
    for item, other in zip(collected, cloud, strict=True):
        text, question = answer_of(item).text, item.evidence.question if item.evidence else ""
        alike = bool(text.strip()) and (text == other or judge.same([(text, other)], question=question)[0])
        verdicts.append(alike)
    return verdicts
