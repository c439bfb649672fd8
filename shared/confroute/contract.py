"""What passes between an adapter and the router: the caller's request and cloud model, the decision, the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar

from confroute.records import ConfidenceRecord, Message, Sample, SamplingOptions
from confroute.steps import Call

Native = TypeVar("Native")
Given = TypeVar("Given", contravariant=True)
Tokens: TypeAlias = tuple[int | None, int | None]
"""Input and output tokens, None where the model does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. *unsupported* names what the edge cannot do about it, which sends it to the cloud."""

    messages: Sequence[Message]
    options: SamplingOptions = field(default_factory=SamplingOptions)
    unsupported: str | None = None
    limited: bool = True
    """Whether the caller set the limit of tokens. An answer that is cut short at any other is not served."""
    read: Callable[[Sample], object] | None = None
    """What the caller will do with an answer of the edge's; one on which it fails is not served."""
    announce: Callable[[ConfidenceRecord], Call] | None = None
    """The step that tells the caller's framework of the final record, before the last piece is handed out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Who is to answer. *answer* is the edge's, also when the cloud is to answer; None if the edge gave none."""

    record: ConfidenceRecord
    answer: Sample | None
    prompt_tokens: int | None = None
    """Of the prompt that *answer* answers. What the edge was asked besides counts in the record alone."""


class Cloud(Protocol[Given]):
    """The caller's cloud model, bound to one request of theirs. Written by each adapter."""

    @property
    def model(self) -> str: ...

    def invoke(self) -> Call:
        """The step that gives the whole answer, a native object."""
        ...

    def stream(self) -> Call:
        """The step that gives a `Source` of native chunks."""
        ...

    def tokens(self, answer: Given, before: Tokens = (None, None)) -> Tokens:
        """The count after *answer*, a whole one or a chunk; *before* is the count after the chunk before it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[Native]):
    """What is handed to the caller: the edge's *sample* or the cloud's *native* answer or chunk. In a stream only the
    last piece has a *record*, and its *native* may be None."""

    record: ConfidenceRecord | None
    sample: Sample | None = None
    prompt_tokens: int | None = None
    """Those that *sample* answers."""
    native: Native | None = None

    @property
    def usage(self) -> tuple[int, int] | None:
        """Input and output tokens of *sample* alone; None where the engine did not tell both."""
        told = None if self.sample is None else self.sample.told_tokens
        return None if told is None or self.prompt_tokens is None else (self.prompt_tokens, told)
