"""A LangChain chat model as the edge, asked over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.output_parsers import StrOutputParser

from confroute import ConfigurationError, Generation, SamplingOptions
from confroute.testing import ScriptedEngine, check_engine
from confroute_langchain import ConfidenceRoutedChatModel
from confroute_langchain.edge import ChatModelEdge
from tests.edge.scripted_ollama import ollama
from tests.edge.scripted_server import Reply, Request, ScriptedServer, closing_client, completion, serving
from tests.langchain.scripted import SURE, UNSURE, ScriptedCloud, record_of, scripted_edge

openai = pytest.importorskip("langchain_openai")
langchain_ollama = pytest.importorskip("langchain_ollama")

OPTIONS = SamplingOptions(temperature=0.7, top_p=0.9, max_tokens=8, stop=("END",), seed=5, alternatives=2)
NOT_KEPT = {"limits": httpx.Limits(max_keepalive_connections=0)}
ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of Peru?"}]


def asked(edge: ChatModelEdge, n: int) -> Generation:
    return edge.generate(ASK, n=n, options=OPTIONS)


def awaited(edge: ChatModelEdge, n: int) -> Generation:
    return asyncio.run(edge.agenerate(ASK, n=n, options=OPTIONS))


def lima(request: Request) -> Reply:
    return completion(["Lima"])


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with serving(lima) as server:
        yield server


def chat(url: str, **settings: Any) -> Any:
    settings = {"model": "small", "api_key": "none", "max_retries": 0, "temperature": 0.1} | settings
    return openai.ChatOpenAI(base_url=url, http_async_client=closing_client(), **settings)


def test_each_sample_is_a_request_with_its_own_seed(server: ScriptedServer) -> None:
    """The options stand in the request, under the model's own names for them, and the model itself keeps its own."""
    model = chat(server.url)
    generation = ChatModelEdge(model).generate(ASK, n=3, options=OPTIONS)
    assert [(sample.text, sample.token_logprobs) for sample in generation.samples] == [("Lima", (-0.5,))] * 3
    assert generation.input_tokens == 7
    assert sorted(request["seed"] for request in server.answered) == [5, 6, 7]
    asked = server.answered[0]
    assert asked["messages"] == ASK
    assert (asked["temperature"], asked["top_p"], asked["stop"]) == (0.7, 0.9, ["END"])
    assert asked.get("max_tokens", asked.get("max_completion_tokens")) == 8
    assert (asked["logprobs"], asked["top_logprobs"]) == (True, 2)
    assert (model.temperature, model.seed, model.logprobs, model.cache) == (0.1, None, None, None)


def test_tokens_counted_apart_as_cached_are_the_prompts_too() -> None:
    """Where there are more of them than of all others, these are the new ones."""

    def cached(request: Request) -> Reply:
        status, body = completion(["Lima"])
        counts = {"prompt_tokens": 300, "completion_tokens": 1, "total_tokens": 301}
        return status, {**body, "usage": {**counts, "prompt_tokens_details": {"cached_tokens": 2000}}}

    with serving(cached) as server:
        assert ChatModelEdge(chat(server.url)).generate(ASK, n=1, options=OPTIONS).input_tokens == 2300


def test_the_cache_does_not_make_one_sample_of_all(server: ScriptedServer) -> None:
    """LangChain's global cache would answer the second sample with the first; the edge goes past it."""
    set_llm_cache(InMemoryCache())
    try:
        ChatModelEdge(chat(server.url)).generate(ASK, n=4, options=SamplingOptions(temperature=1.0))
    finally:
        set_llm_cache(None)
    assert len(server.answered) == 4


def test_callbacks_see_one_answer(server: ScriptedServer) -> None:
    """The caller's handlers are told of the routed model's run only, not of eleven of the edge's."""

    class Starts(BaseCallbackHandler):
        def __init__(self) -> None:
            self.count = 0

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            self.count += 1

    starts = Starts()
    model = ConfidenceRoutedChatModel(edge=chat(server.url, callbacks=[starts]), cloud=ScriptedCloud(), threshold=0.5)
    answer = model.invoke("Capital of Peru?", {"callbacks": [starts]})
    assert (answer.text, record_of(answer)["route"], record_of(answer)["edge"]["model"]) == ("Lima", "edge", "small")
    assert record_of(answer)["samples"] == 10
    assert starts.count == 1


def test_awaited_it_asks_the_same(server: ScriptedServer) -> None:
    """On an event loop, too, and with the arguments bound to the model."""
    edge = ChatModelEdge(chat(server.url).bind(user="somebody"))
    generation = asyncio.run(edge.agenerate(ASK, n=3, options=OPTIONS))
    assert [sample.text for sample in generation.samples] == ["Lima"] * 3
    assert {request["user"] for request in server.answered} == {"somebody"}


def test_logprobs_turned_off_stay_off(server: ScriptedServer) -> None:
    """A caller whose server refuses them says so on the model."""
    ChatModelEdge(chat(server.url, logprobs=False)).generate(ASK, n=1, options=OPTIONS)
    assert not server.answered[0].get("logprobs")


def test_a_failing_edge_escalates() -> None:
    """As any engine's failure does."""
    with serving(lambda request: (500, {})) as server:
        model = ConfidenceRoutedChatModel(edge=chat(server.url), cloud=ScriptedCloud())
        assert record_of(model.invoke("Capital of Peru?"))["reason"] == "edge_error"


class AtAnAddress(ScriptedCloud):
    """As ChatHuggingFace over an endpoint, whose address is its model's name."""

    model_id: str = "http://me:secret@localhost:9/v1?key=secret"


def test_a_login_in_an_address_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the record nor in the log, of an edge or a cloud whose name is its address."""
    model = ConfidenceRoutedChatModel(edge=AtAnAddress(error=ConnectionError()), cloud=AtAnAddress())
    record = record_of(model.invoke("Capital of Peru?"))
    assert [record[tier]["model"] for tier in ("edge", "cloud")] == ["http://localhost:9/v1"] * 2
    assert "secret" not in caplog.text


def test_what_is_no_chat_model_is_refused() -> None:
    """Another runnable is told apart at construction."""
    with pytest.raises(ConfigurationError, match=r"edge must be a chat model.*not StrOutputParser"):
        ConfidenceRoutedChatModel(edge=StrOutputParser(), cloud=ScriptedCloud())


@pytest.mark.parametrize("ask", [asked, awaited])
def test_chat_ollama_is_an_edge(ask: Callable[..., Generation]) -> None:
    """Langchain's own ChatOllama: the options by Ollama's names, and its logprobs, a bare list, are read."""
    with ollama() as server:
        model = langchain_ollama.ChatOllama(model="small", base_url=server.url, async_client_kwargs=NOT_KEPT)
        generation = ask(ChatModelEdge(model), n=3)
        told = {"temperature": 0.7, "top_p": 0.9, "num_predict": 8, "stop": ["END"]}
        assert server.sampling == [{**told, "seed": seed} for seed in (5, 6, 7)]
    (first, *_) = generation.samples
    assert (first.text, first.token_logprobs, first.finish_reason) == ("Lima", (-0.25,), "length")
    assert (len(generation.samples), first.output_tokens, generation.input_tokens) == (3, 1, 7)


@pytest.mark.real_model
def test_it_obeys_the_laws(llama_server: tuple[str, str]) -> None:
    """ChatOpenAI on llama.cpp's own server is an edge engine like any other."""
    url, key = llama_server
    check_engine(ChatModelEdge(chat(url, api_key=key)))


def test_a_routed_model_is_refused() -> None:
    """The error says how to put three models in a row, and that way works."""
    small, middle = scripted_edge(), ScriptedCloud(text="The middle knows it")
    inner = ConfidenceRoutedChatModel(edge=small, cloud=middle)
    with pytest.raises(ConfigurationError, match=r"Have it be the cloud: ConfidenceRoutedChatModel\(edge=small"):
        ConfidenceRoutedChatModel(edge=inner.bind(user="me"), cloud=ScriptedCloud())


@pytest.mark.parametrize(("sure", "said"), [("Mars", "Mars"), ("Rome", "The largest knows it")])
def test_three_models_in_a_row(sure: str, said: str) -> None:
    """The cloud of the first is a routed model; its record tells of the second's usage as the cloud's."""
    middle = ScriptedEngine({UNSURE: ("Mars", [sure])})
    inner = ConfidenceRoutedChatModel(edge=middle, cloud=ScriptedCloud(text="The largest knows it"))
    outer = ConfidenceRoutedChatModel(edge=scripted_edge(), cloud=inner)
    assert outer.invoke(SURE).text == "Paris"
    answer = outer.invoke(UNSURE)
    assert (answer.text, record_of(answer)["route"]) == (said, "cloud")
