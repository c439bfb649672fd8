"""What a server's choice says: the answer, without the thoughts that a reasoning model has before it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate
from typing import Any, cast

from confroute.edge.choices import read_choice
from confroute.records import Sample

_CLOSE = "</think>"
# Some chat templates open the thought themselves, in the prompt.
_THOUGHT = re.compile(rf"\A\s*<think>.*?(?:{_CLOSE}|\Z)|\A(?:(?!<think>).)*?\n{_CLOSE}(?=\n|\Z)", re.DOTALL)


def read_reply(choice: Mapping[str, Any], *, alternatives: int, output_tokens: int, alone: bool = False) -> Sample:
    """`read_choice`, for servers of all kinds: a leading thought is no part of the text, nor are its tokens of the
    answer's, which are None where they do not spell it. They are counted in ``output_tokens``."""
    message: Mapping[str, Any] = choice["message"]
    sample = read_choice(
        _saying(choice, _text(message)), alternatives=alternatives, output_tokens=output_tokens, alone=alone
    )
    text = _THOUGHT.sub("", sample.text).strip()
    if text == sample.text and not _thoughts(message):
        return sample
    tokens = sample.tokens or ()
    closed = "".join(tokens).rfind(_CLOSE)
    begins = accumulate((len(token) for token in tokens), initial=0)
    skipped = sum(begin < closed + len(_CLOSE) for begin, _ in zip(begins, tokens, strict=False)) if closed >= 0 else 0
    if not text or "".join(tokens[skipped:]).strip() != text:
        return replace(sample, text=text, tokens=None, token_logprobs=None, alternatives=None)
    return replace(
        sample,
        text=text,
        tokens=tokens[skipped:],
        token_logprobs=sample.token_logprobs and sample.token_logprobs[skipped:],
        alternatives=sample.alternatives and sample.alternatives[skipped:],
    )


def read_whole(choice: Mapping[str, Any], *, alternatives: int) -> Sample:
    """The sample with its thoughts: all that the server shows of what was generated."""
    message: Mapping[str, Any] = choice["message"]
    return read_choice(_saying(choice, _thoughts(message) + _text(message)), alternatives=alternatives)


def _saying(choice: Mapping[str, Any], text: str) -> Mapping[str, Any]:
    return {**choice, "message": {**choice["message"], "content": text}}


def _text(message: Mapping[str, Any]) -> str:
    content: Any = message.get("content")
    if isinstance(content, list):
        parts = cast("list[Mapping[str, Any]]", content)
        return "".join(part["text"] for part in parts if part.get("type") == "text")
    if not isinstance(content, str | None):
        raise TypeError("The content is no text.")
    return content or ""


def _thoughts(message: Mapping[str, Any]) -> str:
    return "".join(str(message.get(name) or "") for name in ("reasoning_content", "reasoning"))
