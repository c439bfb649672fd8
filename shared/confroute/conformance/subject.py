"""An engine that is tried, and what is to be known of its model to try it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias, TypeVar

from confroute.conformance.holding import hold
from confroute.edge import EdgeEngine
from confroute.errors import ConfigurationError, ContextLengthError
from confroute.records import Generation, Message, Sample, SamplingOptions

T = TypeVar("T")

STORY: Final[Message] = {"role": "user", "content": "Tell me a story about a fox."}
_LIMITS: Final = (16, 64, 512)
"""Tokens of an answer to a fact, and of those that follow while a reasoning model says nothing but thoughts."""

_SILENT: Final = "In {} tokens it says nothing. If it thinks first, have it think for less."


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An engine, and what is to be known of its model to try it.

    Raises:
        ConfigurationError: there are no *facts*.
    """

    engine: EdgeEngine
    facts: Mapping[str, str]
    context_tokens: int | None

    def __post_init__(self) -> None:
        if not self.facts:
            raise ConfigurationError("facts must hold at least one question, with a word that its answer has.")

    def ask(self, *messages: Message, n: int = 1, **options: Any) -> Generation:
        return self.engine.generate(messages, n=n, options=SamplingOptions(**options))

    def answer(self, *messages: Message, **options: Any) -> Sample:
        """The one sample that was asked for."""
        samples = self.ask(*messages, **options).samples
        hold(len(samples) == 1, f"Asked for 1 sample it gave {len(samples)}.")
        return samples[0]

    def tell(self, tokens: int, *, n: int = 1, **options: Any) -> tuple[Sample, ...]:
        """Stories of so many *tokens*, after the thoughts if there are any."""
        samples: tuple[Sample, ...] = ()
        thoughts = 0
        for thoughts in (self.enough, _LIMITS[-1]) if self.thinks else (0,):
            samples = self.ask(STORY, n=n, max_tokens=tokens + thoughts, **options).samples
            hold(len(samples) == n, f"Asked for {n} samples it gave {len(samples)}.")
            if not any(map(_unsaid, samples)):
                break
        hold(not all(map(_unsaid, samples)), _SILENT.format(tokens + thoughts))
        return samples

    def room(self, tokens: int) -> int:
        """The max_tokens of an answer of so many *tokens*, after the thoughts if there are any."""
        return tokens + self.enough if self.thinks else tokens

    @property
    def question(self) -> str:
        return next(iter(self.facts))

    @property
    def answers(self) -> Mapping[str, Sample]:
        """The greedy answer to each of the facts."""
        return self._told[0]

    @property
    def enough(self) -> int:
        """The max_tokens that the answers to the facts need, and the beginning of a story."""
        return self._told[1]

    @property
    def thinks(self) -> bool:
        """Whether tokens come before an answer that are none of it."""
        return self._told[2]

    @cached_property
    def _told(self) -> tuple[Mapping[str, Sample], int, bool]:
        answers: dict[str, Sample] = {}
        enough, thinks = _LIMITS[0], False
        for limit in _LIMITS:
            try:
                answers = {question: self.answer(user(question), max_tokens=limit) for question in self.facts}
                story = self.answer(STORY, max_tokens=limit)
            except ContextLengthError:
                if not answers:
                    raise
                break
            enough = limit
            thinks = thinks or any(_unsaid(each) or _is_after_thoughts(each) for each in (*answers.values(), story))
            told = (word in answers[fact].text or not _is_cut(answers[fact]) for fact, word in self.facts.items())
            if all(told) and not _unsaid(story):
                break
        return answers, enough, thinks

    def hold_right(self, question: str, sample: Sample, otherwise: str) -> None:
        """That *sample* answers the fact *question*. That there was no place for an answer is told as that."""
        hold(not _unsaid(sample), _SILENT.format(self.enough))
        hold(self.facts[question] in sample.text, otherwise)


Law: TypeAlias = Callable[[Subject], "str | None"]
"""Raises AssertionError where it is broken; gives the reason where it could not be tried."""


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def awaited(coroutine: Coroutine[Any, Any, T]) -> T:
    """What *coroutine* gives in an event loop of its own, in a thread of its own: this one may have a loop that runs,
    as a notebook's has."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def refusal(ask: Callable[[], object]) -> Exception | None:
    """The error of what it is to refuse."""
    try:
        ask()
    except Exception as error:
        return error
    return None


def named(error: Exception | None) -> str:
    """What is told of *error*: its own text may quote the prompt or a key."""
    return "no error" if error is None else type(error).__name__


def _is_cut(sample: Sample) -> bool:
    return sample.finish_reason == "length"


def _unsaid(sample: Sample) -> bool:
    return sample.is_empty and _is_cut(sample)


def _is_after_thoughts(sample: Sample) -> bool:
    return sample.token_logprobs is not None and spells(sample) and len(sample.token_logprobs) < sample.output_tokens


def spells(sample: Sample) -> bool:
    """Whether its tokens are its text."""
    return sample.tokens is not None and "".join(sample.tokens).strip() == sample.text.strip()
