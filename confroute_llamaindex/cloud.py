"""The caller's cloud LLM, bound to one request, as the router drives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.llms import LLM
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.prompts import BasePromptTemplate
from pydantic import BaseModel

from confroute.contract import Tokens
from confroute.credentials import without_secrets
from confroute.edge.cut_prompts import with_cached
from confroute.edge.usage import cached_in, field_of, with_thoughts_of
from confroute.steps import Call, Source

# As OpenAI, Anthropic, Gemini and Bedrock name them.
_INPUT = ("prompt_tokens", "input_tokens", "prompt_token_count", "inputTokens")
_TOTAL = ("total_tokens", "total_token_count", "totalTokens")
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")
_TOOLS = ("tool_use_prompt_token_count",)
_OUTPUT = ("completion_tokens", "output_tokens", "candidates_token_count", "outputTokens")


@dataclass(frozen=True)
class ObjectPrompt:
    """What a caller gives who wants an object of a class."""

    output_cls: type[BaseModel]
    prompt: BasePromptTemplate
    prompt_args: Mapping[str, Any]


@dataclass(frozen=True)
class LlamaIndexCloud:
    """*llm* gets what the caller gave, and their keyword arguments. Lists and mappings are new ones at each call, since
    integrations write into those they are given.
    """

    llm: LLM
    given: Sequence[ChatMessage] | str | ObjectPrompt
    kwargs: Mapping[str, Any]

    @property
    def model(self) -> str:
        return model_name(self.llm)

    def invoke(self) -> Call:
        return Call(lambda: self._called(""), lambda: self._called("a"))

    def stream(self) -> Call:
        async def opened() -> Source:
            return Source(await self._called("astream_"))

        return Call(lambda: Source(self._called("stream_")), opened)

    def _called(self, form: str) -> Any:
        """What the method of this *form* gives, the one for messages, a text or an object."""
        if isinstance(self.given, ObjectPrompt):
            predict = getattr(self.llm, f"{form}structured_predict")
            return predict(self.given.output_cls, self.given.prompt, dict(self.kwargs), **self.given.prompt_args)
        if isinstance(self.given, str):
            return getattr(self.llm, f"{form}complete")(str(self.given), **self.kwargs)
        return getattr(self.llm, f"{form}chat")(list(self.given), **self.kwargs)

    def tokens(self, answer: ChatResponse | CompletionResponse | BaseModel, before: Tokens = (None, None)) -> Tokens:
        """As `token_counts`. A chunk that tells them tells the total so far. An object tells none."""
        if not isinstance(answer, (ChatResponse, CompletionResponse)):
            return before
        told = token_counts(answer)
        return before[0] if told[0] is None else told[0], before[1] if told[1] is None else told[1]


def token_counts(response: ChatResponse | CompletionResponse) -> Tokens:
    """Input and output tokens from what a response's ``raw``, an object or a mapping, tells of them, or from what the
    integration adds to the response.
    """
    raw: Any = response.raw
    added = cast("dict[str, Any]", response.additional_kwargs)  # pyright: ignore[reportUnknownMemberType]
    told = (field_of(raw, "usage"), field_of(raw, "usage_metadata"), added)
    usage = next(
        (each for each in told if any(_first_count(each, names) is not None for names in (_INPUT, _OUTPUT))), None
    )
    (inputs, uncertain), outputs = _inputs(usage), _first_count(usage, _OUTPUT)
    # Gemini counts thoughts apart, and has them paid.
    thoughts = field_of(usage, "thoughts_token_count")
    if isinstance(thoughts, int):
        return inputs, (outputs or 0) + thoughts
    total, details = _first_count(usage, _TOTAL), _first(usage, _OUTPUT_DETAILS)
    thoughts = field_of(details, "reasoning_tokens")
    return inputs, with_thoughts_of(total, inputs, outputs, uncertain=uncertain, thoughts=thoughts)


def model_name(llm: LLM) -> str:
    """The model's name, an address without what is secret in it; or its class where it has none or cannot tell. Its own
    field is looked at before its metadata, for which some integrations ask their server.
    """
    try:
        own = getattr(llm.llm if isinstance(llm, StructuredLLM) else llm, "model", None)
        name = own if own and isinstance(own, str) else llm.metadata.model_name
    except Exception:
        name = "unknown"  # as LlamaIndex calls those without a name
    return llm.class_name() if name == "unknown" else without_secrets(name)


def innermost(cloud: LLM) -> LLM:
    """The cloud of a routed LLM that is another's cloud."""
    inner = vars(cloud).get("cloud")
    return innermost(inner) if isinstance(inner, LLM) else cloud


def _inputs(usage: Any) -> tuple[int | None, int]:
    """Those that are told, and how many more there may be. Anthropic and Bedrock count what they have in a cache, or
    put there, apart, Gemini what its tools read."""
    count = _first_count(usage, _INPUT)
    if count is None:
        return None, 0
    cached = cached_in(usage, _first(usage, _INPUT_DETAILS))
    if field_of(usage, _INPUT[0]) is not None:
        inputs = with_cached(count, cached)
    else:
        inputs = count + cached_in(usage, None) + (_first_count(usage, _TOOLS) or 0)
    return inputs, max(0, count + cached - inputs)


def _first_count(usage: Any, names: tuple[str, ...]) -> int | None:
    return next((count for name in names if isinstance(count := field_of(usage, name), int)), None)


def _first(usage: Any, names: tuple[str, ...]) -> Any:
    return next((told for name in names if (told := field_of(usage, name)) is not None), None)
