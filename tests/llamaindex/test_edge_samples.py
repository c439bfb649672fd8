"""Samples of a LlamaIndex LLM differ wherever the LLM itself can, whatever the caller set on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata, MockLLM
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.llms.ollama import Ollama
from pydantic import BaseModel

from confroute import ConfigurationError, Generation, SamplingOptions
from confroute_llamaindex import ConfidenceRoutedLLM
from confroute_llamaindex.edge import LLMEdge
from tests.edge.scripted_ollama import ollama
from tests.edge.scripted_server import completion, serving
from tests.llamaindex.test_edge import llm

ASK = [{"role": "user", "content": "Capital of Peru?"}]
DRAWN = SamplingOptions(temperature=0.7, top_p=0.9, max_tokens=8)
GREEDY = SamplingOptions(max_tokens=8)


class Mine(CustomLLM):
    """As those that LlamaIndex's guide shows how to write: nowhere to put any parameter of a request."""

    answer: Callable[[int], str]
    count: list[int] = Field(default_factory=list[int])

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="mine")

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        self.count.append(1)
        return CompletionResponse(text=self.answer(len(self.count)))

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError


class Generating(Mine):
    """As HuggingFaceLLM, which takes them all in one mapping; remembers it."""

    generate_kwargs: dict[str, Any]
    seen: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        self.seen.append(self.generate_kwargs)
        return super().complete(prompt, formatted, **kwargs)


class Further(Mine):
    """Has a place for further parameters of a request, and no use for them."""

    additional_kwargs: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it


def asked(edge: LLMEdge, n: int, options: SamplingOptions) -> Generation:
    return edge.generate(ASK, n=n, options=options)


def awaited(edge: LLMEdge, n: int, options: SamplingOptions) -> Generation:
    return asyncio.run(edge.agenerate(ASK, n=n, options=options))


def lima(call: int) -> str:
    return "Lima"


ways = pytest.mark.parametrize("ask", [asked, awaited])


@pytest.mark.parametrize(
    "given",
    [{"seed": 42, "temperature": 0}, {"extra_body": {"seed": 42, "temperature": 0}, "user": "somebody"}],
    ids=["further", "body"],
)
def test_a_seed_of_the_llms_own_makes_no_copies(given: dict[str, Any]) -> None:
    """A seed or a temperature among the further parameters does not outlive the request's, and the LLM keeps it."""
    with serving(lambda request: completion(["Lima"])) as server:
        model = llm(server.url, additional_kwargs=given)
        edge = LLMEdge(model)
        for n, options in ((1, GREEDY), (3, DRAWN), (2, DRAWN)):
            edge.generate(ASK, n=n, options=options)
        assert len({request["seed"] for request in server.answered}) == 6
        assert [request["temperature"] for request in server.answered] == [0] + [0.7] * 5
        assert {request.get("user") for request in server.answered} == {given.get("user")}
    assert model.additional_kwargs == given


def test_ollamas_seed_makes_no_copies() -> None:
    """Nor does that of Ollama, whose only place for one is its further parameters."""
    with ollama() as server:
        edge = LLMEdge(Ollama(model="small", base_url=server.url, additional_kwargs={"seed": 42, "num_predict": 99}))
        for _ in range(2):
            edge.generate(ASK, n=2, options=DRAWN)
        assert len({each["seed"] for each in server.sampling} - {42}) == 4
        assert {(each["temperature"], each["num_predict"]) for each in server.sampling} == {(0.7, 8)}


@ways
def test_an_llm_without_further_parameters_is_an_edge(ask: Callable[..., Generation]) -> None:
    """If it draws by itself."""
    edge = LLMEdge(Mine(answer=lambda call: f"Lima {call}"))
    assert ask(edge, 1, GREEDY).samples[0].text == "Lima 1"
    assert len({sample.text for sample in ask(edge, 3, DRAWN).samples}) == 3


@ways
@pytest.mark.parametrize("model", [Mine(answer=lima), Further(answer=lima), MockLLM()], ids=["mine", "further", "mock"])
def test_an_llm_that_cannot_draw_is_refused(ask: Callable[..., Generation], model: Any) -> None:
    """Its samples would agree whatever it knows; its single answers are welcome."""
    edge = LLMEdge(model)
    assert ask(edge, 1, GREEDY).samples
    with pytest.raises(ConfigurationError, match="says the same each time"):
        ask(edge, 2, DRAWN)


@ways
def test_a_server_that_says_the_same_each_time_is_no_edge(ask: Callable[..., Generation]) -> None:
    """However high the temperature that it is told."""
    with serving(lambda request: completion(["Lima"], logprob=None), draws=False) as server:
        with pytest.raises(ConfigurationError, match="says the same each time"):
            ask(LLMEdge(llm(server.url)), 2, DRAWN)
        assert max(request["temperature"] for request in server.asked) == 2


def test_a_routed_llm_tells_that_its_edge_cannot_draw() -> None:
    """It does not escalate everything in silence, nor serve everything."""
    with pytest.raises(ConfigurationError, match="says the same each time"):
        ConfidenceRoutedLLM(edge=MockLLM(), cloud=MockLLM()).complete("Capital of Peru?")


def test_what_is_set_for_transformers_is_replaced_there() -> None:
    """A temperature among the generate_kwargs is the request's, and drawing turned on or off with it."""
    model = Generating(answer=str, generate_kwargs={"do_sample": False, "temperature": 0.1, "top_k": 9})
    edge = LLMEdge(model)
    edge.generate(ASK, n=1, options=GREEDY)
    edge.generate(ASK, n=1, options=DRAWN)
    assert model.seen == [
        {"do_sample": False, "temperature": 0.0, "top_k": 9},
        {"do_sample": True, "temperature": 0.7, "top_k": 9},
    ]


class PutTogether(Mine):
    """As GoogleGenAI, whose fields are looked at once."""

    temperature: float = 0.1
    drawn: list[Any] = Field(default_factory=list[Any])
    _config: dict[str, Any] = PrivateAttr()
    _counts: dict[str, int] = PrivateAttr(default={"n": 7})

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._config = {"temperature": self.temperature, "max_output_tokens": None, "stop_sequences": None, "top_k": 9}

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        self.drawn.append((self._config, self._counts))
        return super().complete(prompt, formatted, **kwargs)


def test_what_an_llm_put_together_at_the_beginning_is_replaced() -> None:
    """In the copies that are asked, where it is how to sample."""
    model = PutTogether(answer=lambda call: f"Lima {call}")
    options = SamplingOptions(temperature=0.7, max_tokens=8, stop=("END",))
    LLMEdge(model).generate(ASK, n=2, options=options)
    config = {"temperature": 0.7, "max_output_tokens": 8, "stop_sequences": ["END"], "top_k": 9}
    assert model.drawn == [(config, {"n": 7})] * 2
    assert model._config["temperature"] == 0.1


class AroundLangChains(Mine):
    """As LangChainLLM, which has its model in a private attribute."""

    _llm: Any = PrivateAttr()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=self._llm.complete(prompt).text)


class Heeding(Mine):
    temperature: float = 0.1
    seen: list[float] = Field(default_factory=list[float])

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        self.seen.append(self.temperature)
        return super().complete(prompt, formatted, **kwargs)


@ways
def test_a_model_within_samples_as_the_request_says(ask: Callable[..., Generation]) -> None:
    """At a low temperature of its own it would agree with itself whatever it knows. Its own stays as it is."""
    inner = Heeding(answer=str)
    outer = AroundLangChains(answer=lima)
    outer._llm = inner
    edge = LLMEdge(outer)
    ask(edge, 2, DRAWN)
    ask(edge, 1, GREEDY)
    assert (inner.seen, inner.temperature) == ([0.7, 0.7, 0.0], 0.1)


def test_a_structured_llm_samples_as_the_request_says() -> None:
    """LlamaIndex's own that is around another."""

    class City(BaseModel):
        name: str

    inner = Heeding(answer=lambda call: f'{{"name": "Lima {call}"}}')
    generation = LLMEdge(StructuredLLM(llm=inner, output_cls=City)).generate(ASK, n=2, options=DRAWN)
    assert (inner.seen, len({sample.text for sample in generation.samples})) == ([0.7, 0.7], 2)
