"""A framework's own chat model as the edge: what LangChain's and LlamaIndex's have in common."""

from __future__ import annotations

import contextvars
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Generic, TypeVar, cast

from confroute.edge.protocol import together
from confroute.errors import UnsupportedRequestError
from confroute.records import Generation, Message, Sample, SamplingOptions

Model = TypeVar("Model")

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "max_tokens": ("max_tokens", "num_predict", "max_new_tokens", "max_output_tokens"),
    "stop": ("stop", "stop_sequences"),
    "seed": ("seed",),
}


class BorrowedModel(ABC, Generic[Model]):
    """An edge engine that asks a chat model of a framework once for each sample, all of them together.

    Its settings are not touched: each call has a copy with the sampling options in those of the model's fields that are
    named like them (``num_predict`` for the tokens, for one). What the model has no field for stays as the caller set
    it. A model with a ``logprobs`` field is asked for them unless the caller turned it off.
    """

    rest_field: ClassVar[str | None] = None
    """The field, if any, that takes further parameters of a request."""

    def __init__(self, native: Model, name: str) -> None:
        self.model = name
        self._native = native

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r})"

    @abstractmethod
    def ask(self, model: Model, messages: Sequence[Message], options: SamplingOptions) -> tuple[Sample, int]:
        """One answer and the prompt's tokens, 0 where the model does not tell. What *options* say of sampling is in
        *model* already."""

    @abstractmethod
    async def aask(self, model: Model, messages: Sequence[Message], options: SamplingOptions) -> tuple[Sample, int]:
        """`ask` on an event loop."""

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        models = self._models(n, options)
        with ThreadPoolExecutor(n) as pool:
            # Each in a copy of the caller's context, where tracers and the like live.
            asked = [
                pool.submit(contextvars.copy_context().run, self.ask, model, messages, options) for model in models
            ]
            return self._generation([future.result() for future in asked], options)

    async def agenerate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        models = self._models(n, options)
        answers = await together([self.aask(model, messages, options) for model in models])
        return self._generation(answers, options)

    def _generation(self, answers: Sequence[tuple[Sample, int]], options: SamplingOptions) -> Generation:
        samples = tuple(sample for sample, _ in answers)
        if options.must_call and not any(sample.tool_calls for sample in samples):
            raise UnsupportedRequestError(f'"{self.model}" calls no tool where it has to.')
        return Generation(samples=samples, input_tokens=max(tokens for _, tokens in answers))

    def _models(self, n: int, options: SamplingOptions) -> list[Model]:
        seeds = [None if options.seed is None else options.seed + i for i in range(n)]
        return [self._configured(options, seed) for seed in seeds]

    def _configured(self, options: SamplingOptions, seed: int | None) -> Model:
        native = cast("Any", self._native)
        known: Mapping[str, Any] = native.__class__.model_fields
        wanted: dict[str, Any] = {
            "temperature": options.temperature,
            "top_p": options.top_p,
            "max_tokens": options.max_tokens,
            "stop": list(options.stop) or None,
            "seed": seed,
        }
        update: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        for name, value in wanted.items():
            field = next((field for field in _FIELDS[name] if field in known), None)
            if value is None:
                continue
            if field is not None:
                update[field] = value
            elif rest_name := self.limit_name(native) if name == "max_tokens" else name:
                rest[rest_name] = value
        if self.rest_field is not None:
            update[self.rest_field] = {**getattr(native, self.rest_field), **rest}
        if "logprobs" in known and native.logprobs is not False:
            update["logprobs"] = True
            if "top_logprobs" in known:
                # Some leave out the sampled token's own where none of the others is asked for.
                update["top_logprobs"] = max(1, options.alternatives)
        return native.model_copy(update={**update, **self.isolation()})

    def limit_name(self, native: Model) -> str | None:  # noqa: ARG002
        """What max_tokens is called among the further parameters of a request, where the model has no field for it;
        None where that is not known, for it has as many names as there are servers."""
        return None

    def isolation(self) -> Mapping[str, Any]:
        """Fields that keep the framework from giving one sample for all, or showing each to the caller's callbacks."""
        return {}
