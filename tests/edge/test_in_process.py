"""A framework's model that runs in this process is asked by one thread at a time: its native context serves no more."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("llama_index.core")

from langchain_core.language_models import FakeListChatModel, SimpleChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.llms import ChatMessage, CompletionResponse, CustomLLM, LLMMetadata, MockLLM
from pydantic import BaseModel

from confroute import SamplingOptions
from confroute.edge.in_process import native_of
from confroute_langchain import ConfidenceRoutedChatModel
from confroute_langchain.edge import ChatModelEdge
from confroute_llamaindex import ConfidenceRoutedLLM
from confroute_llamaindex.edge import LLMEdge
from tests.edge.threads import assert_a_fork_has_turns

ASK = [{"role": "user", "content": "Capital of Peru?"}]
DRAWN = SamplingOptions(temperature=0.7, max_tokens=8)
GREEDY = SamplingOptions(max_tokens=8)


class Context:
    """Says something else each time; fails where a second thread comes in, as a native one would crash."""

    def __init__(self) -> None:
        self._free = threading.Lock()
        self.asked = self.crowded = 0

    def __call__(self) -> str:
        if not self._free.acquire(blocking=False):
            self.crowded += 1
            raise OSError("GGML_ASSERT")
        try:
            time.sleep(0.001)
            self.asked += 1
            return f"Lima {self.asked}"
        finally:
            self._free.release()


class Llama(Context):
    """One that is told by where its class is from."""


Llama.__module__ = "llama_cpp.llama"


class MyLlama(Llama):
    """Its class is the caller's own."""


class Chat(SimpleChatModel):
    """As ChatLlamaCpp: no asynchronous form."""

    client: Any

    @property
    def _llm_type(self) -> str:
        return "chat"

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> str:
        return self.client()


class Completing(BaseModel):
    """As LangChain's LlamaCpp, which is no chat model."""

    pipeline: Any


class Around(Chat):
    """As ChatHuggingFace around a pipeline: the asynchronous form has threads of its own."""

    client: Any = None
    llm: Completing

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> str:
        return self.llm.pipeline.model()

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        said = await asyncio.get_running_loop().run_in_executor(None, self._call, messages)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said))])


class Pipeline:
    def __init__(self, model: Any) -> None:
        self.model = model


class Whole(CustomLLM):
    """As LlamaIndex's LlamaCPP, and as its LangChainLLM, which is around a chat model."""

    _model: Any = PrivateAttr()

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="whole")

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=getattr(self._model, "client", self._model)())

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError


def edge_over(native: Any, shape: str, **given: Any) -> Any:
    return {
        "client": lambda: ChatModelEdge(Chat(client=native), **given),
        "bound": lambda: ChatModelEdge(Chat(client=native).bind(top_k=3).with_config(tags=["mine"]), **given),
        "around": lambda: ChatModelEdge(Around(llm=Completing(pipeline=Pipeline(native))), **given),
        "private": lambda: LLMEdge(Whole(native), **given),
        "other": lambda: LLMEdge(Whole(Chat(client=native)), **given),
    }[shape]()


shapes = pytest.mark.parametrize("shape", ["client", "bound", "around", "private", "other"])
Ask = Callable[[Sequence[Any]], Any]


def in_threads(edges: Sequence[Any]) -> None:
    with ThreadPoolExecutor(8) as callers:
        for done in [callers.submit(edge.generate, ASK, n=3, options=DRAWN) for edge in [*edges] * 4]:
            done.result(60)


def on_a_loop(edges: Sequence[Any]) -> None:
    async def ask() -> None:
        await asyncio.gather(*[edge.agenerate(ASK, n=3, options=DRAWN) for edge in [*edges] * 4])

    asyncio.run(ask())


def everywhere(edges: Sequence[Any]) -> None:
    """In threads and on two event loops, at the same time."""
    with ThreadPoolExecutor(3) as callers:
        for done in [callers.submit(ask, edges) for ask in (in_threads, on_a_loop, on_a_loop)]:
            done.result(60)


ways = pytest.mark.parametrize("ask", [in_threads, on_a_loop, everywhere])


@ways
@shapes
@pytest.mark.parametrize("given", [{}, {"connections": 1}], ids=["not said", "one"])
def test_one_thread_at_a_time(ask: Ask, shape: str, given: dict[str, int]) -> None:
    """Whoever asks, however the framework's model holds the native one."""
    native = MyLlama()
    ask([edge_over(native, shape, **given)])
    assert native.asked >= 12
    assert native.crowded == 0


@ways
def test_two_edges_over_one_native_model_share_its_turn(ask: Ask) -> None:
    """Of one framework or of two."""
    native = Llama()
    ask([edge_over(native, shape) for shape in ("client", "client", "around", "private", "other")])
    assert native.asked >= 5 * 4 * 3
    assert native.crowded == 0


def test_a_copy_shares_its_turn() -> None:
    native = Llama()
    edge = edge_over(native, "client")
    everywhere([edge, copy.copy(edge)])
    assert native.crowded == 0


def test_a_native_model_that_nobody_asks_any_more_is_freed() -> None:
    """Its turns hold it, and it has gigabytes."""
    native = Llama()
    freed = weakref.ref(native)
    edge_over(native, "client").generate(ASK, n=2, options=DRAWN)
    del native
    deadline = time.monotonic() + 20
    while freed() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)  # a thread that ends holds it for a moment
    assert freed() is None


def test_two_native_models_do_not_wait_for_each_other() -> None:
    """Each has a turn of its own."""
    together = threading.Barrier(2, timeout=20)

    class Meeting(Llama):
        def __call__(self) -> str:
            together.wait()
            return super().__call__()

    edges = [edge_over(Meeting(), shape) for shape in ("client", "private")]
    with ThreadPoolExecutor(2) as callers:
        for done in [callers.submit(edge.generate, ASK, n=2, options=GREEDY) for edge in edges]:
            assert done.result(60).samples


@shapes
@pytest.mark.parametrize("ask", [in_threads, on_a_loop])
def test_who_says_how_many_knows_better(ask: Ask, shape: str) -> None:
    """As where the native model has a lock of its own, or copies of itself."""
    together = threading.Barrier(3, timeout=20)

    class Many(Llama):
        def __call__(self) -> str:
            self.asked += 1
            return f"Lima {together.wait()} {self.asked}"

    ask([edge_over(Many(), shape, connections=3)])


def test_one_of_another_package_is_asked_at_once() -> None:
    """Such as a client of a server's, that waits."""
    together = threading.Barrier(3, timeout=20)

    class Client(Context):
        def __call__(self) -> str:
            return f"Lima {together.wait()}"

    assert edge_over(Client(), "client").generate(ASK, n=3, options=DRAWN).samples


def test_who_gives_up_leaves_the_turn_to_its_thread() -> None:
    """A thread in native code cannot be ended, and the next is to wait for it."""
    native = Llama()
    edge = edge_over(native, "around")

    async def ask() -> None:
        for waited in (0.0, 0.0005, 0.002):
            tasks = [asyncio.create_task(edge.agenerate(ASK, n=3, options=DRAWN)) for _ in range(3)]
            await asyncio.sleep(waited)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await edge.agenerate(ASK, n=2, options=DRAWN)

    asyncio.run(ask())
    assert native.crowded == 0


def test_a_synchronous_request_on_an_event_loop_waits_for_no_task_of_it() -> None:
    """Which cannot go on before that is answered: what has the turn are threads."""
    native = Llama()
    edge = edge_over(native, "around")

    async def ask() -> None:
        others = [asyncio.create_task(edge.agenerate(ASK, n=4, options=DRAWN)) for _ in range(3)]
        await asyncio.sleep(0.002)
        assert len(edge.generate(ASK, n=2, options=DRAWN).samples) == 2
        await asyncio.gather(*others)

    asyncio.run(ask())
    assert native.crowded == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_waits_for_no_turn_of_its_parents() -> None:
    begun, go = threading.Event(), threading.Event()

    class Slow(Llama):
        def __call__(self) -> str:
            begun.set()
            go.wait(20)
            return "Lima"

    edge = edge_over(Slow(), "client")
    assert_a_fork_has_turns(edge, begun, go, messages=ASK, options=GREEDY)


def _langchain(native: Any) -> Iterator[Callable[[], Any]]:
    """The ways to ask two routed chat models over one native model."""
    routed = [
        ConfidenceRoutedChatModel(edge=edge, cloud=FakeListChatModel(responses=["Quito"]), samples=3)
        for edge in (Chat(client=native), Around(llm=Completing(pipeline=Pipeline(native))))
    ]

    async def streamed(model: Any) -> list[Any]:
        return [chunk async for chunk in model.astream("Peru?")]

    for model in routed:
        yield partial(model.invoke, "Peru?")
        yield partial(model.batch, ["Peru?", "Chile?", "Cuba?"])
        yield lambda model=model: list(model.stream("Peru?"))
        yield lambda model=model: asyncio.run(model.ainvoke("Peru?"))
        yield lambda model=model: asyncio.run(model.abatch(["Peru?", "Chile?", "Cuba?"]))
        yield lambda model=model: asyncio.run(streamed(model))


def _llamaindex(native: Any) -> Iterator[Callable[[], Any]]:
    routed = [ConfidenceRoutedLLM(edge=Whole(native), cloud=MockLLM(), samples=3) for _ in range(2)]
    said = [ChatMessage(content="Peru?")]

    async def streamed(model: Any) -> list[Any]:
        pieces: AsyncIterator[Any] = await model.astream_chat(said)
        return [piece async for piece in pieces]

    for model in routed:
        yield partial(model.chat, said)
        yield partial(model.complete, "Peru?")
        yield lambda model=model: list(model.stream_chat(said))
        yield lambda model=model: asyncio.run(model.achat(said))
        yield lambda model=model: asyncio.run(streamed(model))


@pytest.mark.parametrize("framework", [[_langchain], [_llamaindex], [_langchain, _llamaindex]])
def test_routed_models_over_one_native_model(framework: list[Callable[[Any], Iterator[Callable[[], Any]]]]) -> None:
    """Served answers, samples and trials, whole, streamed and in batches, each on a loop or in a thread of its own."""
    native = Llama()
    calls = [call for each in framework for call in each(native)]
    with ThreadPoolExecutor(len(calls)) as callers:
        for done in [callers.submit(call) for call in calls]:
            done.result(60)
    assert native.asked >= 4 * len(calls)
    assert native.crowded == 0


@pytest.mark.parametrize(
    "module",
    [
        "llama_cpp.llama",
        "ctransformers.llm",
        "gpt4all.gpt4all",
        "mlx.nn.layers.base",
        "mlx_lm.models.llama",
        "onnxruntime_genai.onnxruntime_genai",
        "openvino_genai.py_openvino_genai",
        "exllamav2.model",
        "optimum.intel.openvino.modeling_decoder",
        "vllm.entrypoints.llm",
    ],
)
def test_what_runs_in_this_process_is_told_by_its_package(module: str) -> None:
    native = type("Model", (Context,), {"__module__": module})()
    assert native_of(Chat(client=native)) is native
    assert native_of(Whole(native)) is native
    assert native_of(Around(llm=Completing(pipeline=Pipeline(native)))) is native
    assert native_of(Chat(client=[Completing(pipeline=native)])) is native


@pytest.mark.parametrize(
    "module",
    [
        "openai",
        "llama_cpp_client",
        "llama_index.llms.llama_cpp",
        "vllm.v1.engine.async_llm",
        "transformers.tokenization_utils_fast",
        "torch.nn.modules.module",
    ],
)
def test_what_else_is_asked_is_asked_at_once(module: str) -> None:
    """Nor what it holds to count tokens, nor a model of torch's, whose answers share nothing."""
    client = type("Client", (Context,), {"__module__": module})()
    assert native_of(Chat(client=client)) is None
    assert native_of(Whole(client)) is None


def test_a_model_that_holds_itself_is_no_riddle() -> None:
    """Nor what answers to every name, or has a module that is none."""

    class Anything:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    odd = type("Odd", (Anything,), {"__module__": 3})()
    model = Chat(client=odd)
    chain: Runnable[Any, Any] = RunnableLambda(lambda _: model) | RunnableLambda(str)
    around = Chat(client=[model, chain])
    model.client = around
    assert native_of(around) is None
