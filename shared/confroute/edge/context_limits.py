"""What servers say of a prompt that does not fit, each in its own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CONTEXT = re.compile(
    r"(?:context (?:length|size|window)|maximum model length)\D{0,30}?(\d{1,9})|"
    r"must be <= (\d{1,9})|must have less than (\d{1,9}) tokens",
    re.IGNORECASE,
)
_PROMPT = re.compile(
    r"(\d{1,9}) (?:in the messages|input tokens|tokens (?:in|from) the (?:messages|prompt|input messages))|"
    r"(?:input|prompt|request)(?: contains| has)?(?: at least)? \((?:length )?(\d{1,9})|"
    r"prompt contains at least (\d{1,9})|messages resulted in (\d{1,9})|keep the first (\d{1,9})|\bGiven: (\d{1,9})",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"(?:exceeds|longer than|larger than|exceeded|maximum|available|length of only).{0,30}"
    r"(?:context|model) (?:length|size|window)|context_length_exceeded|context length of only",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """A prompt that does not fit: the tokens that it and the context have, None where the server does not tell."""

    prompt: int | None
    context: int | None
    at_least: bool
    """The server stopped counting the prompt when it was clear."""


def shortage(details: Mapping[str, Any], text: str) -> Shortage | None:
    """What an error says of the context, in its *details* and its *text*; None if it is about something else."""
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
