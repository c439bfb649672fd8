"""The questions, engines and the cloud that the tests of the router share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from confroute import (
    Generation,
    SamplingOptions,
)
from confroute.contract import Tokens
from confroute.records import Message, Sample
from confroute.steps import Call, Source
from confroute.testing import ScriptedEngine

SECRET = "What is the capital of Zanzibarland-4711?"  # noqa: S105
ASK: list[Message] = [{"role": "user", "content": SECRET}]
SURE = ("Paris", ["Paris"])
UNSURE = ("Paris", ["Paris", "Lyon", "Rome", "Oslo", "Bern"])


@dataclass
class ScriptedCloud:
    """A cloud that answers in these chunks, then fails if there is an error."""

    chunks: Sequence[str] = ("Stone", " Town")
    error: Exception | None = None
    usage: tuple[int | None, int | None] = (20, 4)
    model: str = "scripted-cloud"
    calls: list[str] = field(default_factory=list[str])

    def invoke(self) -> Call:
        def call() -> str:
            self.calls.append("invoke")
            if self.error is not None:
                raise self.error
            return "".join(self.chunks)

        return Call(call)

    def stream(self) -> Call:
        def pieces() -> Iterator[str]:
            yield from self.chunks
            if self.error is not None:
                raise self.error

        async def apieces() -> AsyncIterator[str]:
            for piece in pieces():
                yield piece

        async def acall() -> Source:
            self.calls.append("stream")
            return Source(apieces())

        def call() -> Source:
            self.calls.append("stream")
            return Source(pieces())

        return Call(call, acall)

    def tokens(self, answer: str, before: Tokens = (None, None)) -> Tokens:
        return self.usage if answer.endswith(self.chunks[-1]) else (None, None)


def engine(scripted: Any = SURE) -> ScriptedEngine:
    return ScriptedEngine({SECRET: scripted})


class Miscounting(ScriptedEngine):
    """Returns one sample too few."""

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        generation = super().generate(messages, n=n, options=options)
        return Generation(samples=generation.samples[:-1], input_tokens=generation.input_tokens)


class MiscountingSamples(Miscounting):
    """Returns the answer, but one of the samples too few."""

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        return (super() if n > 1 else ScriptedEngine(self.script)).generate(messages, n=n, options=options)


class AtOnce:
    """Lets an engine answer and draw at once, as it would one after the other."""

    generate: Callable[..., Generation]

    def generate_with_samples(
        self,
        messages: Sequence[Message],
        *,
        options: SamplingOptions,
        n: int,
        sampling: SamplingOptions,
        limit: Callable[[Sample], int],
    ) -> list[Generation]:
        served = self.generate(messages, n=1, options=options)
        most = min(sampling.max_tokens, max(1, limit(served.samples[0])))
        return [served, self.generate(messages, n=n, options=replace(sampling, max_tokens=most))]
