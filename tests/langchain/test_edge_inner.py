"""A LangChain chat model that is around another: that one has its sampling settings from the request, too."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import LLM, BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field, PrivateAttr

from confroute import Generation, SamplingOptions
from confroute_langchain.edge import ChatModelEdge
from tests.langchain.test_edge_samples import DRAWN, GREEDY, Scripted, asked, awaited

ways = pytest.mark.parametrize("ask", [asked, awaited])
Ask = Callable[..., Generation]


class Inner(LLM):
    """Remembers how it was to sample."""

    temperature: float = 0.1
    top_p: float | None = 0.2
    max_tokens: int = 99
    seen: list[Any] = Field(default_factory=list[Any])

    @property
    def _llm_type(self) -> str:
        return "inner"

    def _call(self, prompt: str, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any) -> str:
        self.seen.append(self.settings())
        return f"Lima {len(self.seen)}"

    def settings(self) -> Any:
        return self.temperature, self.top_p, self.max_tokens


class Stopping(Inner):
    """Has a field for stop strings."""

    stop: list[str] | None = None

    def _call(self, prompt: str, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any) -> str:
        self.seen.append((self.stop, stop))
        return "Lima"


class Around(BaseChatModel):
    """As Llama2Chat and ChatHuggingFace: what it is around answers."""

    llm: Any

    @property
    def _llm_type(self) -> str:
        return "around"

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        text = self.llm.invoke(messages[-1].text, stop=stop)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(getattr(text, "content", text)))])


@ways
def test_the_inner_model_samples_as_the_request_says(ask: Ask) -> None:
    """At a temperature of its own, 0.1 say, it would agree with itself whatever it knows. Its own stays as it is."""
    inner = Inner()
    edge = ChatModelEdge(Around(llm=inner))
    ask(edge, 2, DRAWN)
    ask(edge, 1, GREEDY)
    assert inner.seen == [(0.7, 0.9, 8)] * 2 + [(0.0, 1.0, 8)]
    assert inner.settings() == (0.1, 0.2, 99)


def test_so_does_one_further_in() -> None:
    """However many are around it, and whatever they have for the temperature themselves."""

    class Deaf(Around):
        temperature: float | None = None

    inner = Inner()
    asked(ChatModelEdge(Deaf(llm=Around(llm=inner))), 2, DRAWN)
    assert inner.seen == [(0.7, 0.9, 8)] * 2


class Told(Inner):
    """As MLXPipeline, which reads a mapping of its own."""

    pipeline_kwargs: dict[str, Any] | None = None

    def settings(self) -> Any:
        return self.pipeline_kwargs


def test_by_the_names_that_it_has() -> None:
    """Those that say nothing of sampling are left."""
    inner = Told(pipeline_kwargs={"temp": 0.1, "max_tokens": 99, "top_p": 0.2, "verbose": False})
    asked(ChatModelEdge(Around(llm=inner)), 2, DRAWN)
    assert inner.seen == [{"temp": 0.7, "max_tokens": 8, "top_p": 0.9, "verbose": False}] * 2


class Pipeline:
    """As one of transformers: what a call says comes before what it was made with."""

    task = "text-generation"

    def __init__(self, **own: Any) -> None:
        self.own = own
        self.seen: list[dict[str, Any]] = []

    def __call__(self, prompts: list[str], **told: Any) -> list[dict[str, str]]:
        self.seen.append({**self.own, **told})
        return [{"generated_text": f"Lima {len(self.seen)}"} for _ in prompts]


class Piped(Told):
    """As HuggingFacePipeline, whose mapping only says what its pipeline was made with."""

    pipeline: Any

    def _call(self, prompt: str, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any) -> str:
        assert self.pipeline.task == "text-generation"
        return self.pipeline([prompt])[0]["generated_text"]


@ways
@pytest.mark.parametrize("pipeline_kwargs", [{"temperature": 0.1, "do_sample": True}, None], ids=["told", "untold"])
def test_a_pipeline_draws_as_the_request_says(ask: Ask, pipeline_kwargs: dict[str, Any] | None) -> None:
    """The one that it was made with is left as it is, and to be greedy it is not given a temperature, which has to be
    above 0."""
    pipeline = Pipeline(temperature=0.1, top_p=0.2, top_k=50, do_sample=True)
    edge = ChatModelEdge(Around(llm=Piped(pipeline=pipeline, pipeline_kwargs=pipeline_kwargs)))
    ask(edge, 2, DRAWN)
    ask(edge, 1, GREEDY)
    drawn = {"temperature": 0.7, "top_p": 0.9, "top_k": 50, "do_sample": True, "max_new_tokens": 8}
    greedy = {"temperature": 0.1, "top_p": 0.2, "top_k": 50, "do_sample": False, "max_new_tokens": 8}
    assert pipeline.seen == [drawn, drawn, greedy]


@ways
def test_a_helper_is_asked_as_its_owner_set_it(ask: Ask) -> None:
    """One that judges in a word what the other says, say: it is no copy, and says nothing for the others."""

    class Judged(Around):
        judge: Any

        def _generate(self, *given: Any, **kwargs: Any) -> ChatResult:
            asked_of.append(self.judge)
            return super()._generate(*given, **kwargs)

    asked_of: list[Any] = []
    inner, judge = Inner(), Stopping(max_tokens=1, stop=["\n"])
    ask(ChatModelEdge(Judged(llm=inner, judge=judge)), 2, SamplingOptions(temperature=0.7, max_tokens=8, stop=("END",)))
    assert inner.seen == [(0.7, 1.0, 8)] * 2
    assert all(each is judge for each in asked_of)
    assert judge.settings() == (0.1, 0.2, 1)
    assert judge.stop == ["\n"]


def test_a_helpers_stop_strings_are_none_of_the_answers() -> None:
    """The request's still reach the model itself, which has no field for them."""

    class Rewriting(Scripted):
        rewriter: Any

    model = Rewriting(answer=lambda call: f"1. Lima\n2. Cusco {call}", rewriter=Stopping(stop=["\n"]))
    edge = ChatModelEdge(model)
    assert asked(edge, 1, GREEDY).samples[0].text == "1. Lima\n2. Cusco 1"
    asked(edge, 1, SamplingOptions(stop=("END",)))
    assert model.seen[-1] == {"stop": ["END"]}


def test_a_model_that_answers_by_itself_leaves_its_helper() -> None:
    """It has a client and a temperature of its own, though the helper has the name of what others are around."""

    class Answering(Around):
        temperature: float = 0.1
        client: Any = "its own"

    inner = Inner()
    asked(ChatModelEdge(Answering(llm=inner)), 2, DRAWN)
    assert inner.seen == [(0.1, 0.2, 99)] * 2


def test_a_seed_of_the_inner_models_own_makes_no_copies() -> None:
    """Samples count on from it, as from one of the model itself."""

    class Seeded(Inner):
        seed: int | None = 42

        def settings(self) -> Any:
            return self.seed

    inner = Seeded()
    edge = ChatModelEdge(Around(llm=inner))
    asked(edge, 1, GREEDY)
    asked(edge, 3, DRAWN)
    assert (inner.seen[0], sorted(inner.seen[1:])) == (42, [43, 44, 45])


def test_stop_strings_reach_an_inner_model_that_has_a_field_for_them() -> None:
    """Once: some refuse to be told in both ways."""
    inner = Stopping()
    asked(ChatModelEdge(Around(llm=inner)), 1, SamplingOptions(stop=("END",)))
    assert inner.seen == [(["END"], None)]


def test_the_frameworks_cache_does_not_give_one_sample_for_all() -> None:
    """It would, where the inner model is called as from outside."""
    inner = Inner()
    edge = ChatModelEdge(Around(llm=inner))
    set_llm_cache(InMemoryCache())
    try:
        for _ in range(2):
            asked(edge, 2, DRAWN)
    finally:
        set_llm_cache(None)
    assert len(inner.seen) == 4


class Client:
    def __init__(self, closed: list[Client]) -> None:
        self._closed = closed

    def close(self) -> None:
        self._closed.append(self)


class Connecting(Inner):
    """Connects when it is first asked, as many do."""

    closed: list[Any] = Field(default_factory=list[Any])
    made: list[Any] = Field(default_factory=list[Any])
    _client: Any = PrivateAttr(default=None)

    def _call(self, prompt: str, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any) -> str:
        if self._client is None:
            self._client = Client(self.closed)
            self.made.append(id(self._client))
        return super()._call(prompt)


def test_the_inner_models_connections_last() -> None:
    """Those that its copies make are lent to the next, and closed with the engine."""
    inner = Connecting()
    edge = ChatModelEdge(Around(llm=inner))
    for _ in range(3):
        asked(edge, 1, DRAWN)
    assert (len(inner.made), inner.closed) == (1, [])
    del edge
    gc.collect()
    assert len(inner.closed) == 1


def test_each_has_its_own_connections() -> None:
    """Also where both are of one class: another's go to another server, with another key."""

    class Outer(Connecting):
        llm: Any

        def _call(self, prompt: str, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any) -> str:
            text = super()._call(prompt)
            used.append((id(self._client), id(self.llm._client)))
            return text if self.llm.invoke(prompt) else ""

    class Chat(Around):
        pass

    used: list[tuple[int, int]] = []
    innermost = Connecting()
    edge = ChatModelEdge(Chat(llm=Outer(llm=Outer(llm=innermost))))
    for _ in range(3):
        asked(edge, 1, DRAWN)
    connected = used[2:]  # the first request makes them
    assert len(set(connected)) == 2
    assert all(own != other for own, other in connected)


def test_models_around_each_other_are_asked() -> None:
    """Such a ring has no end."""
    outer, inner = Around(llm=None), Around(llm=None)
    outer.llm, inner.llm = inner, outer
    edge = ChatModelEdge(outer)
    assert edge._models(1, DRAWN, frozenset())
