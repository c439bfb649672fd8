"""What servers say of a prompt that does not fit, each in its own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CONTEXT = re.compile(
    r"(?:context (?:length|size|window)|maximum (?:model|prompt) length)(?! \(n_keep| by )\D{0,30}?(\d{1,9})|"
    r"`inputs` tokens \+ `max_new_tokens` must be <= (\d{1,9})|"
    r"must have less than (\d{1,9}) tokens|\bn_ctx(?:: | \()(\d{1,9})|tokens > (\d{1,9}) maximum|"
    r"with (\d{1,9}) maximum context length|maximum number of tokens allowed \(?(\d{1,9})|"
    r"maximum allowed length \((\d{1,9}) tokens|input tokens exceed the configured limit of (\d{1,9})",
    re.IGNORECASE,
)
_PROMPT = re.compile(
    r"(\d{1,9}) (?:in the messages|of text input|input tokens|"
    r"tokens (?:in|from) the (?:messages|prompt|input messages))|"
    r"(?:input|input length|input token count|prompt|request|requested tokens)(?: contains| has)?(?: at least)? "
    r"\((?:length )?(\d{1,9})|"
    r"(?:prompt|request) contains(?: at least)? (\d{1,9})|messages resulted in (\d{1,9})|keep the first (\d{1,9})|"
    r"\bGiven: (\d{1,9})(?=\W*(?:`inputs` tokens|$))|\bn_keep(?:: | \()(\d{1,9})|prompt is too long: (\d{1,9}) tokens",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"(?:exceeds?|longer than|larger than|greater than|exceeded|maximum|available|length of only).{0,30}"
    r"(?:context|model) (?:length|size|window)|context_length_exceeded|context length of only|"
    r"when context (?:the )?overflows|context window exceeds|prompt is too long|maximum prompt length|"
    r"context length is only|input tokens exceed|exceeds the maximum allowed length|"
    r"cannot truncate prompt|prompt too long|reduce the length of the (?:messages|prompt|input)|"
    r"exceed context limit|exceeded model token limit|(?:input|prompt) token count.{0,20} exceeds",
    re.IGNORECASE,
)
_COMMA = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
"""Of thousands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """A prompt that does not fit: the tokens that it and the context have, None where the server does not tell."""

    prompt: int | None
    context: int | None
    at_least: bool
    """The server stopped counting the prompt when it was clear."""


def shortage(details: Mapping[str, Any], text: str) -> Shortage | None:
    """What an error says of the context, in its *details* and its *text*; None if it is about something else."""
    text = _COMMA.sub("", text)
    prompt = _given(details.get("n_prompt_tokens")) or _number(_PROMPT, text)
    context = _given(details.get("n_ctx")) or _number(_CONTEXT, text)
    if (prompt and context) or _ABOUT.search(f"{details.get('code')} {text}"):
        return Shortage(prompt=prompt, context=context, at_least=f"at least {prompt}" in text)
    return None


def _given(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    return int(next(group for group in found.groups() if group)) if found else None
