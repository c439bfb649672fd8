"""A framework's own chat model as the edge: what LangChain's and LlamaIndex's have in common."""

from __future__ import annotations

import itertools
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, cast

from confroute.edge.borrowed_drawing import Drawing
from confroute.edge.borrowed_inner import chain_of, tell_inner
from confroute.edge.borrowed_loads import Loads
from confroute.edge.borrowed_replies import Reply, said
from confroute.edge.borrowed_settings import (
    LOGPROBS,
    MEANING,
    NAMES,
    OPENAIS_LIMITS,
    UNSAID,
    WITHIN,
    field_for,
    fields_of,
    only_replaced,
    own_seeds,
    own_settings,
    own_stops,
    private_settings,
    replaced,
    told_fields,
    wanted_by,
    with_inner,
    with_thoughts,
)
from confroute.edge.borrowed_turns import BorrowedTurns
from confroute.edge.clients import Again, Clients
from confroute.edge.cut_prompts import refuse_cut
from confroute.edge.objections import Objections, Told, may_be_of_the_request, names_any
from confroute.edge.probing import PROBE
from confroute.edge.sdk_clients import sdk_clients_of
from confroute.errors import UnsupportedRequestError
from confroute.records import Generation, Message, SamplingOptions
from confroute.steps import Call, Flow, arun, run

logger = logging.getLogger("confroute")

Model = TypeVar("Model")
_Configured: TypeAlias = tuple[Model, Mapping[str, Any]]
"""A model as it is to be asked, and the arguments bound to it."""

_LOGPROBS_TOLD: Told = ("logprobs", None)


class BorrowedModel(ABC, Generic[Model]):
    """An edge engine that asks a chat model of a framework once for each sample, all of them together.

    Its settings are not touched: each call has a copy with the sampling options in those of the model's fields that are
    named like them (``num_predict`` for the tokens, for one), and in place of those among the arguments *bound* to it
    or in a private mapping that has the temperature. What the model has no field for stays as the caller set it, but
    for stop strings, which are told as the framework tells them, or such a request is refused. What it is around, a
    model of a framework or a pipeline of transformers, is told them in the same way, in a copy of its own. A model with
    a ``logprobs`` field is asked for them unless the caller turned it off. A seed of the model's own is that of its
    greedy answers; samples count on from it, for they would be copies of each other.

    A request that is refused is made again without what the refusal names (a seed, top_p, a temperature of at most 1),
    or without logprobs; where that helped, the next two minutes' are made so at once. Where it named nothing, it is
    made with logprobs once more first: what came only once had another cause. Of what is left out, a value of
    the model's own is, too: samples that all had its top_p of 0.1 would agree whatever it knows.

    That a model draws is tried where its samples of a request agree, as `Drawing` does: one that says the same each
    time is no edge, for its samples would agree whatever it knows.

    At most *connections* samples are under way at the same time in threads, and as many on each event loop; more wait,
    those of all requests together. Where none are given, these are 16, but for a model that runs in this process
    on what serves one thread at a time, such as a context of llama.cpp: one, for all edges and event loops that ask it;
    where it can only be awaited, one on each event loop. What it asks of that context itself for an answer, by another
    edge, is within its turn.
    """

    rest_field: ClassVar[str | None] = None
    """The field that takes further parameters of a request, where the model has it."""

    def __init__(
        self, native: Model, name: str, bound: Mapping[str, Any] | None = None, *, connections: int | None = None
    ) -> None:
        self.model = name
        self._native = native
        self._bound: Mapping[str, Any] = bound or {}
        self._clients, self._loads = Clients(), Loads(name)
        self._turns = BorrowedTurns(native, connections, is_synchronous=self.is_synchronous(native))
        self._drawing = Drawing(name)
        own = next(own_seeds(self._settings()), None)
        self._seeds = None if own is None else itertools.count(own + 1)
        self._objections = Objections()
        self._warned = False
        self._may_misname = True  # the limit of an answer: it has said none yet

    def __getstate__(self) -> dict[str, Any]:
        # Another machine has another clock, and Python has no copies of counters any more.
        seed = None if self._seeds is None else next(self._seeds)
        return {**self.__dict__, "_seeds": seed, "_objections": Objections()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        seed = state["_seeds"]
        vars(self).update(state, _seeds=None if seed is None else itertools.count(seed))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r})"

    @abstractmethod
    def ask(
        self, model: Model, messages: Sequence[Message], options: SamplingOptions, arguments: Mapping[str, Any]
    ) -> Reply:
        """One answer. What *options* say of sampling is in *model* and the *arguments* bound to it already."""

    @abstractmethod
    async def aask(
        self, model: Model, messages: Sequence[Message], options: SamplingOptions, arguments: Mapping[str, Any]
    ) -> Reply:
        """`ask` on an event loop."""

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        return run(self._generation(messages, n, options))

    async def agenerate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        return await arun(self._generation(messages, n, options))

    def _generation(self, messages: Sequence[Message], n: int, options: SamplingOptions) -> Flow[Generation]:
        are_to_differ = n > 1 and options.temperature > 0
        if are_to_differ:
            self._drawing.refuse_copies()
        was_apart = self._drawing.is_apart
        replies = yield from self._replies(messages, n, options)
        self._drawing.may_say(options.max_tokens)  # it was not refused
        generation = self._read(messages, replies, options)
        if not are_to_differ:
            return generation
        if len(said(replies)) > 1:
            self._drawing.have_differed()
            return generation
        yield from self._drawing.is_tried(
            lambda n, options: self._replies(PROBE, n, options), lambda: self._is_told_temperature(options)
        )
        if self._drawing.is_apart and not was_apart:  # these may be a cache's
            generation = self._read(messages, (yield from self._replies(messages, n, options)), options)
        return generation

    def _read(self, messages: Sequence[Message], replies: Sequence[Reply], options: SamplingOptions) -> Generation:
        input_tokens = max(reply.input_tokens for reply in replies)
        refuse_cut(messages, input_tokens, model=self.model)
        stop = options.stop or own_stops(self._settings())
        samples = tuple(reply.sample(options.alternatives, stop) for reply in replies)
        if options.must_call and not any(sample.tool_calls for sample in samples):
            raise UnsupportedRequestError(f'"{self.model}" calls no tool where it has to.')
        return Generation(samples=samples, input_tokens=input_tokens)

    def _is_told_temperature(self, options: SamplingOptions) -> bool:
        refused = ("temperature", options.temperature) in self._objections.standing()
        return not refused and self._has_place_for("temperature")

    def _replies(self, messages: Sequence[Message], n: int, options: SamplingOptions) -> Flow[list[Reply]]:
        """The model's answers, asked for once more without what it refuses to be told."""
        standing = self._objections.standing()
        refused: list[Told] = []
        is_guess = False
        while True:
            try:
                replies = yield self._request(messages, n, options, standing.union(refused))
                break
            except Exception as error:
                told = self._objected_to(error, options, standing.union(refused))
                if told is None:
                    self._hint(error)
                    raise
                refused.append(told)
                is_guess = is_guess or (told == _LOGPROBS_TOLD and not names_any(error, LOGPROBS))
        if is_guess:
            # What failed may have passed by itself: it was of them if they are refused where all else was answered.
            others = [told for told in refused if told != _LOGPROBS_TOLD]
            try:
                replies = yield self._request(messages, n, options, standing.union(others))
                refused = others
            except Exception as error:
                refused = refused if may_be_of_the_request(error) else others
        self._may_misname = False
        self._objections.remember(refused)
        self._warn(refused)
        return replies

    def _hint(self, error: Exception) -> None:
        if self._may_misname and may_be_of_the_request(error) and names_any(error, OPENAIS_LIMITS):
            self._may_misname = False
            logger.warning(
                '"%s" refuses a request for its limit of tokens (%s). If its server has another name for it, give the '
                'model one by that name: ChatOpenAI extra_body={"max_tokens": 500}, LlamaIndex\'s OpenAILike '
                'additional_kwargs={"max_completion_tokens": 500}. The request\'s own number is then told so.',
                self.model,
                type(error).__name__,
            )

    def _objected_to(self, error: Exception, options: SamplingOptions, without: AbstractSet[Told]) -> Told | None:
        """What to leave out next of a request that was told all but what it is *without*, that which is missed the
        least first."""
        if not may_be_of_the_request(error):
            return None
        told: list[Told] = [("top_p", options.top_p)]
        if options.seed is not None or self._seeds is not None:
            told.insert(0, ("seed", None))
        if isinstance(error, TypeError) and self._rest_name() is not None and self._field("stop") is None:
            told += [(name, None) for name in NAMES["stop"]]  # the next of the names is said
        if options.temperature <= 1:  # above, it is the value that is refused
            told.append(("temperature", options.temperature))
        left = [each for each in told if each not in without and self._has_place_for(MEANING[each[0]])]
        named = [each for each in left if names_any(error, NAMES[MEANING[each[0]]])]
        if self._takes_logprobs() and _LOGPROBS_TOLD not in without and (not named or names_any(error, LOGPROBS)):
            return _LOGPROBS_TOLD
        return next(iter(named), None)

    def _warn(self, refused: Sequence[Told]) -> None:
        for name, value in refused:
            if name == "temperature" and not self._warned:
                self._warned = True
                logger.warning(
                    '"%s" refuses a temperature of %g, and is asked without one: its answers, the one that is served '
                    "among them, are drawn as it draws by itself.",
                    self.model,
                    value,
                )

    def _request(
        self, messages: Sequence[Message], n: int, options: SamplingOptions, without: AbstractSet[Told]
    ) -> Call:
        copies = self._models(n, options, without)
        chains = [chain_of(model) for model, _ in copies]
        asks = [
            self._asking(messages, options, chain, arguments)
            for chain, (_, arguments) in zip(chains, copies, strict=True)
        ]
        return self._together(chains, asks)

    def _asking(
        self, messages: Sequence[Message], options: SamplingOptions, chain: Sequence[Any], arguments: Mapping[str, Any]
    ) -> Call:
        def ask() -> Reply:
            with self._loads.told(chain):
                return self.ask(chain[0], messages, options, arguments)

        async def aask() -> Reply:
            with self._loads.told(chain):
                return await self.aask(chain[0], messages, options, arguments)

        return Call(ask, aask)

    def _together(self, models: Sequence[Sequence[Model]], asks: Sequence[Call]) -> Call:
        def asked() -> list[Reply]:
            with self._shared_clients(models):
                return self._turns.take(asks)

        async def aasked() -> list[Reply]:
            with self._shared_clients(models):
                replies = await self._turns.atake(asks)
            await self._clients.close_spare()
            return replies

        return Call(asked, aasked)

    def _shared_clients(self, models: Sequence[Sequence[Model]]) -> AbstractContextManager[None]:
        return self._clients.shared_by(models, chain_of(self._native), self.loop_clients)

    def _rest_name(self) -> str | None:
        return self.rest_field if self.rest_field in self._fields() else None

    def _fields(self) -> Mapping[str, Any]:
        return fields_of(self._native)

    def _field(self, meaning: str) -> str | None:
        return field_for(meaning, self._fields())

    def _settings(self) -> list[Mapping[str, Any]]:
        """What the caller set of sampling, that which prevails first."""
        models = chain_of(self._native)
        return [*with_inner(self._bound), *itertools.chain.from_iterable(map(own_settings, models))]

    def _models(self, n: int, options: SamplingOptions, without: AbstractSet[Told]) -> list[_Configured[Model]]:
        seeds: Iterable[int | None] = itertools.repeat(None)
        if options.seed is not None:
            seeds = itertools.count(options.seed)
        elif self._seeds is not None and (n > 1 or options.temperature):
            seeds = self._seeds
        return [self._configured(options, seed, without) for seed in itertools.islice(seeds, n)]

    def _configured(self, options: SamplingOptions, seed: int | None, without: AbstractSet[Told]) -> _Configured[Model]:
        native, known = cast("Any", self._native), self._fields()
        wanted = wanted_by(options, seed, without)
        if options.temperature > 0 and wanted["temperature"] is not UNSAID:
            wanted["temperature"] = self._drawing.temperature(options.temperature)
        wanted["max_tokens"] = with_thoughts(options.max_tokens, self._settings(), native.__dict__)
        update = {name: replaced(getattr(native, name), wanted) for name in WITHIN if name in known}
        fields = told_fields(native, wanted, self._bound)
        rest: dict[str, Any] = {}
        for meaning, value in wanted.items():
            is_left = value is UNSAID or meaning in only_replaced(wanted) or self._field(meaning) is not None
            if not is_left and (rest_name := self._name_in_rest(meaning, without)):
                rest[rest_name] = value
        if (rest_field := self._rest_name()) is not None:
            update[rest_field] = {**rest, **replaced(getattr(native, rest_field), wanted)}
        arguments = self._arguments(wanted, fields)
        if options.stop and not self._has_place_for("stop", without):
            arguments |= self.stop_arguments(options.stop)
        if self._takes_logprobs() and _LOGPROBS_TOLD not in without:
            # Some leave out the sampled token's own where none of the others is asked for.
            asked = {"logprobs": True, "top_logprobs": max(1, options.alternatives)}
            update |= {name: value for name, value in asked.items() if name in known}
        else:
            # As nobody asks for them: OpenAI's client for responses knows no such parameter, not even a false one.
            usual = {name: known[name].default for name in LOGPROBS if name in known}
            update |= {name: False if default else default for name, default in usual.items()}
            arguments = {name: value for name, value in arguments.items() if name not in LOGPROBS}
        copied = native.model_copy(update={**update, **fields, **self.isolation()})
        for name, settings in private_settings(native).items():
            setattr(copied, name, replaced(settings, wanted))
        tell_inner(copied, wanted, (native,))
        return copied, arguments

    def _name_in_rest(self, meaning: str, without: AbstractSet[Told]) -> str | None:
        if meaning == "max_tokens":
            return self.limit_name(cast("Any", self._native))
        own: Any = getattr(self._native, self._rest_name() or "", {})
        names = [name for name in NAMES[meaning] if (name, None) not in without]
        return next((name for name in names if name in own), next(iter(names), None))

    def _has_place_for(self, meaning: str, without: AbstractSet[Told] = frozenset()) -> bool:
        named = {name for each in self._settings() for name in each}
        in_rest = self._rest_name() is not None and self._name_in_rest(meaning, without) is not None
        return in_rest or not named.isdisjoint(NAMES[meaning])

    def _takes_logprobs(self) -> bool:
        """Whether it has a place for them and the caller did not turn them off."""
        told = self._bound.get("logprobs", getattr(self._native, "logprobs", None))
        return told is not False and ("logprobs" in self._fields() or "logprobs" in self._bound)

    def _arguments(self, wanted: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
        """Those bound to the model, but for what is *wanted* of its *fields*: some refuse to be told twice."""
        told = {MEANING[field] for field in fields}
        arguments = {name: value for name, value in self._bound.items() if MEANING.get(name) not in told}
        if isinstance(arguments.get("options"), Mapping):
            # ChatOllama sends them in place of all of its fields.
            arguments["options"] = {**fields, **arguments["options"]}
        return replaced(arguments, wanted)

    def limit_name(self, native: Model) -> str | None:  # noqa: ARG002
        """What max_tokens is called among the further parameters of a request, where the model has no field for it;
        None where that is not known, for it has as many names as there are servers."""
        return None

    def stop_arguments(self, stop: Sequence[str]) -> Mapping[str, Any]:  # noqa: ARG002
        """What tells a model the stop strings that has no other place for them.

        Raises:
            UnsupportedRequestError: nothing does.
        """
        raise UnsupportedRequestError(f'"{self.model}" takes no stop strings.')

    def is_synchronous(self, native: Model) -> bool:  # noqa: ARG002
        """Whether the asynchronous form of this model is known to be none, or to block the event loop."""
        return False

    def loop_clients(self, again: Again) -> Mapping[str, Any]:
        """Asynchronous clients, by their names, for the copies that are asked on one event loop, as the model's own are
        now: for a model that has its own from the beginning, whose connections one loop would leave to the next. None
        that the caller gave. Each request has them, and what takes long is made *again* once.
        """
        return sdk_clients_of(self._native, again)

    def isolation(self) -> Mapping[str, Any]:
        """Fields that keep the framework from giving one sample for all, or showing each to the caller's callbacks."""
        return {}


def routed_edge(kind: str) -> str:
    """Why a routed model of this *kind* is no edge."""
    return (
        "A routed model is no edge: some of its samples would be another model's than others. "
        f"Have it be the cloud: {kind}(edge=small, cloud={kind}(edge=medium, cloud=large))."
    )
