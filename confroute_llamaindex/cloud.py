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
from confroute.edge.usage import with_thoughts_of
from confroute.steps import Call, Source

# As OpenAI, Anthropic, Gemini and Bedrock name them.
_INPUT = ("prompt_tokens", "input_tokens", "prompt_token_count", "inputTokens")
_CACHED = ("cache_read_input_tokens", "cache_creation_input_tokens", "cacheReadInputTokens", "cacheWriteInputTokens")
_TOTAL = ("total_tokens", "total_token_count", "totalTokens")
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
    counts = [(_inputs(each), _first_count(each, _OUTPUT), _first_count(each, _TOTAL)) for each in told]
    inputs, outputs, total = next((each for each in counts if each[:2] != (None, None)), (None, None, None))
    # Gemini counts thoughts apart, and has them paid.
    thoughts = field_of(told[1], "thoughts_token_count")
    if outputs is not None and isinstance(thoughts, int):
        outputs += thoughts
    return inputs, with_thoughts_of(total, inputs, outputs)


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


def field_of(holder: Any, name: str) -> Any:
    """A field of an object or an entry of a mapping; None if there is none."""
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def _inputs(usage: Any) -> int | None:
    """Anthropic and Bedrock count what they have in a cache, or put there, apart."""
    count = _first_count(usage, _INPUT)
    if count is None:
        return None
    details = field_of(usage, "prompt_tokens_details")
    counts = (*(field_of(usage, name) for name in _CACHED), field_of(details, "cached_tokens"))
    cached = sum(each for each in counts if isinstance(each, int))
    return count + cached if field_of(usage, _INPUT[0]) is None else with_cached(count, cached)


def _first_count(usage: Any, names: tuple[str, ...]) -> int | None:
    return next((count for name in names if isinstance(count := field_of(usage, name), int)), None)
