"""The chat model."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

from langchain_core.caches import BaseCache
from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import LanguageModelInput, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool

from confroute.contract import Answer, Request
from confroute.errors import ConfigurationError
from confroute.steps import Emit, Flow, arun, astream, relay, run, stream
from confroute_langchain.bound import Manager, handlers_of
from confroute_langchain.caching import SparingCache
from confroute_langchain.cloud import CloudCall
from confroute_langchain.edge import ChatModelEdge
from confroute_langchain.messages import message_chunk, whole_message
from confroute_langchain.request import edge_request
from confroute_langchain.results import chunk_of, combined, result_of
from confroute_langchain.runs import Run
from confroute_langchain.settings import Settings
from confroute_langchain.structured import PARSER, Schema, structured
from confroute_langchain.tools import BoundTools


class ConfidenceRoutedChatModel(Settings):
    """A chat model that answers on the edge what the edge is sure of, and has *cloud* answer the rest.

        from confroute_langchain import ConfidenceRoutedChatModel
        from langchain_openai import ChatOpenAI

        model = ConfidenceRoutedChatModel(edge="smollm2-135m", cloud=ChatOpenAI(model="gpt-5-mini"))
        answer = model.invoke("What is the capital of Japan?")
        answer.response_metadata["confidence_routing"]["route"]  # "edge" or "cloud"

    Works wherever a chat model does. The record of each decision stands in ``response_metadata`` under
    ``confidence_routing`` (on the last chunk of a stream) and is sent to callbacks as the custom event of that name.
    Nothing is streamed before the decision; the cloud then streams live. The cloud gets the caller's own messages.
    Tools are for the edge, too, where its model was made for them, and so is a JSON schema as ``response_format`` where
    its engine holds answers to one; an answer that is not of its schema, or of its tool's, is escalated. Other such
    requests, those with images, and whatever else the edge cannot read or heed go to the cloud at once
    (``reason="unsupported"``). Settings may be changed later, or in a copy (`model_copy`), which shares the engine.

    Args:
        cloud: any LangChain chat model, also as `bind` or `with_config` left it, or a string for `init_chat_model`.
        edge: what `confroute.resolve_edge` takes, or a LangChain chat model such as ChatOllama.
        threshold, estimator, samples, curtail, wave, sampling_temperature, sampling_top_p, policy, calibrator,
        certificate, task, on_cloud_error, edge_price, cloud_price, hooks: see `confroute.Router`, whose defaults hold
        for what is not given.
        temperature, max_tokens: of the edge's served answer. The cloud keeps its own settings.
        stop: for both.
        streaming: whether callbacks are told of tokens under `invoke`, too; by default where the cloud is set so.

    Keyword arguments of a call (or bound by `bind`) go to the cloud unchanged; ``temperature``, ``max_tokens``,
    ``top_p`` and ``seed`` among them also hold for the edge. So does what the cloud's own settings, or what is bound to
    it, say of what an answer is to be, such as ``tools``, ``response_format`` and ``stop``.

    """

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call(messages, stop, Run.of_manager(run_manager), kwargs)
        return run(self._result(call, streams=self._streams(run_manager, kwargs, async_api=False)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call(messages, stop, Run.of_manager(run_manager), kwargs)
        return await arun(self._result(call, streams=self._streams(run_manager, kwargs, async_api=True)))

    # LangChain looks for `run_manager` in these signatures at each call, 50 µs each time unless they are there already.
    _generate.__signature__ = inspect.signature(_generate)  # pyright: ignore[reportFunctionMemberAccess]
    _agenerate.__signature__ = inspect.signature(_agenerate)  # pyright: ignore[reportFunctionMemberAccess]

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        yield from stream(self._chunks(self._call(messages, stop, Run.of_manager(run_manager), kwargs)))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        flow = self._chunks(self._call(messages, stop, Run.of_manager(run_manager), kwargs))
        async with aclosing(astream(flow)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _result(self, call: tuple[Request, CloudCall], *, streams: bool) -> Flow[ChatResult]:
        request, cloud = call
        if streams:
            chunks: list[ChatGenerationChunk] = []
            yield from relay(self._chunks(call), _collect(chunks))
            return result_of(generate_from_stream(iter(chunks)).generations[0].message)
        answer: Answer[BaseMessage] = yield from self._router.answer(request, cloud)
        return result_of(whole_message(answer))

    def _chunks(self, call: tuple[Request, CloudCall]) -> Flow[None]:
        request, cloud = call
        nothing: Any = [] if self.output_version == "v1" else ""
        before = AIMessageChunk(content=nothing, id=cloud.run and cloud.run.message_id)

        def convert(answer: Answer[BaseMessage]) -> Flow[None]:
            nonlocal before
            before = message_chunk(answer, before)
            chunk = chunk_of(before)
            if cloud.run is not None and cloud.run.reports_tokens:
                yield cloud.run.token(chunk)
            yield Emit(chunk)

        yield from relay(self._router.stream(request, cloud), convert)

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None, run: Run | None, kwargs: dict[str, Any]
    ) -> tuple[Request, CloudCall]:
        run = kwargs.pop("confroute_run", None) or run
        parser = kwargs.pop(PARSER, None)
        stop = stop or self.stop
        arguments = {**self._cloud.of_the_answer, **self._of_the_edge, **kwargs}
        if stop:
            arguments["stop"] = stop
        request = edge_request(messages, arguments, run.announce if run and run.handlers else None, parser)
        return request, CloudCall(cloud=self._cloud, messages=messages, stop=stop, kwargs=kwargs, run=run)

    def _streams(
        self,
        manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
        **api: Any,
    ) -> bool:
        """Whether tokens are to be told while `invoke` runs: a listener such as `astream_events` wants them, or they
        were asked for here or of the cloud. LangChain's own rules."""
        if manager is None or not manager.handlers:
            return False
        # Whether it would if it were asked to: not where it was turned off.
        asked: dict[str, Any] = {"stream": True, **kwargs}
        if not super()._should_stream(**api, **asked):
            return False
        cloud = self._cloud
        told: dict[str, Any] = {**cloud.arguments, **kwargs}
        return super()._should_stream(**api, run_manager=manager, **kwargs) or cloud.model._should_stream(**api, **told)

    # LangChain hands `_stream` no run manager. So the run is made here and travels as a private keyword argument.
    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        config, kwargs = self._running(config, kwargs, CallbackManager, async_api=False)
        yield from super().stream(input, config, **kwargs)

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        config, kwargs = self._running(config, kwargs, AsyncCallbackManager, async_api=True)
        stream = cast("AsyncGenerator[AIMessageChunk]", super().astream(input, config, **kwargs))
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                yield chunk

    def _running(
        self, config: RunnableConfig | None, kwargs: dict[str, Any], manager_class: type[Manager], **api: Any
    ) -> tuple[RunnableConfig | None, dict[str, Any]]:
        if not self._should_stream(**api, **{**kwargs, "stream": True}):
            # LangChain will invoke us, and then hands us a run manager.
            return config, kwargs
        run, config = Run.of_stream(config, manager_class, handlers_of(self.callbacks))
        return config, {**kwargs, "confroute_run": run}

    def _should_stream(self, *, async_api: bool, run_manager: Any = None, **kwargs: Any) -> bool:
        # With a run manager `_generate` streams by itself, since LangChain would call `_stream` without it.
        return run_manager is None and super()._should_stream(async_api=async_api, **kwargs)

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools. The edge calls them where its model was made for tools, and all of them are functions."""
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        bound = BoundTools.of(tools, strict=kwargs.get("strict"))
        return cast("Runnable[LanguageModelInput, AIMessage]", self.bind(tools=bound, **kwargs))

    def with_structured_output(
        self,
        schema: Schema | None = None,
        *,
        include_raw: bool = False,
        method: str = "function_calling",
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Answers in the form of *schema*, by default through a tool call, for which an edge model must be made.

        With ``method="json_schema"`` a ``response_format`` asks for it, which the edge answers where its engine holds
        answers to a schema, whatever its model is. An answer of the edge's that is not of the schema, or that its
        pydantic class refuses, is escalated. The cloud gets the same parameter, in OpenAI's form, and must know it, as
        it must that of ``method="json_mode"``, which is the cloud's alone. *strict* is passed on.
        """
        if kwargs:
            raise ConfigurationError(f"with_structured_output has no argument {', '.join(sorted(kwargs))}.")
        return structured(self, schema, method=method, include_raw=include_raw, strict=strict)

    # Tokens are counted as the cloud counts them, unless the caller gave us a way to.
    def get_token_ids(self, text: str) -> list[int]:
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        return self._cloud.model.get_token_ids(text)

    def get_num_tokens(self, text: str) -> int:
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens(text)
        return self._cloud.model.get_num_tokens(text)

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> int:
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens_from_messages(messages, *args, **kwargs)
        return self._cloud.model.get_num_tokens_from_messages(messages, *args, **kwargs)

    def _resolve_model_profile(self) -> ModelProfile | None:
        return self._cloud.model.profile

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None], /) -> dict[str, Any]:
        return combined(llm_outputs)

    # The cache may not keep what stood in for the cloud's answer.
    def _generate_with_cache(self, *args: Any, **kwargs: Any) -> ChatResult:
        return super(ConfidenceRoutedChatModel, self._sparing())._generate_with_cache(*args, **kwargs)

    async def _agenerate_with_cache(self, *args: Any, **kwargs: Any) -> ChatResult:
        return await super(ConfidenceRoutedChatModel, self._sparing())._agenerate_with_cache(*args, **kwargs)

    def _sparing(self) -> ConfidenceRoutedChatModel:
        if self.cache is False or self._router.on_cloud_error != "edge":
            return self
        cache = self.cache if isinstance(self.cache, BaseCache) else get_llm_cache()
        return self if cache is None else self.model_copy(update={"cache": SparingCache(cache)})

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """The key of LangChain's cache: with all that the models within are told, hashed, for it may hold keys."""
        engine = self._engine
        named = str(self.edge) if isinstance(self.edge, (str, Path)) else engine.model
        told = (self._cloud.key, engine.bound.key if isinstance(engine, ChatModelEdge) else named)
        digest = hashlib.sha256(repr(told).encode()).hexdigest()
        return f"{super()._get_llm_string(stop=stop, **kwargs)}---{digest}"

    @property
    def _llm_type(self) -> str:
        return "confroute"

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        shown = {name: value for name, value in kwargs.items() if name not in ("confroute_run", PARSER)}
        return super()._get_invocation_params(stop=stop, **shown)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        # LangChain's standard: a model named for one call (it is the cloud's) is the one shown.
        model = kwargs.pop("model", None) or f"{self._router.edge.model} | {self._cloud.name}"
        params = super()._get_ls_params(stop=stop, model=model, **kwargs)
        params["ls_provider"] = "confroute"
        return params


def _collect(chunks: list[ChatGenerationChunk]) -> Callable[[ChatGenerationChunk], Flow[None]]:
    def convert(chunk: ChatGenerationChunk) -> Flow[None]:
        chunks.append(chunk)
        return
        yield

    return convert
