"""The LLM to put where a cloud LLM was."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr, field_serializer
from llama_index.core.llms import LLM, callbacks
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.tools import BaseTool
from pydantic import BaseModel, ModelWrapValidatorHandler, SkipValidation, model_validator

from confroute.calibration import Calibrator, Certificate
from confroute.credentials import without_secrets
from confroute.edge import EdgeEngine
from confroute.errors import ConfigurationError
from confroute.estimators import Estimator
from confroute.hooks import Hook
from confroute.policies import Policy
from confroute.records import Price, SamplingOptions
from confroute.router import Router
from confroute.settings import checked_settings
from confroute_llamaindex.cloud import LlamaIndexCloud, model_name
from confroute_llamaindex.edge import LLMEdge
from confroute_llamaindex.exchange import Exchange
from confroute_llamaindex.messages import read_request
from confroute_llamaindex.responses import Response, is_of_edge, tool_selections
from confroute_llamaindex.structured import StructuredPrediction
from confroute_llamaindex.wish import Wish, WishedMessages, WishedText, calling_for

if TYPE_CHECKING:
    from typing import Self

Method = TypeVar("Method", bound=Callable[..., Any])
_decorators: Any = callbacks
# Where the caller gave none, prompts are made as the cloud makes its own, and what is shown of us has none of them.
_INHERITED = (
    "system_prompt",
    "query_wrapper_prompt",
    "messages_to_prompt",
    "completion_to_prompt",
    "output_parser",
    "pydantic_program_mode",
)
logger = logging.getLogger("confroute")


# LlamaIndex's decorators forget the type of what they decorate.
def _chat_endpoint(method: Method) -> Method:
    return _decorators.llm_chat_callback()(method)


def _completion_endpoint(method: Method) -> Method:
    return _decorators.llm_completion_callback()(method)


class ConfidenceRoutedLLM(StructuredPrediction):
    """Answers on the edge what the edge is sure of; the *cloud* LLM answers the rest.

    *edge* is what `confroute.resolve_edge` takes, or a LlamaIndex LLM such as Ollama.

    It goes wherever an ``LLM`` goes: ``Settings.llm``, query engines, chat engines. Every response says where it came
    from in ``additional_kwargs["confidence_routing"]`` (a `ConfidenceRecord` as JSON values; in a stream, on the last
    chunk), and each fires a `ConfidenceRoutingEvent`, which is the way to it through a query engine.

    A stream begins after the decision. Then the edge's answer is one chunk, and the cloud's chunks pass through as
    they come. Images go to the cloud without asking the edge, and so do ``tools`` where its model was not made for
    them, a JSON schema as ``response_format`` where its engine does not hold answers to one, and any other form of
    answer that a call or *cloud* itself asks for. It calls functions, by ``chat_with_tools`` or in a ``FunctionAgent``,
    where *cloud* is an LLM that does. An answer of the edge's that a prompt's output parser cannot read is never
    served.

    *system_prompt* and all else that LlamaIndex makes prompts with is the cloud's where you give none.

    *max_tokens* and *temperature* are the edge's, where a call does not give its own, and stop strings that *cloud* is
    set to are for both; all other settings are those of `Router`, with its defaults. Settings cannot be changed after
    construction, but in a `model_copy`. `to_dict` describes the LLM and has no secrets, hence no *cloud*, and an
    address without login and query; to load it, give *cloud*, *estimator*, *policy*, *calibrator*, *certificate* and
    *hooks* again, and *edge* if it was an engine or an LLM.

    A token counter in a callback manager that *cloud* has, too, counts an escalated answer twice: give the counter to
    one of the two.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    edge: SkipValidation[str | Path | EdgeEngine | LLM | None] = Field(default=None, frozen=True, repr=False)
    # Its absence is told by model_post_init, in our words and with the fix.
    cloud: SkipValidation[LLM] = Field(default=None, frozen=True, repr=False, exclude=True)  # pyright: ignore[reportAssignmentType]
    threshold: float | None = Field(default=None, frozen=True)
    estimator: Estimator | None = Field(default=None, frozen=True, exclude=True)
    samples: int | None = Field(default=None, frozen=True)
    curtail: bool | None = Field(default=None, frozen=True)
    wave: int | None = Field(default=None, frozen=True)
    sampling_temperature: float | None = Field(default=None, frozen=True)
    sampling_top_p: float | None = Field(default=None, frozen=True)
    policy: SkipValidation[Policy | None] = Field(default=None, frozen=True, exclude=True)
    calibrator: SkipValidation[Calibrator | None] = Field(default=None, frozen=True, exclude=True)
    certificate: SkipValidation[Certificate | str | Path | None] = Field(default=None, frozen=True, exclude=True)
    task: str | None = Field(default=None, frozen=True)
    on_cloud_error: SkipValidation[Literal["raise", "edge"] | None] = Field(default=None, frozen=True)
    edge_price: Price | None = Field(default=None, frozen=True)
    cloud_price: Price | None = Field(default=None, frozen=True)
    hooks: SkipValidation[Iterable[Hook] | None] = Field(default=None, frozen=True, repr=False, exclude=True)
    max_tokens: int | None = Field(default=None, frozen=True)
    temperature: float | None = Field(default=None, frozen=True)

    _router: Router = PrivateAttr()
    _options: SamplingOptions = PrivateAttr()
    _inherited: set[str] = PrivateAttr()

    @model_validator(mode="wrap")
    @classmethod
    def _tell_in_our_words(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        with checked_settings(cls.class_name(), cls.model_fields):
            return handler(values)

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._inherited = {
            name for name in _INHERITED if name not in self.model_fields_set or getattr(self, name) is None
        }
        self._settle()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy that routes by the settings in *update*, and asks the same engine if those have no edge."""
        copied = super().model_copy(update=update, deep=deep)
        if update:
            copied._inherited = copied._inherited - update.keys()
            kept = {name: getattr(copied._router, name) for name in ("edge", "hooks") if name not in update}
            copied._settle(**kept)
        return copied

    def _settle(self, **kept: Any) -> None:
        """Make what follows from the settings; *kept* is what was made of some of them before."""
        if not isinstance(self.cloud, LLM):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(
                f"cloud must be a LlamaIndex LLM, not {type(self.cloud).__name__}. Pass the LLM that you used so far, "
                'for example cloud=OpenAI(model="gpt-4o-mini").'
            )
        for name in self._inherited:
            setattr(self, name, getattr(self.cloud, name))
        given = self._given(signature(Router).parameters) | kept
        if isinstance(given.get("edge"), LLM):
            given["edge"] = LLMEdge(given["edge"])
        self._router = Router(**given)
        self._options = SamplingOptions(**self._given(("max_tokens", "temperature")))

    def _given(self, names: Iterable[str]) -> dict[str, Any]:
        """The settings that the caller gave, so that each default stands in one place, which is not here."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @field_serializer("edge")
    def _edge_told(self, edge: Any) -> str | None:
        if edge is None:
            return self._router.edge.model
        return without_secrets(str(edge)) if isinstance(edge, (str, Path)) else None

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        data = super().to_dict(**kwargs)
        return {name: value for name, value in data.items() if name != "edge" or value is not None}

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        if "edge" not in {**data, **kwargs}:
            raise ConfigurationError("The edge was an object, which is not in the dict. Give it again: edge=…")
        return super().from_dict(data, **kwargs)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [each for each in super().__repr_args__() if each[0] not in _INHERITED]

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        # LlamaIndex leaves out what it cannot pickle; without its estimator or engine the copy would route by defaults.
        lost = sorted(type(self).model_fields.keys() - state["__dict__"].keys() - {"callback_manager", "rate_limiter"})
        if lost:
            raise TypeError(f"ConfidenceRoutedLLM cannot be pickled because its {', '.join(lost)} cannot be.")
        return state

    @classmethod
    def class_name(cls) -> str:
        return "ConfidenceRoutedLLM"

    @property
    def model(self) -> str:
        """The names of both models."""
        return f"confroute: {self._router.edge.model} → {model_name(self.cloud)}"

    @property
    def metadata(self) -> LLMMetadata:
        """Sizes and roles are the cloud's: a prompt too long for the edge is escalated, not cut. They are LlamaIndex's
        defaults where the cloud has to ask its server and cannot: what the edge is sure of needs no cloud.
        """
        calls = isinstance(self.cloud, FunctionCallingLLM)
        try:
            told = self.cloud.metadata
        except Exception as error:
            # The error's text may quote an address with a password.
            logger.warning("The cloud LLM does not tell its metadata (%s); using defaults.", type(error).__name__)
            told = LLMMetadata(is_chat_model=True, is_function_calling_model=calls)
        return told.model_copy(
            update={
                "is_function_calling_model": calls and told.is_function_calling_model,
                "model_name": self.model,
            }
        )

    def to_payload(self) -> dict[str, Any]:
        # LlamaIndex wants it before each call, and would read all the metadata.
        return {"class_name": self.class_name(), "model_name": self.model}

    def _chat(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> Exchange[ChatResponse]:
        wish = messages.wish if isinstance(messages, WishedMessages) else Wish(messages)
        return self._exchange(ChatResponse, wish, messages, kwargs)

    def _completion(self, prompt: str, formatted: bool, kwargs: dict[str, Any]) -> Exchange[CompletionResponse]:
        wish = prompt.wish if isinstance(prompt, WishedText) else Wish([ChatMessage(content=prompt)])
        # Not every integration takes it.
        given = {**kwargs, "formatted": True} if formatted else kwargs
        return self._exchange(CompletionResponse, wish, prompt, given)

    def _exchange(
        self, kind: type[Response], wish: Wish, given: Sequence[ChatMessage] | str, kwargs: dict[str, Any]
    ) -> Exchange[Response]:
        request = read_request(
            wish.messages,
            {**kwargs, **wish.asked},
            self._options,
            cloud=self.cloud,
            limited=self.max_tokens is not None,
        )
        cloud = self.cloud
        if wish.wanted is not None and self.system_prompt != cloud.system_prompt:
            cloud = cloud.model_copy(update={"system_prompt": self.system_prompt})  # which it adds itself
        request = replace(request, read=wish.read)
        asked = LlamaIndexCloud(cloud, wish.wanted or given, kwargs)
        return Exchange(kind, self._router, request, asked, calls_twice=wish.calls_twice)

    def _get_messages(self, prompt: BasePromptTemplate, **prompt_args: Any) -> list[ChatMessage]:
        messages = super()._get_messages(prompt, **prompt_args)
        return WishedMessages(messages, self._wish(prompt, messages))

    def _get_prompt(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:
        text = WishedText(super()._get_prompt(prompt, **prompt_args))
        # The edge has a form of its own for messages.
        text.wish = self._wish(prompt, super()._get_messages(prompt, **prompt_args))
        return text

    def _wish(self, prompt: BasePromptTemplate, messages: list[ChatMessage]) -> Wish:
        parsers = [each for each in (self.output_parser, prompt.output_parser) if each is not None]
        if not parsers:
            return Wish(messages)
        return Wish(messages, lambda sample: [parser.parse(sample.text) for parser in parsers])

    # A request with tools is written as the cloud's integration does it; the edge reads what is in OpenAI's form.
    # LlamaIndex looks for tool_required in this signature.
    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        *args: Any,
        tool_required: bool = False,
        confroute_object: type[BaseModel] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        cloud = self._function_calling_cloud()
        prepared = cloud._prepare_chat_with_tools_compat(tools, *args, tool_required=tool_required, **kwargs)
        messages = prepared["messages"]
        if confroute_object is not None:
            prepared["messages"] = WishedMessages(messages, calling_for(confroute_object, messages))
        elif tool_required and "tool_choice" not in prepared:
            # Integrations that cannot tell their model so do not tell the edge either.
            prepared["messages"] = WishedMessages(messages, Wish(messages, asked={"tool_choice": "required"}))
        return prepared

    def _validate_chat_with_tools_response(
        self, response: ChatResponse, tools: Sequence[BaseTool], allow_parallel_tool_calls: bool = False, **kwargs: Any
    ) -> ChatResponse:
        cloud = self._function_calling_cloud()
        return cloud._validate_chat_with_tools_response(response, tools, allow_parallel_tool_calls, **kwargs)

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The calls of a response of this LLM's. Raises ValueError if there is none and *error_on_no_tool_call*."""
        if is_of_edge(response):
            return tool_selections(response, required=error_on_no_tool_call)
        cloud = self._function_calling_cloud()
        return cloud.get_tool_calls_from_response(response, error_on_no_tool_call=error_on_no_tool_call, **kwargs)

    def _function_calling_cloud(self) -> FunctionCallingLLM:
        if not isinstance(self.cloud, FunctionCallingLLM):
            raise ConfigurationError(f"The cloud LLM ({self.cloud.class_name()}) is none that calls functions.")
        return self.cloud

    @_chat_endpoint
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._chat(messages, kwargs).answer()

    @_chat_endpoint
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        return self._chat(messages, kwargs).stream()

    @_chat_endpoint
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return await self._chat(messages, kwargs).aanswer()

    @_chat_endpoint
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        return await self._chat(messages, kwargs).astream()

    @_completion_endpoint
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return self._completion(prompt, formatted, kwargs).answer()

    @_completion_endpoint
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        return self._completion(prompt, formatted, kwargs).stream()

    @_completion_endpoint
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return await self._completion(prompt, formatted, kwargs).aanswer()

    @_completion_endpoint
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        return await self._completion(prompt, formatted, kwargs).astream()
