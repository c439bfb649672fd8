"""The laws of requests beside and after others: of threads, event loops, samples of an answer, and one that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias

from confroute.conformance.holding import hold
from confroute.conformance.subject import STORY, Subject, awaited, named, refusal, user
from confroute.edge.refusals import CutError
from confroute.errors import ContextLengthError
from confroute.records import Generation, Sample, SamplingOptions

_Both: TypeAlias = Callable[..., list[Generation]]
_LONG: Final = 6000
"""Words of a prompt that a context of 4096 tokens, Ollama's least, has no place for."""


def are_apart(subject: Subject) -> None:
    questions = list(subject.facts) * 3

    def ask(question: str) -> Sample:
        return subject.answer(user(question), max_tokens=subject.enough)

    subject.answers  # noqa: B018 - asked one after the other, before
    with ThreadPoolExecutor(len(questions)) as pool:
        answers = list(pool.map(ask, questions))
    for question, answer in zip(questions, answers, strict=True):
        subject.hold_right(question, answer, f"Asked by several threads, {question!r} got another's answer.")


def is_awaited(subject: Subject) -> str | None:
    agenerate: Callable[..., Any] | None = getattr(subject.engine, "agenerate", None)
    if agenerate is None:
        return "Not applicable: it has no agenerate, so that it is asked in a thread."
    options = SamplingOptions(max_tokens=subject.enough)

    async def ask_all() -> list[Generation]:
        return await asyncio.gather(*(agenerate([user(each)], n=2, options=options) for each in subject.facts))

    for _ in range(2):  # a second event loop, as in a second asyncio.run of a program
        for question, generation in zip(subject.facts, awaited(ask_all()), strict=True):
            hold(len(generation.samples) == 2, f"Asked for 2 samples agenerate gave {len(generation.samples)}.")
            for sample in generation.samples:
                subject.hold_right(question, sample, "agenerate answers another question.")
    most = subject.room(6)
    drawn = awaited(agenerate([STORY], n=8, options=SamplingOptions(temperature=1.2, max_tokens=most))).samples
    hold(len(drawn) == 8, f"Asked for 8 samples agenerate gave {len(drawn)}.")
    hold(len({sample.text for sample in drawn}) > 1, "Eight samples of agenerate are all the same.")
    longest = max(sample.output_tokens for sample in drawn)
    hold(longest <= most, f"agenerate gives {longest} tokens where {most} were allowed.")
    return None


def are_drawn_at_once(subject: Subject) -> str | None:
    both: _Both | None = getattr(subject.engine, "generate_with_samples", None)
    if both is None:
        return "Not applicable: it answers first and draws the samples then, as engines may."
    _hold_at_once(subject, both)
    aboth: Callable[..., Any] | None = getattr(subject.engine, "agenerate_with_samples", None)
    if aboth is not None:
        _hold_at_once(subject, lambda *messages, **request: awaited(aboth(*messages, **request)))
    return None


def _hold_at_once(subject: Subject, ask: _Both) -> None:
    def limit(served: Sample) -> int:
        return served.output_tokens + 2

    sampling = SamplingOptions(temperature=1.2, max_tokens=12)
    for question, word in subject.facts.items():
        request: Any = {"options": SamplingOptions(max_tokens=subject.enough), "n": 3, "sampling": sampling}
        served, drawn = ask([user(question)], **request, limit=limit)
        hold(len(served.samples) == 1, f"Asked for one answer it gave {len(served.samples)}.")
        subject.hold_right(question, served.samples[0], f"The served answer lacks {word!r}.")
        hold(len(drawn.samples) == 3, f"Asked for 3 samples beside the answer it gave {len(drawn.samples)}.")
        hold(drawn.input_tokens == served.input_tokens, "Its prompt is not the same for the answer and its samples.")
    request = {"options": SamplingOptions(max_tokens=3), "n": 8, "sampling": sampling}
    _, drawn = ask([STORY], **request, limit=limit)
    hold(len({sample.text for sample in drawn.samples}) > 1, "Eight samples beside an answer are all the same.")
    longest = max(sample.output_tokens for sample in drawn.samples)
    hold(longest <= 5, f"With a limit of 5 tokens, a sample beside an answer has {longest}.")

    def none(_: Sample) -> int:
        return 0

    # Samples of no use: what is drawn of them is left open.
    caught = refusal(lambda: ask([STORY], **request, limit=none))
    hold(caught is None, f"Where the limit is 0, the answer fails with {named(caught)}.")


def is_too_long(subject: Subject) -> str | None:
    context = subject.context_tokens
    if context is None:
        if hasattr(subject.engine, "capabilities"):
            # Engines that are no servers know their context.
            _hold_uncut(refusal(lambda: subject.ask(user("lorem " * _LONG), max_tokens=1)))
        return "Not tried: tell it the context, --context-tokens (context_tokens= of check_engine)."
    caught = refusal(lambda: subject.ask(user("zanzibarland " * (2 * context)), n=2, max_tokens=4))
    _hold_uncut(caught)
    if not isinstance(caught, ContextLengthError):
        raise AssertionError(f"A prompt longer than the context gives {named(caught)}.")
    hold(caught.context_tokens == context, f"It says that its context has {caught.context_tokens}.")
    told = caught.prompt_tokens, caught.max_tokens
    otherwise = "It says that the prompt has {} tokens, the answer up to {}.".format(*told)
    hold(sum(told) > context, otherwise)
    hold("zanzibarland" not in str(caught), "The error shows the prompt.")
    answer = subject.answer(user(subject.question), max_tokens=subject.enough)
    subject.hold_right(subject.question, answer, "The next request fails.")
    return None


def _hold_uncut(caught: Exception | None) -> None:
    hold(not isinstance(caught, CutError), str(caught))
