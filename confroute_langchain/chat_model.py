"""The chat model."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Literal, cast

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    BaseCallbackHandler,
    BaseCallbackManager,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, model_validator

from confroute import __version__
from confroute.arguments import options_of
from confroute.contract import Answer, Request
from confroute.errors import ConfigurationError
from confroute.estimators import Estimator
from confroute.records import Price, SamplingOptions
from confroute.router import Hook, Router
from confroute.steps import Emit, Flow, arun, astream, relay, run, stream
from confroute_langchain.cloud import CloudCall, chat_model_of, cloud_name, resolve_cloud
from confroute_langchain.edge import ChatModelEdge
from confroute_langchain.messages import message_chunk, read, unsupported, whole_message
from confroute_langchain.runs import Run
from confroute_langchain.structured import as_json

# Generic settings of LangChain's chat models that belong to the cloud model here.
_CLOUD_SETTINGS = ("api_key", "base_url", "max_retries", "timeout")
_ROUTER_FIELDS = (
    "edge",
    "threshold",
    "estimator",
    "samples",
    "curtail",
    "wave",
    "sampling_temperature",
    "sampling_top_p",
    "policy",
    "calibrator",
    "certificate",
    "task",
    "on_cloud_error",
    "edge_price",
    "cloud_price",
    "hooks",
)


class ConfidenceRoutedChatModel(BaseChatModel):
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
    requests, and those with images, go to the cloud at once (``reason="unsupported"``).

    Args:
        cloud: any LangChain chat model, with arguments bound to it or not, or a string for `init_chat_model`.
        edge: what `confroute.resolve_edge` takes, or a LangChain chat model such as ChatOllama.
        threshold, estimator, samples, curtail, wave, sampling_temperature, sampling_top_p, policy, calibrator,
        certificate, task, on_cloud_error, edge_price, cloud_price, hooks: see `confroute.Router`, whose defaults hold
        for what is not given.
        temperature, max_tokens: of the edge's served answer. The cloud keeps its own settings.
        stop: for both.

    Keyword arguments of a call (or bound by `bind`) go to the cloud unchanged; ``temperature``, ``max_tokens``,
    ``top_p`` and ``seed`` among them also hold for the edge.

    """

    model_config = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True)

    cloud: Any = None
    edge: Any = None
    threshold: float | None = None
    estimator: Estimator | None = None
    samples: int | None = None
    curtail: bool | None = None
    wave: int | None = None
    sampling_temperature: float | None = None
    sampling_top_p: float | None = None
    policy: Any = None
    calibrator: Any = None
    certificate: Any = None
    task: str | None = None
    on_cloud_error: Literal["raise", "edge"] | None = None
    edge_price: Price | None = None
    cloud_price: Price | None = None
    hooks: Sequence[Hook] | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_settings(cls, values: dict[str, Any]) -> dict[str, Any]:
        known = {*cls.model_fields, *(field.alias for field in cls.model_fields.values() if field.alias)}
        for name in set(values) - known:
            if name in (*_CLOUD_SETTINGS, "streaming"):
                if name != "streaming":
                    warnings.warn(f"{name} has no effect here; set it on the cloud model.", stacklevel=4)
                continue
            close = difflib.get_close_matches(name, known, n=1)
            hint = f' Did you mean "{close[0]}"?' if close else ""
            raise ConfigurationError(f'ConfidenceRoutedChatModel has no setting "{name}".{hint}')
        return values

    @model_validator(mode="after")
    def _build(self) -> ConfidenceRoutedChatModel:
        _ = self._cloud, self._router  # what is wrong with a setting is told here, not at the first request
        self._add_version("confroute", __version__)
        return self

    # No private attributes of pydantic's, which take 5 µs to read: a request reads these eight times.
    @cached_property
    def _cloud(self) -> Runnable[Any, Any]:
        return resolve_cloud(self.cloud)

    @cached_property
    def _router(self) -> Router:
        given = {name: value for name in _ROUTER_FIELDS if (value := getattr(self, name)) is not None}
        edge: object = self.edge
        if isinstance(edge, Runnable):
            given["edge"] = ChatModelEdge(cast("Runnable[Any, Any]", edge))
        return Router(**given)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return run(self._result(self._call(messages, stop, Run.of_manager(run_manager), kwargs)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await arun(self._result(self._call(messages, stop, Run.of_manager(run_manager), kwargs)))

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
        async for chunk in astream(self._chunks(self._call(messages, stop, Run.of_manager(run_manager), kwargs))):
            yield chunk

    def _result(self, call: tuple[Request, CloudCall]) -> Flow[ChatResult]:
        request, cloud = call
        if cloud.run is not None and cloud.run.wants_tokens:
            chunks: list[ChatGenerationChunk] = []
            yield from relay(self._chunks(call), _collect(chunks))
            return generate_from_stream(iter(chunks))
        answer: Answer[BaseMessage] = yield from self._router.answer(request, cloud)
        return ChatResult(generations=[ChatGeneration(message=whole_message(answer))])

    def _chunks(self, call: tuple[Request, CloudCall]) -> Flow[None]:
        request, cloud = call

        def convert(answer: Answer[BaseMessage]) -> Flow[None]:
            chunk = ChatGenerationChunk(message=message_chunk(answer))
            if cloud.run is not None and cloud.run.reports_tokens:
                yield cloud.run.token(chunk)
            yield Emit(chunk)

        yield from relay(self._router.stream(request, cloud), convert)

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None, run: Run | None, kwargs: dict[str, Any]
    ) -> tuple[Request, CloudCall]:
        run = kwargs.pop("confroute_run", None) or run
        stop = stop or self.stop
        own = {"temperature": self.temperature, "max_tokens": self.max_tokens, "stop": stop}
        request = Request(
            messages=read(messages),
            options=SamplingOptions(**options_of(own | kwargs)),
            unsupported=unsupported(messages, kwargs),
            announce=run.announce if run and run.handlers else None,
        )
        return request, CloudCall(cloud=self._cloud, messages=messages, stop=stop, kwargs=kwargs, run=run)

    # LangChain hands `_stream` no run manager. So the run is made here and travels as a private keyword argument.
    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        run, config = Run.of_stream(config, CallbackManager, _own_handlers(self.callbacks))
        yield from super().stream(input, config, confroute_run=run, **kwargs)

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        run, config = Run.of_stream(config, AsyncCallbackManager, _own_handlers(self.callbacks))
        async for chunk in super().astream(input, config, confroute_run=run, **kwargs):
            yield chunk

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
        """Bind tools, in OpenAI's form. The edge calls them where its model was made for tools."""
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        converted = [convert_to_openai_tool(tool) for tool in tools]
        return cast("Runnable[LanguageModelInput, AIMessage]", self.bind(tools=converted, **kwargs))

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Answers in the form of *schema*, by default through a tool call, for which an edge model must be made.

        With ``method="json_schema"`` a ``response_format`` asks for it, which the edge answers where its engine holds
        answers to a schema, whatever its model is; an answer of the edge's that is not of it is escalated. The cloud
        gets the same parameter, in OpenAI's form, and must know it; ``strict`` is passed on in it.
        """
        if kwargs.get("method") != "json_schema":
            return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        strict = kwargs.get("strict")
        if further := sorted(set(kwargs) - {"method", "strict"}):
            raise ConfigurationError(f"with_structured_output has no argument {', '.join(further)}.")
        return as_json(self, schema, include_raw=include_raw, strict=strict)

    def get_token_ids(self, text: str) -> list[int]:
        """Tokens as the cloud counts them."""
        return chat_model_of(self._cloud).get_token_ids(text)

    @property
    def _llm_type(self) -> str:
        return "confroute"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """Also the key of LangChain's cache: all that changes which answer is given."""
        cloud = chat_model_of(self._cloud)
        router = self._router
        return {
            "edge": router.edge.model,
            "cloud": cloud_name(self._cloud),
            "cloud_params": repr(sorted(cloud._identifying_params.items(), key=lambda item: item[0])),
            "estimator": router.estimator_identity,
            "threshold": router.policy.threshold,
            "policy": type(router.policy).__name__,
            "calibrator": router.calibrator and router.calibrator.identity,
            "certificate": router.certificate and router.certificate.id,
            "samples": router.samples,
            "sampling_temperature": router.sampling_temperature,
            "sampling_top_p": router.sampling_top_p,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "stop": self.stop,
        }

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        kwargs.pop("confroute_run", None)
        return super()._get_invocation_params(stop=stop, **kwargs)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        # LangChain's standard: a model named for one call (it is the cloud's) is the one shown.
        model = kwargs.pop("model", None) or f"{self._router.edge.model} | {cloud_name(self._cloud)}"
        params = super()._get_ls_params(stop=stop, model=model, **kwargs)
        params["ls_provider"] = "confroute"
        return params


def _collect(chunks: list[ChatGenerationChunk]) -> Callable[[ChatGenerationChunk], Flow[None]]:
    def convert(chunk: ChatGenerationChunk) -> Flow[None]:
        chunks.append(chunk)
        return
        yield

    return convert


def _own_handlers(callbacks: list[BaseCallbackHandler] | BaseCallbackManager | None) -> list[BaseCallbackHandler]:
    return callbacks.handlers if isinstance(callbacks, BaseCallbackManager) else list(callbacks or ())
