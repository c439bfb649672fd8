"""What a server's choice says: the answer, without the thoughts that a reasoning model has before it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any, cast

from confroute.edge.choices import read_choice, saying
from confroute.records import Sample

_OPEN = r"(?:<(?:seed:)?think(?:ing)?>|\[THINK\]|\u25c1think\u25b7)"
# Of OpenAI's open models the last mark is the answer's beginning.
_CLOSE = (
    r"(?:</(?:seed:)?think(?:ing)?>|\[/THINK\]|\u25c1/think\u25b7|"
    r"<\|channel\|>final[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>)"
)
_END = re.compile(_CLOSE, re.IGNORECASE)
# Some chat templates open the thought themselves, in the prompt.
_THOUGHT = re.compile(
    rf"\A\s*(?:{_OPEN}|(?=<\|channel\|>)).*?(?:{_CLOSE}|\Z)|"
    rf"\A(?:(?!{_OPEN}).)*?(?:\n{_CLOSE}(?=\n|\Z)|{_CLOSE}(?=\n\n))",
    re.DOTALL | re.IGNORECASE,
)


def read_reply(choice: Mapping[str, Any], *, alternatives: int, output_tokens: int, alone: bool = False) -> Sample:
    """`read_choice`, for servers of all kinds: a leading thought is no part of the text, nor are its tokens of the
    answer's, which are None where they do not spell it. They are counted in ``output_tokens``."""
    message: Mapping[str, Any] = choice["message"]
    sample = read_choice(
        _saying(choice, _text(message)), alternatives=alternatives, output_tokens=output_tokens, alone=alone
    )
    text = _THOUGHT.sub("", sample.text).strip()
    skipped = _thought_tokens(sample.tokens or (), text)
    has_thought = bool(skipped or text != sample.text or _thoughts(message))
    if not has_thought and (not text or sample.tool_calls):
        # Nothing shows what the tokens should spell.
        return sample
    if not text or sample.tool_calls:
        return replace(sample, text=text, tokens=None, token_logprobs=None, alternatives=None)
    answer = replace(
        sample,
        tokens=sample.tokens and sample.tokens[skipped:],
        token_logprobs=sample.token_logprobs and sample.token_logprobs[skipped:],
        alternatives=sample.alternatives and sample.alternatives[skipped:],
    )
    return saying(answer, text)


def _thought_tokens(tokens: Sequence[str], text: str) -> int:
    """How many of the *tokens* there are before the answer, of this *text*: up to the last end of a thought that is not
    its own. Servers that do not show the thoughts list their tokens all the same."""
    ends = [found.end() for found in _END.finditer("".join(tokens))]
    ends = ends[: len(ends) - len(_END.findall(text))]
    begins = accumulate((len(token) for token in tokens), initial=0)
    return sum(begin < ends[-1] for begin, _ in zip(begins, tokens, strict=False)) if ends else 0


def read_whole(choice: Mapping[str, Any], *, alternatives: int) -> Sample:
    """The sample with its thoughts: all that the server shows of what was generated."""
    message: Mapping[str, Any] = choice["message"]
    return read_choice(_saying(choice, _thoughts(message) + _text(message)), alternatives=alternatives)


def _saying(choice: Mapping[str, Any], text: str) -> Mapping[str, Any]:
    return {**choice, "message": {**choice["message"], "content": text}}


def _text(message: Mapping[str, Any]) -> str:
    content: Any = message.get("content")
    if isinstance(content, list):
        parts = cast("list[Any]", content)
        return "".join(part if isinstance(part, str) else _part(part) for part in parts)
    if not isinstance(content, str | None):
        raise TypeError("The content is no text.")
    return content or ""


def _part(part: Mapping[str, Any]) -> str:
    return part["text"] if part.get("type", "text") in ("text", "output_text") else ""


def _thoughts(message: Mapping[str, Any]) -> str:
    return "".join(str(message.get(name) or "") for name in ("reasoning_content", "reasoning"))
