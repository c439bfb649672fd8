"""Why an answer ended: one word for what servers and services each have their own for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

_WORDS: Mapping[str, str] = {
    "stop": "stop complete completed done end end_of_text end_of_turn end_turn eos eos_token eot finished ok "
    "stop_sequence stop_token succeeded success",
    "length": "length incomplete max_completion_tokens max_length max_new_tokens max_output_tokens max_tokens "
    "model_context_window_exceeded model_length token_limit",
    "content_filter": "blocklist content_filter content_filtered error_toxic guardrail_intervened image_safety "
    "language model_armor prohibited_content recitation refusal safety sensitive spii",
    "error": "cancelled canceled error error_limit failed in_progress insufficient_system_resource interrupted "
    "network_error other pause_turn queued repetition time_limit timeout user_cancel",
}
_MEANING: Mapping[str, str] = {word: meant for meant, words in _WORDS.items() for word in words.split()}
# Of words that are in no list, new ones mostly, some tell by a part of theirs that the answer is not whole.
_PARTS: Mapping[str, re.Pattern[str]] = {
    "content_filter": re.compile("filter|safety|prohibited|blocked|recitation|refus"),
    "abort": re.compile("abort"),
    "error": re.compile("error|fail|malformed|unexpected|missing|too_many|cancel|interrupt|time_?(?:d_)?out"),
    "length": re.compile("length|limit|max|truncat|incomplete|exceed"),
}


def finish_reason_of(told: object) -> str:
    """The reason that is *told*: "stop", "length" where the answer may not be longer, "content_filter" where it was
    held back, "abort" or "error" where it was broken off. Other words, as "tool_calls", stay as they are; what is no
    word is "stop".

    >>> finish_reason_of("MAX_TOKENS")
    'length'
    """
    word: object = told.name if isinstance(told, Enum) else told
    if not isinstance(word, str) or not word:
        return "stop"
    # The text of an enum's member has the enum's name before it.
    plain = word.rpartition(".")[2].strip().lower().replace(" ", "_").replace("-", "_")
    return _MEANING.get(plain) or next((meant for meant, part in _PARTS.items() if part.search(plain)), word)
