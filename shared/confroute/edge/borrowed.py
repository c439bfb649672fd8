"""A framework's own chat model as the edge: what LangChain's and LlamaIndex's have in common."""

from __future__ import annotations

import contextvars
import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, ClassVar, Generic, TypeVar, cast

from confroute.edge.clients import Clients
from confroute.edge.probing import PROBE
from confroute.edge.protocol import together
from confroute.errors import ConfigurationError, UnsupportedRequestError
from confroute.records import Generation, Message, Sample, SamplingOptions

Model = TypeVar("Model")
T = TypeVar("T")

_NAMES: Mapping[str, tuple[str, ...]] = {
    "temperature": ("temperature",),
    "do_sample": ("do_sample",),
    "top_p": ("top_p",),
    "max_tokens": (
        "max_tokens",
        "num_predict",
        "max_new_tokens",
        "max_output_tokens",
        "max_completion_tokens",
        "max_tokens_to_sample",
    ),
    "stop": ("stop", "stop_sequences"),
    "seed": ("seed", "random_seed"),
    "n": ("n",),
}
_MEANING: Mapping[str, str] = {name: meaning for meaning, names in _NAMES.items() for name in names}
# Not every model takes them: they are replaced where the caller set them.
_IF_SET = ("do_sample", "n")
_WITHIN = ("model_kwargs", "additional_kwargs", "extra_body", "generate_kwargs", "options")
_TRIALS = 4


class BorrowedModel(ABC, Generic[Model]):
    """An edge engine that asks a chat model of a framework once for each sample, all of them together.

    Its settings are not touched: each call has a copy with the sampling options in those of the model's fields that are
    named like them (``num_predict`` for the tokens, for one), and in place of those among the arguments *bound* to it.
    What the model has no field for stays as the caller set it. A model with a ``logprobs`` field is asked for them
    unless the caller turned it off. A seed of the model's own is that of its greedy answers; samples count on from it,
    for they would be copies of each other.

    A model without a field for the temperature may draw by itself. It is tried with four short samples before the
    first that have to differ.
    """

    rest_field: ClassVar[str | None] = None
    """The field that takes further parameters of a request, where the model has it."""

    def __init__(self, native: Model, name: str, bound: Mapping[str, Any] | None = None) -> None:
        self.model = name
        self._native = native
        self._clients = Clients()
        self._bound: Mapping[str, Any] = bound or {}
        own = next(_own_seeds(self._settings()), None)
        self._seeds = None if own is None else itertools.count(own + 1)
        self._draws = True if self._takes_temperature() else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r})"

    @abstractmethod
    def ask(
        self, model: Model, messages: Sequence[Message], options: SamplingOptions, arguments: Mapping[str, Any]
    ) -> tuple[Sample, int]:
        """One answer and the prompt's tokens, 0 where the model does not tell. What *options* say of sampling is in
        *model* and the *arguments* bound to it already."""

    @abstractmethod
    async def aask(
        self, model: Model, messages: Sequence[Message], options: SamplingOptions, arguments: Mapping[str, Any]
    ) -> tuple[Sample, int]:
        """`ask` on an event loop."""

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        if self._is_to_be_tried(n, options):
            self._judge(self._asked(PROBE, _TRIALS, _TRIED))
        return self._generation(self._asked(messages, n, options), options)

    async def agenerate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        if self._is_to_be_tried(n, options):
            self._judge(await self._aasked(PROBE, _TRIALS, _TRIED))
        return self._generation(await self._aasked(messages, n, options), options)

    def _asked(self, messages: Sequence[Message], n: int, options: SamplingOptions) -> list[tuple[Sample, int]]:
        with self._copies(n, options) as copies:
            return _at_once(
                [
                    lambda model=model, arguments=arguments: self.ask(model, messages, options, arguments)
                    for model, arguments in copies
                ]
            )

    async def _aasked(self, messages: Sequence[Message], n: int, options: SamplingOptions) -> list[tuple[Sample, int]]:
        with self._copies(n, options) as copies:
            answers = await together([self.aask(model, messages, options, arguments) for model, arguments in copies])
        await self._clients.close_spare()
        return answers

    def _generation(self, answers: Sequence[tuple[Sample, int]], options: SamplingOptions) -> Generation:
        samples = tuple(sample for sample, _ in answers)
        if options.must_call and not any(sample.tool_calls for sample in samples):
            raise UnsupportedRequestError(f'"{self.model}" calls no tool where it has to.')
        return Generation(samples=samples, input_tokens=max(tokens for _, tokens in answers))

    def _is_to_be_tried(self, n: int, options: SamplingOptions) -> bool:
        if n == 1 or not options.temperature or self._draws:
            return False
        if self._draws is None:
            return True
        raise ConfigurationError(
            f'"{self.model}" has no temperature to set and says the same each time: samples would agree whatever the '
            "model knows. Give its class a field called temperature that its answers heed, or have it draw by itself."
        )

    def _judge(self, answers: Sequence[tuple[Sample, int]]) -> None:
        self._draws = len({sample.text for sample, _ in answers}) > 1
        self._is_to_be_tried(len(answers), _TRIED)

    def _takes_temperature(self) -> bool:
        return self._rest_name() is not None or any("temperature" in each for each in self._settings())

    def _rest_name(self) -> str | None:
        return self.rest_field if self.rest_field in self._fields() else None

    def _fields(self) -> Mapping[str, Any]:
        return cast("Any", self._native).__class__.model_fields

    def _settings(self) -> list[Mapping[str, Any]]:
        """What the caller set of sampling, that which prevails first."""
        fields = {name: getattr(self._native, name) for name in self._fields() if name in _MEANING or name in _WITHIN}
        return [*_with_inner(self._bound), *_with_inner(fields)]

    @contextmanager
    def _copies(self, n: int, options: SamplingOptions) -> Generator[list[tuple[Model, Mapping[str, Any]]]]:
        """For each sample the model as it is to be asked, and the arguments bound to it."""
        copies = self._models(n, options)
        with self._clients.shared_by([model for model, _ in copies]):
            yield copies

    def _models(self, n: int, options: SamplingOptions) -> list[tuple[Model, Mapping[str, Any]]]:
        seeds: Iterable[int | None] = itertools.repeat(None)
        if options.seed is not None:
            seeds = itertools.count(options.seed)
        elif self._seeds is not None and (n > 1 or options.temperature):
            seeds = self._seeds
        return [self._configured(options, seed) for seed in itertools.islice(seeds, n)]

    def _configured(self, options: SamplingOptions, seed: int | None) -> tuple[Model, Mapping[str, Any]]:
        native, known = cast("Any", self._native), self._fields()
        told: dict[str, Any] = {
            "temperature": options.temperature,
            "do_sample": options.temperature > 0,
            "top_p": options.top_p,
            "max_tokens": options.max_tokens,
            "stop": list(options.stop) or None,
            "seed": seed,
            "n": 1,
        }
        wanted = {meaning: value for meaning, value in told.items() if value is not None}
        update = {name: _replaced(getattr(native, name), wanted) for name in _WITHIN if name in known}
        fields: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        for meaning, value in wanted.items():
            field = next((name for name in _NAMES[meaning] if name in known), None)
            if meaning in _IF_SET and (field is None or getattr(native, field) is None):
                continue
            if field is not None:
                fields[field] = value
            elif rest_name := self.limit_name(native) if meaning == "max_tokens" else meaning:
                rest[rest_name] = value
        if (rest_field := self._rest_name()) is not None:
            update[rest_field] = {**rest, **_replaced(getattr(native, rest_field), wanted)}
        if "logprobs" in known and native.logprobs is not False:
            update["logprobs"] = True
            if "top_logprobs" in known:
                # Some leave out the sampled token's own where none of the others is asked for.
                update["top_logprobs"] = max(1, options.alternatives)
        return native.model_copy(update={**update, **fields, **self.isolation()}), self._arguments(wanted, fields)

    def _arguments(self, wanted: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
        """Those bound to the model, but for what is *wanted* of its *fields*: some refuse to be told twice."""
        told = {_MEANING[field] for field in fields}
        arguments = {name: value for name, value in self._bound.items() if _MEANING.get(name) not in told}
        if isinstance(arguments.get("options"), Mapping):
            # ChatOllama sends them in place of all of its fields.
            arguments["options"] = {**fields, **arguments["options"]}
        return _replaced(arguments, wanted)

    def limit_name(self, native: Model) -> str | None:  # noqa: ARG002
        """What max_tokens is called among the further parameters of a request, where the model has no field for it;
        None where that is not known, for it has as many names as there are servers."""
        return None

    def isolation(self) -> Mapping[str, Any]:
        """Fields that keep the framework from giving one sample for all, or showing each to the caller's callbacks."""
        return {}


_TRIED = SamplingOptions(temperature=1.0, max_tokens=32)


def cut_short(*reasons: object) -> bool:
    """Whether one of the *reasons* for an answer's end, in any maker's words, is that it may not be longer."""
    return any(isinstance(reason, str) and reason.lower() in ("length", "max_tokens") for reason in reasons)


def _at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """The results of all *calls*, made in threads. After the first error, or Ctrl-C, the others are left behind: a
    thread cannot be ended, but neither this nor the end of the process waits for it."""
    done: SimpleQueue[tuple[int, T | None, BaseException | None]] = SimpleQueue()

    def make(i: int, call: Callable[[], T]) -> None:
        try:
            done.put((i, call(), None))
        except BaseException as error:
            done.put((i, None, error))

    for i, call in enumerate(calls):
        # Each in a copy of the caller's context, where tracers and the like live.
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(make, i, call), name="confroute sample", daemon=True).start()
    results: dict[int, Any] = {}
    for _ in calls:
        i, results[i], error = done.get()
        if error is not None:
            raise error
    return [results[i] for i in range(len(calls))]


def _with_inner(settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    inner = [settings[name] for name in _WITHIN if isinstance(settings.get(name), Mapping)]
    return [*itertools.chain.from_iterable(map(_with_inner, inner)), settings]


def _own_seeds(settings: Sequence[Mapping[str, Any]]) -> Iterator[int]:
    """Seeds among *settings*; below 0 is a common word for none."""
    for each in settings:
        for name in _NAMES["seed"]:
            if isinstance(seed := each.get(name), int) and seed >= 0:
                yield seed


def _replaced(given: Any, wanted: Mapping[str, Any]) -> Any:
    """*given*, where it is a mapping, with the values that are *wanted* in place of its own for the same."""
    if not isinstance(given, Mapping):
        return given
    replaced: dict[str, Any] = {}
    for name, value in cast("Mapping[str, Any]", given).items():
        inner = _replaced(value, wanted) if name in _WITHIN else value
        replaced[name] = wanted.get(_MEANING.get(name, ""), inner)
    return replaced
