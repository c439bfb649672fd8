"""Why an answer ended: one word for what servers and services each have their own for."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

_WORDS: Mapping[str, str] = {
    "stop": "stop complete completed end_turn eos eos_token finished stop_sequence",
    "length": "length incomplete max_completion_tokens max_length max_new_tokens max_output_tokens max_tokens "
    "model_context_window_exceeded model_length token_limit",
    "content_filter": "blocklist content_filter content_filtered error_toxic guardrail_intervened image_safety "
    "prohibited_content recitation refusal safety sensitive spii",
    "error": "cancelled canceled error error_limit failed insufficient_system_resource interrupted network_error "
    "time_limit timeout user_cancel",
}
_MEANING: Mapping[str, str] = {word: meant for meant, words in _WORDS.items() for word in words.split()}


def finish_reason_of(told: object) -> str:
    """The reason that is *told*: "stop", "length" where the answer may not be longer, "content_filter" where it was
    held back, or "error" where the server broke it off. Other words, as "tool_calls", stay as they are; what is no word
    is "stop".

    >>> finish_reason_of("MAX_TOKENS")
    'length'
    """
    word: object = told.name if isinstance(told, Enum) else told
    if not isinstance(word, str) or not word:
        return "stop"
    # The text of an enum's member has the enum's name before it.
    return _MEANING.get(word.rpartition(".")[2].strip().lower().replace(" ", "_").replace("-", "_"), word)
