"""Whether the edge's answers are acceptable: by accepted answers, by agreement with the cloud, or by its judgement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Literal, TypeAlias

from confroute.calibration.collection import Collected
from confroute.calibration.journal import Journal, digest_of
from confroute.calibration.prompts import Prompt
from confroute.equivalence import Equivalence, StructuredEquivalence
from confroute.errors import ModelError
from confroute.grading import contains_answer
from confroute.records import Message, Sample

LabelKind: TypeAlias = Literal["gold", "agreement", "judge"]
Ask: TypeAlias = Callable[[Sequence[Message]], str]
"""What a cloud model replies; blank where it gives no answer."""

IN_A_ROW = 3
"""After so many blank replies, where there never was another, the cloud is taken not to answer at all."""

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

    def answers(self, prompts: Sequence[Prompt], path: Path) -> Iterator[str | None]:
        """What it answers to each prompt (a shadow call). Those that *path* holds are not asked, nor paid, again.

        None for a blank reply, which is no answer: it was refused, or the tokens went into thinking. It is in no file,
        so that another run asks again.

        Raises:
            InputError: *path* is of another cloud model, or is no such file; before the first answer is wanted.
            ModelError: it answers nothing at all.
        """
        return self._replied(prompts, self._journal("answers", path))

    def verdicts(self, collected: Sequence[Collected], path: Path) -> Iterator[bool | None]:
        """Whether it calls each of the edge's answers correct; a reply that does not begin with "yes" is a no, a blank
        one is None. Raises as `answers` does.

        A verdict is of one answer: what *path* holds of another answer to the same prompt is not taken.

        A judge that is wrong labels wrongly, and so does one that prefers answers of its own kind: check some of its
        verdicts by hand.
        """
        return self._judged(collected, self._journal("verdicts", path))

    def _judged(self, collected: Sequence[Collected], opened: Journal) -> Iterator[bool | None]:
        replies = self._replied([_judging(item) for item in collected], opened)
        for item, reply in zip(collected, replies, strict=True):
            if item.evidence is None:
                yield False
            else:
                yield None if reply is None else reply.strip().strip("*\"'").casefold().startswith("yes")

    def _replied(self, prompts: Sequence[Prompt | None], opened: Journal) -> Iterator[str | None]:
        """None, too, where there is nothing to ask."""
        with opened as journal:
            blank, is_known = 0, any(str(result["text"]).strip() for result in journal.results.values())
            for prompt in prompts:
                reply = prompt and self._reply(prompt, journal)
                is_known = is_known or reply is not None
                blank += prompt is not None and reply is None
                if blank == IN_A_ROW and not is_known:
                    raise ModelError(
                        f"The cloud model {self.name} gave no answer {IN_A_ROW} times in a row: its replies are blank, "
                        "or a content filter held them back. See that OPENAI_MODEL and OPENAI_BASE_URL name a model "
                        "that answers these prompts, or take out those that it refuses. The same command then goes on "
                        "from here."
                    )
                yield reply

    def _journal(self, kind: str, path: Path) -> Journal:
        at = {"url": digest_of(self.url)} if self.url else {}
        return Journal(path, settings={kind: self.name, **at}, read=itemgetter("text"))

    def _reply(self, prompt: Prompt, journal: Journal) -> str | None:
        # Files of older versions hold blank replies.
        if not str(journal.results.get(prompt.key, {"text": ""})["text"]).strip():
            reply = self.ask(prompt.messages)
            if not reply.strip():
                return None
            journal.add(prompt.key, {"text": reply})
        return str(journal.results[prompt.key]["text"])


def _judging(item: Collected) -> Prompt | None:
    if item.evidence is None:
        return None
    text = _JUDGE.format(question=item.evidence.question, answer=item.evidence.answer.text)
    return Prompt(messages=({"role": "user", "content": text},))


def answer_of(item: Collected) -> Sample:
    """The edge's answer; a blank one where it failed."""
    return item.evidence.answer if item.evidence else Sample(text="")


def by_references(prompts: Sequence[Prompt], texts: Sequence[str]) -> list[bool]:
    """Whether each text holds an accepted answer, as whole words that it does not deny. A blank text never does."""
    return [
        bool(text.strip()) and contains_answer(text, prompt.references or ())
        for prompt, text in zip(prompts, texts, strict=True)
    ]


def cloud_is_right(prompts: Sequence[Prompt], answers: Sequence[str | None]) -> list[bool]:
    """Whether each of the cloud's answers holds an accepted one. Where it gave none, None, it counts as right, so that
    no regret is promised on its silence."""
    right = by_references(prompts, [text or "" for text in answers])
    return [text is None or good for text, good in zip(answers, right, strict=True)]


def by_agreement(
    collected: Sequence[Collected], cloud: Sequence[str | None], equivalence: Equivalence | None = None
) -> list[bool]:
    """Whether each of the edge's answers means the same as the cloud's, None where it gave none. Free of annotation;
    says nothing about which of the two is right where they differ."""
    judge = equivalence or StructuredEquivalence()
    verdicts: list[bool] = []
    for item, other in zip(collected, cloud, strict=True):
        text, question = answer_of(item).text, item.evidence.question if item.evidence else ""
        if other is None or not text.strip():
            verdicts.append(False)
        else:
            verdicts.append(text == other or judge.same([(text, other)], question=question)[0])
    return verdicts
