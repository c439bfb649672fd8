"""The caller's cloud LLM, bound to one request, as the router drives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.llms import LLM
from llama_index.core.llms.structured_llm import StructuredLLM

from confroute.contract import Tokens
from confroute.steps import Call, Source

# OpenAI's names, and those of Anthropic's own API.
_INPUT = ("prompt_tokens", "input_tokens")
_OUTPUT = ("completion_tokens", "output_tokens")


@dataclass(frozen=True)
class LlamaIndexCloud:
    """*llm* gets the caller's own message objects and keyword arguments. The list is a new one at each call, since
    integrations append to the list they are given.
    """

    llm: LLM
    messages: Sequence[ChatMessage]
    kwargs: Mapping[str, Any]

    @property
    def model(self) -> str:
        return model_name(self.llm)

    def invoke(self) -> Call:
        return Call(
            lambda: self.llm.chat(list(self.messages), **self.kwargs),
            lambda: self.llm.achat(list(self.messages), **self.kwargs),
        )

    def stream(self) -> Call:
        async def opened() -> Source:
            return Source(await self.llm.astream_chat(list(self.messages), **self.kwargs))

        return Call(lambda: Source(self.llm.stream_chat(list(self.messages), **self.kwargs)), opened)

    def tokens(self, answer: ChatResponse, before: Tokens = (None, None)) -> Tokens:
        """As `token_counts`. A chunk that tells them tells the total so far."""
        told = token_counts(answer.raw)
        return before[0] if told[0] is None else told[0], before[1] if told[1] is None else told[1]


def token_counts(raw: Any) -> Tokens:
    """Input and output tokens from ``raw.usage``, objects or mappings."""
    usage = field_of(raw, "usage")
    return _first_count(usage, _INPUT), _first_count(usage, _OUTPUT)


def model_name(llm: LLM) -> str:
    """The model's name, or its class where it has none or cannot tell. Its own field is looked at before its metadata,
    for which some integrations ask their server.
    """
    try:
        own = getattr(llm.llm if isinstance(llm, StructuredLLM) else llm, "model", None)
        name = own if own and isinstance(own, str) else llm.metadata.model_name
    except Exception:
        name = "unknown"  # as LlamaIndex calls those without a name
    return llm.class_name() if name == "unknown" else name


def field_of(holder: Any, name: str) -> Any:
    """A field of an object or an entry of a mapping; None if there is none."""
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def _first_count(usage: Any, names: tuple[str, ...]) -> int | None:
    return next((count for name in names if isinstance(count := field_of(usage, name), int)), None)
