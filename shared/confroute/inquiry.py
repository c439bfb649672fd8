"""What one request asks of the edge: an answer to serve, samples of it, and what the estimator wants to know."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from confroute.edge import EdgeEngine
from confroute.errors import CutShortError, ModelError, UnsupportedRequestError
from confroute.estimators import Estimator
from confroute.json_schema import is_valid
from confroute.records import (
    Evidence,
    FollowUp,
    Generation,
    Message,
    ModelUsage,
    Price,
    Sample,
    SamplingOptions,
    in_roles_of_the_edge,
    question_of,
)
from confroute.steps import Call, Flow
from confroute.tools import are_wanted, comparable, objection

_LEAST_SAMPLE_TOKENS = 32
# A sample far longer than the served answer is another answer, however it goes on: a small model that rambles at
# temperature 0.7 would otherwise spend most of the time on words that change nothing.

_BRIEF_CHARACTERS = 10_000
"""What text comparisons read in a millisecond or two."""
_OF_NUMBERS = ", or, where it has a number of over 15 digits, make that an integer with both bounds, or a string"
"""llama.cpp ends them, and there may have been more digits."""


class Inquiry:
    """One request's questions to the edge and what came back so far, also where a later one failed.

    The methods are flows (see `steps`). Samples continue the request's own seed, so that those drawn in waves
    differ, also from an answer that was drawn itself.
    """

    def __init__(
        self,
        edge: EdgeEngine,
        messages: Sequence[Message],
        options: SamplingOptions,
        *,
        price: Price | None = None,
        whole: bool = False,
        read: Callable[[Sample], object] | None = None,
    ) -> None:
        self.answer: Sample | None = None
        self.prompt_tokens: int | None = None
        self.samples: tuple[Sample, ...] = ()
        self.replies: dict[str, Sample] = {}
        self._edge = edge
        self._messages = in_roles_of_the_edge(messages)
        self._question = question_of(messages)
        self._options = options
        self._price = price
        self._whole = whole
        self._read = read
        self._input_tokens: int | None = 0
        self._output_tokens: int | None = 0
        self._seconds = 0.0

    @property
    def evidence(self) -> Evidence:
        return Evidence(
            question=self._question,
            answer=comparable(self.answer or Sample(text="")),
            samples=self.samples,
            replies=dict(self.replies),
        )

    @property
    def usage(self) -> ModelUsage:
        """All that was used so far, the seconds of a failed call included. Tokens are None where a call did not tell
        them: the sum is then unknown."""
        input_tokens, output_tokens = self._input_tokens, self._output_tokens
        cost_usd = None
        if self._price is not None and input_tokens is not None and output_tokens is not None:
            cost_usd = self._price.cost_usd(input_tokens, output_tokens)
        return ModelUsage(
            model=self._edge.model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            seconds=self._seconds,
            cost_usd=cost_usd,
        )

    def serve(
        self, *, alternatives: int = 0, beside: int = 0, temperature: float = 1.0, top_p: float = 1.0
    ) -> Flow[Sample]:
        """Get the answer to serve, with this many alternatives of each token. At the same time the first samples that
        `draw` would draw may be drawn: *beside* it so many, where the engine `draws_at_once`, and none where the answer
        is empty.

        Raises:
            UnsupportedRequestError: a JSON schema or tools are asked for, which the engine does not know.
            ModelError: the answer is not of that schema, or its calls are none of those tools: cut short, or the
                engine overlooked a part of it. Or *read* fails on it.
            CutShortError: it is cut short and was to be *whole*.
        """
        self._check_support()
        options = self._options
        if alternatives != options.alternatives:
            options = replace(options, alternatives=alternatives)
        if not beside or not self.draws_at_once:
            return self._accepted((yield from self._ask(self._messages, 1, options)))
        served, drawn = yield from self._timed(
            "generate_with_samples",
            self._messages,
            options=options,
            n=beside,
            sampling=self._sampling(temperature, top_p, options.max_tokens),
            limit=self._sample_tokens,
        )
        self._count(served, 1)
        self._count(drawn, beside)
        answer = self._accepted(served)
        if not answer.is_empty:
            self.samples = tuple(map(comparable, drawn.samples))
        return answer

    @property
    def draws_at_once(self) -> bool:
        return hasattr(self._edge, "generate_with_samples")

    def _accepted(self, generation: Generation) -> Sample:
        options = self._options
        self.prompt_tokens = generation.told_input_tokens
        self._input_tokens = _sum(self._input_tokens, self.prompt_tokens)
        answer = generation.samples[0]
        problem = objection(answer, options)
        is_cut = answer.finish_reason == "length"
        if options.json_schema is not None:
            if is_cut:
                problem = "is cut short, maybe in the middle of a number"
            elif not _is_of(answer.text, options.json_schema):
                problem = "is not of the JSON schema that was asked for"
        if self._whole and is_cut:
            hint = _OF_NUMBERS if options.json_schema is not None or options.tools else ""
            told = f"is cut short at {answer.output_tokens} tokens; set max_tokens{hint}."
            raise CutShortError(f'The answer of "{self._edge.model}" {told}')
        if problem is None and self._read is not None and not answer.is_empty:
            try:
                self._read(answer)
            except Exception:
                # Its own text may quote the answer.
                problem = "cannot be read as the caller will read it"
        if problem is not None:
            raise ModelError(f'The answer of "{self._edge.model}" {problem}.')
        self.answer = answer
        return answer

    def _check_support(self) -> None:
        wanted = {
            "json_schema": self._options.json_schema is not None,
            "tools": are_wanted(self._messages, self._options),
        }
        if wanted["json_schema"] and self._options.tools:
            raise UnsupportedRequestError("An answer is held to a JSON schema or may call tools, not both.")
        for what, is_wanted in wanted.items():
            if is_wanted and not getattr(self._edge, what, False):
                raise UnsupportedRequestError(f'The engine of "{self._edge.model}" does not know {what}.')

    def draw(self, n: int, *, temperature: float, top_p: float) -> Flow[None]:
        """Draw *n* more samples. Each may have twice the served answer's tokens, or 32, within the request's limit."""
        most = self._options.max_tokens if self.answer is None else self._sample_tokens(self.answer)
        options = self._sampling(temperature, top_p, most)
        # The prompt is that of the served answer, and evaluated once: its tokens are not counted again.
        generation = yield from self._ask(self._messages, n, options)
        self.samples += tuple(map(comparable, generation.samples))

    def _sampling(self, temperature: float, top_p: float, max_tokens: int) -> SamplingOptions:
        options = self._options
        return replace(
            options,
            temperature=temperature,
            top_p=top_p,
            max_tokens=min(options.max_tokens, max_tokens),
            seed=None if options.seed is None else options.seed + len(self.samples) + (options.temperature > 0),
        )

    def _sample_tokens(self, served: Sample) -> int:
        """How many tokens a sample beside this answer may have; no sample helps to judge an answer without a text."""
        if served.is_empty:
            return 0
        if not served.output_tokens:
            return self._options.max_tokens  # it is not told how many the answer has
        return max(_LEAST_SAMPLE_TOKENS, 2 * served.output_tokens)

    def judged(self, estimator: Estimator, work: Callable[[Evidence], Any]) -> Call:
        """The step that gives what *work* of the estimator's makes of the evidence. An event loop does it in a thread,
        unless it is quick: that takes 60 µs, and the loop has few threads, which the application may need."""

        async def awaited() -> Any:
            told = [self.answer, *self.samples]
            is_brief = sum(len(sample.text) for sample in told if sample is not None) <= _BRIEF_CHARACTERS
            return step.run() if is_brief and estimator.is_quick else await step.arun()

        step = Call(lambda: work(self.evidence))
        return Call(step.call, awaited)

    def follow_up(self, questions: Mapping[str, FollowUp]) -> Flow[None]:
        """Ask what the estimator wants to know, each by its name."""
        for name, question in questions.items():
            generation = yield from self._ask(question.messages, 1, question.options)
            self._input_tokens = _sum(self._input_tokens, generation.told_input_tokens)
            self.replies[name] = generation.samples[0]

    def _ask(self, messages: Sequence[Message], n: int, options: SamplingOptions) -> Flow[Generation]:
        generation: Generation = yield from self._timed("generate", messages, n=n, options=options)
        self._count(generation, n)
        return generation

    def _timed(self, way: str, messages: Sequence[Message], **request: Any) -> Flow[Any]:
        """What the engine's method *way* gives, or its asynchronous twin where it has one."""
        call, acall = getattr(self._edge, way), getattr(self._edge, f"a{way}", None)
        started = time.perf_counter()
        try:
            return (yield Call(lambda: call(messages, **request), acall and (lambda: acall(messages, **request))))
        finally:
            self._seconds += time.perf_counter() - started

    def _count(self, generation: Generation, n: int) -> None:
        self._output_tokens = _sum(self._output_tokens, generation.told_output_tokens)
        if len(generation.samples) != n:
            raise RuntimeError(f"The engine was asked for {n} samples and returned {len(generation.samples)}.")


def _is_of(text: str, schema: Mapping[str, Any]) -> bool:
    try:
        return is_valid(text, schema)
    except RecursionError:
        raise UnsupportedRequestError("The JSON schema is nested too deeply for answers to be checked by it.") from None


def _sum(tokens: int | None, more: int | None) -> int | None:
    return None if tokens is None or more is None else tokens + more
