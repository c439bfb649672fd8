"""Prompts that a server cut to fit its context, and answered as if they were whole."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from confroute.edge.refusals import CutError
from confroute.edge.thoughts import without_thought
from confroute.records import Message

_LEAST_WORDS = 1000
"""No server has a context so small that it would cut a shorter prompt."""
_LEAST_CONTEXT = 256
"""Nor does one cut a prompt to so little. Who tells of fewer tokens tells those that were not in its cache."""
_TOKENS_PER_WORD = 0.8
"""A word is a token or more to all but the few tokenizers that have tokens of several words; prose has about 1.5."""
_SPACELESS = r"\u3040-\u30ff\u3400-\u9fff"  # of Chinese and Japanese, two signs count as a word
_WORD = re.compile(rf"[{_SPACELESS}]{{2}}|[^\s!-/:-@\[-`{{-~{_SPACELESS}]+")


def refuse_cut(messages: Sequence[Message], input_tokens: int, *, model: str) -> None:
    """Raises CutError where the server tells clearly fewer *input_tokens* than the *messages* have words: of a prompt
    that is a little too long nobody can tell."""
    if input_tokens < _LEAST_CONTEXT:
        return
    words = sum(map(_words, messages))
    if words < _LEAST_WORDS or input_tokens >= _TOKENS_PER_WORD * words:
        return
    raise CutError(
        f'"{model}" was given a prompt of about {words} words, and its server tells of {input_tokens} tokens: it seems '
        "to have cut the prompt to fit its context. Give it a larger one, with Ollama by OLLAMA_CONTEXT_LENGTH or "
        "num_ctx."
    )


def input_tokens_in(usage: Mapping[str, Any]) -> int:
    """The tokens of the prompt in OpenAI's *usage*, 0 where they are not told."""
    details: Any = usage.get("prompt_tokens_details")
    cached: Any = cast("Mapping[str, Any]", details).get("cached_tokens") if isinstance(details, Mapping) else None
    return with_cached(max(0, int(usage.get("prompt_tokens") or 0)), cached if isinstance(cached, int) else 0)


def with_cached(told: int, cached: int) -> int:
    """The tokens of a prompt. Those from a cache are some of the *told* ones, or counted apart where there are more."""
    return told + cached if cached > told else told


def _words(message: Message) -> int:
    """At least as many as there are of the *message* in a prompt, which has no thoughts of earlier answers."""
    content: Any = message.get("content")
    text = " ".join(map(_text, cast("list[Any]", content))) if isinstance(content, list) else _text(content)
    return len(_WORD.findall(without_thought(text) if message.get("role") == "assistant" else text))


def _text(part: Any) -> str:
    text: Any = cast("Mapping[str, Any]", part).get("text") if isinstance(part, Mapping) else part
    return text if isinstance(text, str) else ""
