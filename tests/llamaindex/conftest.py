"""A scripted cloud LLM, and one way to call all eight endpoints."""

from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.llms import LLM
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback

from confroute.testing import ScriptedEngine
from confroute_llamaindex import ConfidenceRoutedLLM

QUESTION = "Capital of France?"


class ScriptedCloud(LLM):
    """Says *answer* by words; raises *error* instead, or after *words_before_error* words of a stream."""

    answer: str = "The capital is Paris"
    error: Any = None
    words_before_error: int = 0

    _received: list[tuple[Any, dict[str, Any]]] = PrivateAttr(default_factory=list)
    _given: list[ChatResponse] = PrivateAttr(default_factory=list)
    _closed: bool = PrivateAttr(default=False)

    @classmethod
    def class_name(cls) -> str:
        return "ScriptedCloud"

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            context_window=5000, num_output=100, is_chat_model=True, is_function_calling_model=True, model_name="big"
        )

    @property
    def received(self) -> list[tuple[Any, dict[str, Any]]]:
        return self._received

    @property
    def given(self) -> list[ChatResponse]:
        """The responses and chunks made so far."""
        return self._given

    @property
    def closed(self) -> bool:
        """Whether the last stream was run to its end or closed."""
        return self._closed

    def _respond(self, words: list[str], delta: str | None = None) -> ChatResponse:
        response = ChatResponse(
            message=ChatMessage(role="assistant", content=" ".join(words), additional_kwargs={"own": 1}),
            delta=delta,
            raw={"id": "x", "usage": {"prompt_tokens": 11, "completion_tokens": len(words)}},
            additional_kwargs={"thinking_delta": "hm"},
        )
        self._given.append(response)
        return response

    def _receive(self, messages: Any, kwargs: dict[str, Any]) -> None:
        self._received.append((messages, kwargs))
        if self.error is not None and not self.words_before_error:
            raise self.error

    def _chunks(self) -> Generator[ChatResponse, None, None]:
        words = self.answer.split()
        try:
            for i, word in enumerate(words):
                if self.error is not None and i == self.words_before_error:
                    raise self.error
                yield self._respond(words[: i + 1], word if i == 0 else f" {word}")
        finally:
            self._closed = True

    @llm_chat_callback()
    def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        self._receive(messages, kwargs)
        return self._respond(self.answer.split())

    @llm_chat_callback()
    async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        self._receive(messages, kwargs)
        return self._respond(self.answer.split())

    @llm_chat_callback()
    def stream_chat(self, messages: Any, **kwargs: Any) -> Generator[ChatResponse, None, None]:
        self._receive(messages, kwargs)
        return self._chunks()

    @llm_chat_callback()
    async def astream_chat(self, messages: Any, **kwargs: Any) -> AsyncGenerator[ChatResponse, None]:
        self._receive(messages, kwargs)

        async def chunks() -> AsyncGenerator[ChatResponse, None]:
            for chunk in self._chunks():
                yield chunk

        return chunks()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        self._receive(prompt, kwargs)
        return _completed(self._respond(self.answer.split()))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        self._receive(prompt, kwargs)
        return _completed(self._respond(self.answer.split()))

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> Generator[CompletionResponse, None, None]:
        self._receive(prompt, kwargs)
        return (_completed(chunk) for chunk in self._chunks())

    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> AsyncGenerator[CompletionResponse, None]:
        self._receive(prompt, kwargs)

        async def chunks() -> AsyncGenerator[CompletionResponse, None]:
            for chunk in self._chunks():
                yield _completed(chunk)

        return chunks()


def _completed(response: ChatResponse) -> CompletionResponse:
    extra = {**response.message.additional_kwargs, **response.additional_kwargs}
    return CompletionResponse(
        text=response.message.content or "", additional_kwargs=extra, delta=response.delta, raw=response.raw
    )


class Anything(dict[str, Any]):
    """A script with one entry for whatever is asked: a RAG prompt is not known beforehand."""

    def __init__(self, entry: Any) -> None:
        super().__init__()
        self.entry = entry

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> Any:
        return self.entry


CONFIDENT = ("Paris", ["Paris"])
UNCERTAIN = ("Paris", ["Lyon", "Rome"])


@pytest.fixture
def cloud() -> ScriptedCloud:
    return ScriptedCloud()


@pytest.fixture
def confident() -> ScriptedEngine:
    return ScriptedEngine(Anything(CONFIDENT))


@pytest.fixture
def uncertain() -> ScriptedEngine:
    return ScriptedEngine(Anything(UNCERTAIN))


@pytest.fixture
def routed(cloud: ScriptedCloud) -> Callable[..., ConfidenceRoutedLLM]:
    """Makes an LLM over the scripted cloud: ``routed("edge")`` is sure of its edge, ``routed("cloud")`` is not."""

    def make(route: str, **settings: Any) -> ConfidenceRoutedLLM:
        engine = ScriptedEngine(Anything(CONFIDENT if route == "edge" else UNCERTAIN))
        return ConfidenceRoutedLLM(**{"edge": engine, "cloud": cloud, **settings})

    return make


@pytest.fixture
def ask() -> Callable[..., Any]:
    """Calls any endpoint and gives the list of what it handed out, one response or all chunks."""

    async def call(llm: LLM, endpoint: str, given: Any = QUESTION, **kwargs: Any) -> list[Any]:
        if "chat" in endpoint and isinstance(given, str):
            given = [ChatMessage(role="user", content=given)]
        outcome = getattr(llm, endpoint)(given, **kwargs)
        if endpoint.startswith("a"):
            outcome = await outcome
        if "stream" not in endpoint:
            return [outcome]
        if endpoint.startswith("a"):
            assert isinstance(outcome, AsyncGenerator)
            return [piece async for piece in outcome]
        assert isinstance(outcome, Generator)
        return list(outcome)

    return call


class Recorder(BaseEventHandler):
    _events: list[BaseEvent] = PrivateAttr(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Recorder"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        self._events.append(event)


@pytest.fixture
def events() -> Iterator[list[BaseEvent]]:
    """Every instrumentation event of the test, in order."""
    recorder, root = Recorder(), get_dispatcher()
    root.add_event_handler(recorder)
    yield recorder._events
    root.event_handlers.remove(recorder)


@pytest.fixture
def settings() -> Iterator[Any]:
    """LlamaIndex's global settings, put back as they were."""
    before = dict(vars(Settings))
    yield Settings
    vars(Settings).clear()
    vars(Settings).update(before)
