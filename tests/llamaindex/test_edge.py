"""A LlamaIndex LLM as the edge, asked over real HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import LLM, CompletionResponse, CustomLLM, LLMMetadata, MockLLM
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai_like import OpenAILike
from ollama import AsyncClient

from confroute import ConfigurationError, Generation, SamplingOptions, UnsupportedRequestError
from confroute.testing import check_engine
from confroute_llamaindex import ConfidenceRoutedLLM
from confroute_llamaindex.cloud import LlamaIndexCloud
from confroute_llamaindex.edge import LLMEdge
from tests.edge.scripted_ollama import ollama
from tests.edge.scripted_server import Reply, Request, ScriptedServer, closing_client, completion, serving

OPTIONS = SamplingOptions(temperature=0.7, top_p=0.9, max_tokens=8, stop=("END",), seed=5, alternatives=2)
PLAIN = SamplingOptions(temperature=0.7, max_tokens=8)
NOT_KEPT = httpx.Limits(max_keepalive_connections=0)
ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of Peru?"}]


def asked(edge: LLMEdge, n: int) -> Generation:
    return edge.generate(ASK, n=n, options=OPTIONS)


def awaited(edge: LLMEdge, n: int) -> Generation:
    return asyncio.run(edge.agenerate(ASK, n=n, options=OPTIONS))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with serving(lambda request: completion(["Lima"])) as server:
        yield server


def llm(url: str, kind: type[OpenAILike] = OpenAILike, **settings: Any) -> OpenAILike:
    settings = {"model": "small", "api_key": "none", "is_chat_model": True, "max_retries": 0} | settings
    return kind(api_base=url, async_http_client=closing_client(), **settings)


def test_each_sample_is_a_request_with_its_own_seed(server: ScriptedServer) -> None:
    """The options stand in the request, those without a field of their own too, and the LLM keeps its settings."""
    model = llm(server.url, additional_kwargs={"user": "somebody"})
    generation = LLMEdge(model).generate(ASK, n=3, options=OPTIONS)
    assert [(sample.text, sample.token_logprobs) for sample in generation.samples] == [("Lima", (-0.5,))] * 3
    assert generation.input_tokens == 7
    assert sorted(request["seed"] for request in server.answered) == [5, 6, 7]
    asked = server.answered[0]
    assert [(m["role"], m["content"]) for m in asked["messages"]] == [(m["role"], m["content"]) for m in ASK]
    assert (asked["temperature"], asked["top_p"], asked["stop"], asked["max_tokens"]) == (0.7, 0.9, ["END"], 8)
    assert (asked["logprobs"], asked["top_logprobs"], asked["user"]) == (True, 2, "somebody")
    assert (model.logprobs, model.additional_kwargs) == (None, {"user": "somebody"})


def test_it_answers_in_a_routed_llm(server: ScriptedServer) -> None:
    """An LLM as edge, in both forms; callback managers are shown one answer."""
    counter = TokenCountingHandler()
    edge = llm(server.url, callback_manager=CallbackManager([counter]))
    routed = ConfidenceRoutedLLM(edge=edge, cloud=MockLLM(), threshold=0.5)
    record = routed.complete("Capital of Peru?").additional_kwargs["confidence_routing"]
    assert (record["route"], record["edge"]["model"], record["samples"]) == ("edge", "small", 10)
    assert asyncio.run(routed.acomplete("Capital of Peru?")).text == "Lima"
    assert counter.total_llm_token_count == 0


@pytest.mark.parametrize("ask", [asked, awaited])
def test_ollama_is_an_edge(ask: Callable[..., Generation]) -> None:
    """LlamaIndex's own Ollama: the options by its server's names, max_tokens too, which it has no field for."""
    with ollama() as server:
        model = Ollama(model="small", base_url=server.url, async_client=AsyncClient(server.url, limits=NOT_KEPT))
        generation = ask(LLMEdge(model), n=3)
        told = {"temperature": 0.7, "top_p": 0.9, "num_predict": 8, "stop": ["END"]}
        assert server.sampling == [{**told, "seed": seed} for seed in (5, 6, 7)]
        assert model.additional_kwargs == {}
    (first, *_) = generation.samples
    assert (first.text, first.token_logprobs, first.finish_reason) == ("Lima", None, "length")
    assert (len(generation.samples), first.output_tokens, generation.input_tokens) == (3, 1, 7)


def test_no_handler_is_shown_a_sample(server: ScriptedServer, settings: Any) -> None:
    """Not the global ones either, which LlamaIndex gives to every manager without any."""
    counter = TokenCountingHandler()
    settings.callback_manager = CallbackManager([counter])
    LLMEdge(llm(server.url)).generate(ASK, n=3, options=OPTIONS)
    assert counter.llm_token_counts == []


@pytest.mark.parametrize("ask", [asked, awaited])
def test_a_server_that_refuses_logprobs_is_asked_without(ask: Callable[..., Generation]) -> None:
    """After one refusal, which is remembered."""

    def reply(request: Request) -> Reply:
        if request.get("logprobs"):
            return 400, {"error": {"message": "logprobs are not supported"}}
        return completion(["Lima"], logprob=None)

    with serving(reply) as server:
        edge = LLMEdge(llm(server.url))
        for n in (1, 2):
            samples = ask(edge, n).samples
            assert [(sample.text, sample.token_logprobs) for sample in samples] == [("Lima", None)] * n
        assert [request.get("logprobs") for request in server.answered] == [True, None, None, None]


class InTurn(CustomLLM):
    """Has no asynchronous form, as HuggingFaceLLM and LlamaCPP have none; answers when all are waiting for it."""

    temperature: float = 0.7
    _waiting: threading.Barrier = PrivateAttr(default_factory=lambda: threading.Barrier(4))

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="in turn")

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=f"Lima {self._waiting.wait(timeout=20)}")

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError


async def test_a_model_without_an_asynchronous_form_leaves_the_loop_free() -> None:
    """Its samples are drawn in threads, together as in the other form, while the loop serves others."""
    model = InTurn()
    task = asyncio.create_task(LLMEdge(model).agenerate(ASK, n=3, options=PLAIN))
    # The fourth party: on the loop, a model that waits would keep this from being reached.
    await asyncio.to_thread(model._waiting.wait, 20)
    assert len({sample.text for sample in (await task).samples}) == 3


class Synchronous(InTurn):
    """Says so of its asynchronous form."""

    async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        raise NotImplementedError


async def test_a_model_that_has_no_asynchronous_form_is_asked_in_threads() -> None:
    """Together, as one that would block the event loop is; that it has none is remembered."""
    model = Synchronous()
    edge = LLMEdge(model)
    task = asyncio.create_task(edge.agenerate(ASK, n=3, options=PLAIN))
    await asyncio.to_thread(model._waiting.wait, 20)
    assert len({sample.text for sample in (await task).samples}) == 3
    assert edge._turns._is_synchronous


def test_what_a_model_cannot_in_either_form_is_its_error() -> None:
    """It is not taken for one without an asynchronous form."""

    class Incapable(Synchronous):
        def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
            raise NotImplementedError

    edge = LLMEdge(Incapable())
    with pytest.raises(NotImplementedError):
        asyncio.run(edge.agenerate(ASK, n=1, options=PLAIN))
    assert not edge._turns._is_synchronous


@pytest.mark.real_model
def test_it_obeys_the_laws(llama_server: tuple[str, str]) -> None:
    """OpenAILike on llama.cpp's own server is an edge engine like any other."""
    url, key = llama_server
    check_engine(LLMEdge(llm(url, api_key=key)))


class Cancelling(InTurn):
    """What it awaits is cancelled, and not by us."""

    async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        waiting = asyncio.ensure_future(asyncio.sleep(20))
        asyncio.get_running_loop().call_soon(waiting.cancel)
        await waiting
        raise AssertionError


async def test_an_llm_that_is_cancelled_by_itself_has_failed() -> None:
    """Its caller goes on."""
    with pytest.raises(RuntimeError, match="CancelledError"):
        await LLMEdge(Cancelling()).agenerate(ASK, n=2, options=PLAIN)


async def test_whoever_is_cancelled_is_cancelled() -> None:
    class Waiting(InTurn):
        async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:
            await asyncio.sleep(20)
            raise AssertionError

    task = asyncio.create_task(LLMEdge(Waiting()).agenerate(ASK, n=2, options=PLAIN))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("ask", [asked, awaited])
def test_stop_strings_that_an_llm_takes_nowhere_are_not_overlooked(ask: Callable[..., Generation]) -> None:
    """Such a request is not for this edge."""
    with pytest.raises(UnsupportedRequestError, match='"in turn" takes no stop strings'):
        ask(LLMEdge(InTurn()), 1)


class AtAnAddress(InTurn):
    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="http://me:secret@localhost:9/v1?key=secret")


def test_a_login_in_an_address_is_not_told() -> None:
    """Neither in the record nor in the log, both of which have the LLM's name, where its name is its address."""
    assert LLMEdge(AtAnAddress()).model == LlamaIndexCloud(AtAnAddress(), "", {}).model == "http://localhost:9/v1"


def test_a_routed_llm_is_refused(routed: Callable[..., ConfidenceRoutedLLM], cloud: LLM) -> None:
    """The error says how to put three in a row."""
    with pytest.raises(ConfigurationError, match=r"Have it be the cloud: ConfidenceRoutedLLM\(edge=small"):
        ConfidenceRoutedLLM(edge=routed("edge"), cloud=cloud)


@pytest.mark.parametrize(("inner", "said"), [("edge", "Paris"), ("cloud", "The capital is Paris")])
def test_three_llms_in_a_row(routed: Callable[..., ConfidenceRoutedLLM], inner: str, said: str) -> None:
    outer = routed("cloud", cloud=routed(inner))
    assert outer.chat([ChatMessage(content="Capital of Peru?")]).message.content == said
