"""Whether the edge's answers are acceptable: by accepted answers, by agreement with the cloud, or by its judgement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from confroute.calibration.collection import Collected
from confroute.calibration.journal import Journal
from confroute.calibration.prompts import Prompt
from confroute.equivalence import Equivalence, TextEquivalence
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
    """The cloud model that labels the edge's answers: its name, and how to ask it for a text."""

    name: str
    ask: Ask

    def answers(self, prompts: Sequence[Prompt], path: Path) -> Iterator[str]:
        """What it answers to each prompt (a shadow call). Those that *path* holds are not asked, nor paid, again."""
        yield from self._replies([(prompt.key, prompt.messages) for prompt in prompts], path, {"answers": self.name})

    def verdicts(self, prompts: Sequence[Prompt], collected: Sequence[Collected], path: Path) -> Iterator[bool]:
        """Whether it calls each of the edge's answers correct; a reply that does not begin with "yes" is a no.

        A judge that is wrong labels wrongly, and so does one that prefers answers of its own kind: check some of its
        verdicts by hand.
        """
        asked: list[tuple[str, tuple[Message, ...]]] = []
        for prompt, item in zip(prompts, collected, strict=True):
            evidence = item.evidence
            text = _JUDGE.format(question=evidence.question, answer=evidence.answer.text) if evidence else ""
            asked.append((prompt.key, ({"role": "user", "content": text},)))
        replies = self._replies(asked, path, {"verdicts": self.name})
        for reply, item in zip(replies, collected, strict=True):
            yield item.evidence is not None and reply.strip().strip("*\"'").casefold().startswith("yes")

    def _replies(
        self, asked: Sequence[tuple[str, Sequence[Message]]], path: Path, settings: dict[str, str]
    ) -> Iterator[str]:
        with Journal(path, settings=settings) as journal:
            for key, messages in asked:
                if key not in journal.results:
                    journal.add(key, {"text": self.ask(messages)})
                yield str(journal.results[key]["text"])


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
    judge = equivalence or TextEquivalence()
    verdicts: list[bool] = []
    for item, other in zip(collected, cloud, strict=True):
        text, question = answer_of(item).text, item.evidence.question if item.evidence else ""
        alike = bool(text.strip()) and (text == other or judge.same([(text, other)], question=question)[0])
        verdicts.append(alike)
    return verdicts
