"""Samples of a LangChain chat model differ wherever the model itself can, whatever the caller set on it."""

from __future__ import annotations

import asyncio
import copy
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.language_models import SimpleChatModel
from langchain_core.messages import BaseMessage
from pydantic import Field

from confroute import ConfigurationError, Generation, SamplingOptions
from confroute_langchain import ConfidenceRoutedChatModel
from confroute_langchain.edge import ChatModelEdge
from tests.edge.scripted_ollama import ollama
from tests.edge.scripted_server import ScriptedServer, completion, serving
from tests.langchain.scripted import ScriptedCloud
from tests.langchain.test_edge import chat

langchain_ollama = pytest.importorskip("langchain_ollama")

ASK = [{"role": "user", "content": "Capital of Peru?"}]
DRAWN = SamplingOptions(temperature=0.7, top_p=0.9, max_tokens=8)
GREEDY = SamplingOptions(max_tokens=8)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with serving(lambda request: completion(["Lima"])) as server:
        yield server


class Scripted(SimpleChatModel):
    """Says what *answer* makes of the number of the call, and has no field for anything of sampling."""

    answer: Callable[[int], str]
    seen: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> str:
        self.seen.append({"stop": stop, **kwargs} if stop else kwargs)
        return self.answer(len(self.seen))


def asked(edge: ChatModelEdge, n: int, options: SamplingOptions) -> Generation:
    return edge.generate(ASK, n=n, options=options)


def awaited(edge: ChatModelEdge, n: int, options: SamplingOptions) -> Generation:
    return asyncio.run(edge.agenerate(ASK, n=n, options=options))


@pytest.mark.parametrize(
    ("given", "bound"),
    [({"seed": 42}, {}), ({}, {"seed": 42}), ({"seed": 3}, {"seed": 42}), ({"seed": 42}, {"temperature": 0})],
    ids=["field", "bound", "both", "with_temperature"],
)
def test_a_seed_of_the_models_own_makes_no_copies(
    server: ScriptedServer, given: dict[str, Any], bound: dict[str, Any]
) -> None:
    """No two samples have a seed in common, in one wave or in two, nor one with the served answer, whose seed it is."""
    edge = ChatModelEdge(chat(server.url, **given).bind(**bound))
    for n, options in ((1, GREEDY), (3, DRAWN), (1, DRAWN), (2, DRAWN)):
        edge.generate(ASK, n=n, options=options)
    seeds = [request["seed"] for request in server.answered]
    assert seeds[0] == 42
    assert len(set(seeds)) == 7


def test_a_seed_of_the_models_own_repeats_the_run(server: ScriptedServer) -> None:
    """Two edges made alike, asked alike, ask with the same seeds: that is what a caller sets one for."""
    for _ in range(2):
        ChatModelEdge(chat(server.url, seed=42)).generate(ASK, n=3, options=DRAWN)
    seeds = [request["seed"] for request in server.answered]
    assert sorted(seeds[:3]) == sorted(seeds[3:])


@pytest.mark.parametrize("given", [{"seed": 42}, {"extra_body": {"seed": 42, "top_k": 9}}, {}])
def test_the_requests_seed_prevails(server: ScriptedServer, given: dict[str, Any]) -> None:
    """Where the options have one, each sample's is counted from it."""
    options = SamplingOptions(temperature=0.7, seed=5)
    ChatModelEdge(chat(server.url, **given)).generate(ASK, n=3, options=options)
    assert sorted(request["seed"] for request in server.answered) == [5, 6, 7]
    assert [request.get("top_k") for request in server.answered] == [9 if "extra_body" in given else None] * 3


def test_a_model_without_a_seed_is_sent_none(server: ScriptedServer) -> None:
    """Some servers refuse one."""
    ChatModelEdge(chat(server.url)).generate(ASK, n=2, options=DRAWN)
    assert ["seed" in request for request in server.answered] == [False, False]


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 42},
        {"options": {"seed": 42, "temperature": 0, "num_predict": 99}},
        {"options": {"seed": 42, "num_ctx": 99}},
    ],
)
def test_ollamas_seed_makes_no_copies(options: dict[str, Any]) -> None:
    """Nor does that of Ollama, on the model or among the options bound to it."""
    with ollama() as server:
        model = langchain_ollama.ChatOllama(model="small", base_url=server.url)
        edge = ChatModelEdge(model.bind(**options) if "options" in options else model.model_copy(update=options))
        for _ in range(2):
            edge.generate(ASK, n=2, options=DRAWN)
        asked = server.sampling
    assert len({each["seed"] for each in asked} - {42}) == 4
    assert {(each["temperature"], each["num_predict"]) for each in asked} == {(0.7, 8)}


def test_bound_arguments_do_not_override_the_sampling(server: ScriptedServer) -> None:
    """What is bound holds for the model's answers to its caller; how the edge samples, the router says."""
    bound = {"temperature": 0, "top_p": 0.1, "max_tokens": 99, "stop": ["\n"], "seed": 1, "n": 3, "user": "somebody"}
    options = SamplingOptions(temperature=0.7, top_p=0.9, max_tokens=8, stop=("END",), seed=5)
    ChatModelEdge(chat(server.url, n=4).bind(**bound)).generate(ASK, n=2, options=options)
    for request in server.answered:
        assert (request["temperature"], request["top_p"], request["stop"]) == (0.7, 0.9, ["END"])
        assert request.get("max_tokens", request.get("max_completion_tokens")) == 8
        assert (request.get("n", 1), request["user"]) == (1, "somebody")
    assert sorted(request["seed"] for request in server.answered) == [5, 6]


def test_bound_arguments_hold_where_the_request_says_nothing(server: ScriptedServer) -> None:
    """A bound stop string stays if the request has none."""
    ChatModelEdge(chat(server.url).bind(stop=["\n"])).generate(ASK, n=1, options=DRAWN)
    assert server.answered[0]["stop"] == ["\n"]


def test_a_model_may_take_the_sampling_as_arguments_only() -> None:
    """What a model has no field for is said where the caller said it, by the same name."""
    model = Scripted(answer=lambda call: f"Lima {call}")
    edge = ChatModelEdge(model.bind(temperature=0, num_predict=99, random_seed=42, top_k=9))
    edge.generate(ASK, n=2, options=DRAWN)
    seeds = {seen.pop("random_seed") for seen in model.seen}
    assert model.seen == [{"temperature": 0.7, "num_predict": 8, "top_k": 9}] * 2
    assert len(seeds - {42}) == 2


@pytest.mark.parametrize("ask", [asked, awaited])
def test_a_model_that_cannot_draw_is_refused(ask: Callable[..., Generation]) -> None:
    """Its samples would agree whatever it knows, where it has no field for the temperature as where it has one."""
    edge = ChatModelEdge(Scripted(answer=lambda call: "Lima"))
    assert ask(edge, 1, DRAWN).samples[0].text == "Lima"
    assert len(ask(edge, 2, GREEDY).samples) == 2
    with pytest.raises(ConfigurationError, match='"Scripted" says the same each time'):
        ask(edge, 2, DRAWN)


def test_a_routed_model_tells_that_its_edge_cannot_draw() -> None:
    """It does not escalate everything in silence, nor serve everything."""
    routed = ConfidenceRoutedChatModel(edge=Scripted(answer=lambda call: "Lima"), cloud=ScriptedCloud())
    with pytest.raises(ConfigurationError, match="says the same each time"):
        routed.invoke("Capital of Peru?")


@pytest.mark.parametrize("ask", [asked, awaited])
def test_a_model_that_draws_by_itself_is_an_edge(ask: Callable[..., Generation]) -> None:
    """Without a field for the temperature, but with a mind of its own."""
    model = Scripted(answer=lambda call: f"Lima {call}")
    edge = ChatModelEdge(model)
    assert {len(ask(edge, 3, DRAWN).samples) for _ in range(2)} == {3}
    assert len(model.seen) == 6


class Hanging(Scripted):
    """Its fourth call does what *last* does; all wait for *go*, and *ended* has those that waited enough."""

    temperature: float = 1.0
    last: Callable[[], None]
    go: Any = Field(default_factory=threading.Event)
    ended: list[str] = Field(default_factory=list[str])

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> str:
        said = super()._call(messages, stop, run_manager, **kwargs)
        if said == "4":
            self.last()
        self.go.wait(20)
        self.ended.append(said)
        return said


def fail() -> None:
    raise LookupError


def interrupt() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.mark.parametrize(("last", "error"), [(fail, LookupError), (interrupt, KeyboardInterrupt)])
def test_it_waits_for_no_other_samples(last: Callable[[], None], error: type[BaseException]) -> None:
    """After the first error, or Ctrl-C, nobody wants the other samples, which may take minutes."""
    model = Hanging(answer=str, last=last)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(error):
            ChatModelEdge(model).generate(ASK, n=4, options=DRAWN)
        assert model.ended == []
    finally:
        signal.signal(signal.SIGINT, before)
        model.go.set()


def of_seed(call: int) -> str:
    return f"Lima {call}"


class Seeded(Scripted):
    seed: int | None = 42
    seeds: list[int | None] = Field(default_factory=list[int | None])

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> str:
        self.seeds.append(self.seed)
        return super()._call(messages, stop, run_manager, **kwargs)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda edge: pickle.loads(pickle.dumps(edge))])  # noqa: S301 - made in the line itself
def test_a_copied_edge_counts_on_from_the_seed(copied: Any) -> None:
    """And holds no counter, of which Python 3.14 has no copies."""
    edge = ChatModelEdge(Seeded(answer=of_seed))
    edge.generate(ASK, n=2, options=DRAWN)
    assert b"itertools" not in pickle.dumps(edge)
    again = copied(edge)
    again._native.seeds.clear()
    again.generate(ASK, n=2, options=DRAWN)
    first, second = sorted(again._native.seeds)
    assert first > 44
    assert second == first + 1


class Thinking(Scripted):
    """As ChatAnthropic, whose max_tokens are the thoughts', too; remembers them."""

    max_tokens: int | None = 1024
    thinking: dict[str, Any] | None = None
    thinking_budget: int | None = None
    additional_model_request_fields: dict[str, Any] | None = None
    given: list[int | None] = Field(default_factory=list[int | None])

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> str:
        self.given.append(self.max_tokens)
        return super()._call(messages, stop, run_manager, **kwargs)


BUDGET = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
GOOGLES = {"thinking_budget": 1024}


@pytest.mark.parametrize(
    ("given", "bound", "told"),
    [
        ({**BUDGET, "max_tokens": 4096}, {}, 1032),
        ({"max_tokens": 4096}, BUDGET, 1032),
        ({**BUDGET, "max_tokens": 1030}, {}, 1030),  # the most that the model is to say
        ({**BUDGET, "max_tokens": 1000}, {}, 1032),  # as such a one is refused
        ({**BUDGET, "max_tokens": None}, {}, 1032),
        ({"thinking": {"type": "disabled"}}, {}, 8),
        ({"additional_model_request_fields": BUDGET, "max_tokens": 4096}, {}, 1032),  # as Bedrock has it
        ({"max_tokens": 4096}, {"extra_body": {"extra_body": {"google": {"thinking_config": GOOGLES}}}}, 1032),
        ({**GOOGLES, "max_tokens": 4096}, {}, 1032),
        ({**GOOGLES, "max_tokens": None}, {}, 1032),
        ({**GOOGLES, "max_tokens": 1000}, {}, 1000),  # as Google takes it
        ({"thinking_budget": -1, "max_tokens": 4096}, {}, 8),  # as much as it likes
        ({"thinking_budget": 0, "max_tokens": 4096}, {}, 8),
        ({"metadata": BUDGET, "max_tokens": 4096}, {}, 8),  # which a trace is told
        ({"max_tokens": 4096}, {"extra_body": {"enable_thinking": False, **GOOGLES}}, 8),
        ({"max_tokens": 4096}, {"extra_body": {"enable_thinking": True, **GOOGLES}}, 1032),
        ({"thinking": {"type": "disabled", "budget_tokens": 1024}, "max_tokens": 4096}, {}, 8),
        ({"max_tokens": 4096}, {"extra_body": {"chat_template_kwargs": {"thinking": False, **GOOGLES}}}, 8),
        ({}, {}, 8),
    ],
)
def test_an_answer_has_its_tokens_beside_a_budget_for_thoughts(
    given: dict[str, Any], bound: dict[str, Any], told: int
) -> None:
    """Anthropic refuses a limit of both that is not above the budget."""
    model = Thinking(answer=str, **given)
    ChatModelEdge(model.bind(**bound)).generate(ASK, n=1, options=DRAWN)
    assert model.given == [told]


def test_no_fewer_tokens_are_told_than_are_asked_for() -> None:
    """Where they are above the budget themselves."""
    model = Thinking(answer=str, **{**BUDGET, "max_tokens": 2000})
    ChatModelEdge(model).generate(ASK, n=1, options=SamplingOptions(max_tokens=4096))
    assert model.given == [4096]


@pytest.mark.parametrize(("bound", "stop"), [({}, ("END",)), ({"stop": ["\n"]}, ("END",)), ({}, ())])
def test_stop_strings_reach_a_model_without_a_field_for_them(bound: dict[str, Any], stop: tuple[str, ...]) -> None:
    """As LangChain's own argument, once."""
    model = Scripted(answer=lambda call: f"Lima {call}")
    options = SamplingOptions(temperature=0.7, stop=stop)
    ChatModelEdge(model.bind(**bound)).generate(ASK, n=2, options=options)
    assert model.seen == [{"stop": ["END"]} if stop else {}] * 2
