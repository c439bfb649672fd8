"""The nouns that pass between engines, estimators, the router and the adapters: frozen, typed, no behaviour but
that options are checked.

Quantities carry their unit in their name. Token logprobs are natural logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from confroute.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np

Message: TypeAlias = Mapping[str, Any]
"""One chat message in OpenAI's form, ``{"role": "user", "content": "..."}``, its content text. An answer that called
tools has ``tool_calls``, and what a tool gave is a message of the role "tool"."""

Route: TypeAlias = Literal["edge", "cloud"]

Reason: TypeAlias = Literal[
    "confident",  # the edge's answer is served: its confidence reaches the threshold
    "uncertain",  # escalated: its confidence does not
    "no_signal",  # escalated: the uncertainty could not be measured
    "uncertified",  # escalated: the certificate keeps nothing, or is for requests asked otherwise
    "edge_error",  # escalated: the edge model failed
    "unsupported",  # escalated: the request asks for what the edge cannot do (images; for some, tools or a JSON schema)
    "cloud_error",  # the edge's answer is served because the cloud failed and the caller allowed it
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOptions:
    """How the edge is to generate. *temperature* 0 is greedy; *max_tokens* counts new tokens; *alternatives* is how
    many of the most probable tokens are to be told at each position; an answer that ends by itself is JSON of
    *json_schema*, if there is one, which an engine with ``json_schema = True`` enforces. An answer may call *tools*,
    functions in OpenAI's form, with an engine that has ``tools = True``, and has to where *must_call*; only one of
    them at a time where not *parallel_calls*, which the engine need not know: the answer is looked at. *hidden_layer*
    asks for the hidden states after that layer, 0 being the embeddings and -1 the last, normed, in
    `Sample.hidden_states`. *stop* strings that are empty end nothing. ConfigurationError where a value cannot be."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    seed: int | None = None
    alternatives: int = 0
    json_schema: Mapping[str, Any] | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    must_call: bool = False
    parallel_calls: bool = True
    hidden_layer: int | None = None

    def __post_init__(self) -> None:
        wrong = [
            f"{name} must be {what}, not {getattr(self, name)!r}."
            for name, (what, holds) in _HELD.items()
            if not _is_held(holds, getattr(self, name))
        ]
        if wrong:
            raise ConfigurationError(" ".join(wrong))
        if isinstance(self.stop, str):
            raise ConfigurationError('stop must be a tuple of strings, such as ("\\n",), not one string.')
        if "" in self.stop:
            object.__setattr__(self, "stop", tuple(filter(None, self.stop)))

    @property
    def usable_temperature(self) -> float:
        """The temperature as float32 can divide by it: 0, or from 1e-6, where the likeliest token is as good as
        certain, to 1e6, where all are as likely."""
        return min(max(self.temperature, 1e-6), 1e6) if self.temperature else 0.0


# A fraction of a token would never be used up.
_HELD: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "temperature": ("a number of at least 0", lambda value: 0 <= value < math.inf),
    "top_p": ("a number from 0 to 1", lambda value: 0 <= value <= 1),
    "max_tokens": ("a whole number of at least 1", lambda value: index(value) >= 1),
    "alternatives": ("a whole number of at least 0", lambda value: index(value) >= 0),
    "seed": ("a whole number or None", lambda value: value is None or index(value) == value),
}


def _is_held(holds: Callable[[Any], bool], value: Any) -> bool:
    try:
        return holds(value)
    except TypeError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A function that an answer wants called."""

    name: str
    arguments: str
    """As the model wrote them: JSON of an object, if it did well."""


Alternatives: TypeAlias = tuple[tuple[str, float], ...]
"""Tokens that could stand at one place, each with its logprob before temperature, the likeliest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One answer of the edge model."""

    text: str
    """What it says, without white space around it; beside *tool_calls* mostly empty."""
    tool_calls: tuple[ToolCall, ...] = ()
    token_logprobs: tuple[float, ...] | None = None
    """log p of each generated token, end-of-turn token excluded, before temperature; None if unknown. llama.cpp tells
    of a character that is several tokens the last one's only."""
    tokens: tuple[str, ...] | None = None
    """The text of each of these tokens; None if unknown."""
    alternatives: tuple[Alternatives, ...] | None = None
    """For each of these tokens the most probable ones at its place, the likeliest first; None if not asked for."""
    output_tokens: int = 0
    finish_reason: str = "stop"
    hidden_states: np.ndarray[tuple[int, int], np.dtype[np.float32]] | None = field(
        default=None, compare=False, repr=False
    )
    """What the first token, and the last one or the end, were drawn from: float32, (2, hidden size), for probes. None
    if not asked for, or from an engine that has none: only `TransformersEngine` has."""

    @property
    def is_empty(self) -> bool:
        """Whether it neither says anything nor calls a tool."""
        return not self.tool_calls and not self.text.strip()

    @property
    def told_tokens(self) -> int | None:
        """How many tokens it has; None where the engine did not tell: what says something has some."""
        return self.output_tokens or (0 if self.is_empty else None)

    @property
    def mean_logprob(self) -> float:
        """Mean token logprob in nats, at most 0, higher is surer; NaN without logprobs."""
        if not self.token_logprobs:
            return math.nan
        return math.fsum(self.token_logprobs) / len(self.token_logprobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What one call of an engine returned: *n* samples of one prompt."""

    samples: tuple[Sample, ...]
    input_tokens: int
    """Tokens of the prompt, counted once whatever *n* is."""

    @property
    def output_tokens(self) -> int:
        return sum(sample.output_tokens for sample in self.samples)

    @property
    def told_input_tokens(self) -> int | None:
        """None where the engine did not tell them: there is no prompt of none."""
        return self.input_tokens or None

    @property
    def told_output_tokens(self) -> int | None:
        """None where the engine did not tell those of each sample."""
        return self.output_tokens if None not in (sample.told_tokens for sample in self.samples) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """A request that an estimator wants the edge to answer, such as "Is this answer true?"."""

    messages: tuple[Message, ...]
    options: SamplingOptions = field(default_factory=SamplingOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All an estimator may look at: the question, the answer that would be served, further samples, and the edge's
    replies to what the estimator asked it."""

    question: str
    answer: Sample
    samples: tuple[Sample, ...] = ()
    replies: Mapping[str, Sample] = field(default_factory=dict[str, Sample])


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """An uncertainty: higher is worse, NaN where it could not be measured."""

    uncertainty: float
    clusters: int | None = None
    """How many distinct meanings the samples had, where the estimator groups them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model costs, in US dollars per million tokens."""

    input_usd: float
    output_usd: float

    def cost_usd(self, input_tokens: int, output_tokens: int) -> float:
        return (input_tokens * self.input_usd + output_tokens * self.output_usd) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUsage:
    """What one tier used for one answer. Rejected work is charged: the edge's part is there also when the
    cloud's answer is served. Token counts and cost are None where the model does not tell them."""

    model: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float = 0.0
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceRecord:
    """Why an answer came from where it came. Travels with the answer; JSON by `to_dict`.

    >>> ConfidenceRecord(route="edge", reason="confident", confidence=0.9).to_dict()["route"]
    'edge'
    """

    route: Route
    reason: Reason
    confidence: float | None = None
    """In [0, 1], higher is surer; None where there was no signal. P(acceptable) only if *calibrated*."""
    uncertainty: float | None = None
    """The estimator's own number, higher is worse; None where there was no signal."""
    estimator: str | None = None
    """``name@version``; a threshold belongs to one estimator version."""
    threshold: float | None = None
    """The least confidence with which the edge's answer is served."""
    calibrated: bool = False
    certificate: str | None = None
    samples: int = 0
    """How many answers were sampled besides the served one."""
    samples_planned: int = 0
    """How many would have been, had the first ones not settled the decision."""
    clusters: int | None = None
    error: str | None = None
    """The class name of the error behind "edge_error", "cloud_error" or "no_signal"; never its text."""
    edge: ModelUsage | None = None
    cloud: ModelUsage | None = None

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON values, nested for `edge` and `cloud`."""
        # `dataclasses.asdict` copies all values deeply, which took a sixth of what routing costs.
        values: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        for tier in ("edge", "cloud"):
            usage = values[tier]
            values[tier] = usage and {name: getattr(usage, name) for name in usage.__slots__}
        return values


def in_roles_of_the_edge(messages: Sequence[Message]) -> Sequence[Message]:
    """The *messages*, with OpenAI's newer name of a system message, "developer", as the older one: edge models know no
    other, and a certificate takes them for the same.

    >>> in_roles_of_the_edge([{"role": "developer", "content": "Be brief."}])
    [{'role': 'system', 'content': 'Be brief.'}]
    """
    if all(message.get("role") != "developer" for message in messages):
        return messages
    return [{**message, "role": "system"} if message.get("role") == "developer" else message for message in messages]


def question_of(messages: Sequence[Message]) -> str:
    """The text of the last user message, or of the last message if no user spoke."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return str(message.get("content") or "")
    return str(messages[-1].get("content") or "") if messages else ""
