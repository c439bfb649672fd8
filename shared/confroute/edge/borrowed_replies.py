"""What a framework's own model said, in OpenAI's form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from confroute.edge.finish_reasons import finish_reason_of
from confroute.edge.protocol import before
from confroute.edge.replies import read_reply, read_whole
from confroute.records import Sample

REASONS = ("finish_reason", "finishReason", "done_reason", "stop_reason", "stopReason", "status")
"""What the makers of models call why an answer ended."""
_NOT_WHOLE = ("content_filter", "error", "abort", "length")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of the model: the *choice* that it is in OpenAI's form, its thoughts as ``reasoning_content``, and its
    tokens, 0 where they are not told."""

    choice: Mapping[str, Any]
    input_tokens: int = 0
    output_tokens: int = 0

    def sample(self, alternatives: int, stop: Sequence[str] = ()) -> Sample:
        """As `read_reply`, up to the first of the *stop* strings, all that there were."""
        read = read_reply(
            self.choice, alternatives=alternatives, output_tokens=self.output_tokens, alone=True, stop=stop
        )
        return before(stop, read)


def said(replies: Sequence[Reply]) -> set[object]:
    """What the *replies* say that say anything, thoughts included: those that are the same once."""
    whole = [read_whole(reply.choice, alternatives=0) for reply in replies]
    return {(sample.text, sample.tool_calls) for sample in whole if not sample.is_empty}


def gravest(told: Iterable[object]) -> str:
    """Why an answer ended of which several things are *told*, in `finish_reason_of`'s words: that it is not whole, if
    one of them says so."""
    meant = [finish_reason_of(each) for each in told if each is not None]
    return next((grave for grave in _NOT_WHOLE if grave in meant), meant[0] if meant else "stop")


def token_logprobs(told: Any) -> list[Mapping[str, Any]]:
    """The tokens that a response tells the logprobs of: OpenAI's form has them as its content, Ollama's is the bare
    list. None of them where it is of another form."""
    form = _plain(told)
    listed: Any = cast("Mapping[str, Any]", form).get("content") if isinstance(form, Mapping) else form
    tokens = [_plain(each) for each in cast("list[Any]", listed)] if isinstance(listed, list) else []
    return tokens if all(map(_is_token, tokens)) else []


def _plain(told: Any) -> Any:
    return told.model_dump() if hasattr(told, "model_dump") else told


def _is_token(told: Any) -> bool:
    if not isinstance(told, Mapping):
        return False
    token = cast("Mapping[str, Any]", told)
    return isinstance(token.get("token"), str) and isinstance(token.get("logprob"), float | int)
