"""What a server's choice says: the answer, without the thoughts that a reasoning model has before it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, takewhile
from typing import Any, cast

from confroute.edge.choices import is_blank, is_hidden, read_choice, saying, spelled
from confroute.edge.thoughts import END, without_thought
from confroute.records import Sample

_REST = 12
"""How many characters more than a stop string the tokens may have that are taken off with it."""


def read_reply(
    choice: Mapping[str, Any],
    *,
    alternatives: int,
    output_tokens: int,
    alone: bool = False,
    stop: Sequence[str] | None = None,
) -> Sample:
    """`read_choice`, for servers of all kinds: a leading thought is no part of the text, nor are its tokens of the
    answer's, which are None where they do not spell it, or may be others'. They are counted in ``output_tokens``.
    Where the strings that *stop* it are known, no other token comes after it than those of one of them, and none of its
    own is lacking."""
    message: Mapping[str, Any] = choice["message"]
    sample = read_choice(
        _saying(choice, _text(message)), alternatives=alternatives, output_tokens=output_tokens, alone=alone
    )
    text = without_thought(sample.text)
    thoughts = _thoughts(message)
    marked = _marked_tokens(sample.tokens or (), text)
    skipped = marked or _spelled_tokens(sample.tokens or (), thoughts, text)
    has_thought = bool(skipped or text != sample.text or thoughts)
    if not has_thought and (not text or sample.tool_calls):
        # Nothing shows what the tokens should spell.
        return sample
    if not text or sample.tool_calls:
        return _untold(sample, text)
    # The white space after a thought is as good as certain, and would be most of a short answer's mean.
    skipped += len(list(takewhile(is_blank, (sample.tokens or ())[skipped:]))) if skipped else 0
    answer = replace(
        sample,
        tokens=sample.tokens and sample.tokens[skipped:],
        token_logprobs=sample.token_logprobs and sample.token_logprobs[skipped:],
        alternatives=sample.alternatives and sample.alternatives[skipped:],
    )
    kept = saying(answer, text)
    beyond = (answer.tokens or ())[len(kept.tokens or ()) :]
    # They may be the rest of thoughts that began with the answer's words.
    if any(map(_is_shown, beyond)) and not ((skipped or not thoughts) and _is_stopped(answer.tokens or (), text, stop)):
        return _untold(sample, text)
    return kept if _are_whole(answer.tokens or (), text, stop) else _untold(sample, text)


def _are_whole(tokens: Sequence[str], text: str, stop: Sequence[str] | None) -> bool:
    """Whether the *tokens* spell all of the *text*, but for what a server takes off with a *stop* string: llama.cpp as
    many tokens as that has."""
    longest = max(map(len, stop or ()), default=0)
    sure = text[: max(0, len(text) - longest - _REST)] if longest else text
    return stop is None or not sure or spelled(sure, tokens)[1]


def _is_shown(token: str) -> bool:
    return bool(token.strip()) and not is_hidden(token)


def _is_stopped(tokens: Sequence[str], text: str, stop: Sequence[str] | None) -> bool:
    """Whether the *tokens* may be those of the *text* and of what stopped it; the last may go on beyond that, and more
    come after it where a server draws several at a time."""
    last = max((i for i, token in enumerate(tokens) if _is_shown(token)), default=0)
    found = (spelled(text + string, tokens) for string in stop or () if string)
    return stop is None or any(is_all or count >= last for count, is_all in found)


def _untold(sample: Sample, text: str) -> Sample:
    """The *sample* with this *text*, of which nothing is known by its tokens."""
    return replace(sample, text=text, tokens=None, token_logprobs=None, alternatives=None)


def _marked_tokens(tokens: Sequence[str], text: str) -> int:
    """How many of the *tokens* there are before the answer, of this *text*: up to the last end of a thought that is not
    its own. Servers that do not show the thoughts list their tokens all the same."""
    ends = [found.end() for found in END.finditer("".join(tokens))]
    ends = ends[: len(ends) - len(END.findall(text))]
    begins = accumulate((len(token) for token in tokens), initial=0)
    return sum(begin < ends[-1] for begin, _ in zip(begins, tokens, strict=False)) if ends else 0


def _spelled_tokens(tokens: Sequence[str], thoughts: str, text: str) -> int:
    """How many of the *tokens* spell the *thoughts*, where the others spell the answer, of this *text*: Ollama lists
    those of both, without a mark between them."""
    begin, is_all = spelled(thoughts, tokens) if thoughts.strip() else (0, False)
    if not (is_all and begin < len(tokens) and spelled(text, tokens[begin:])[1]):
        return 0
    # Over marks that we do not know, as many as there are before what spells the answer.
    end = next((i for i in range(begin, len(tokens)) if not is_hidden(tokens[i])), len(tokens) - 1)
    return bisect_right(range(end + 1), False, lo=begin + 1, key=lambda i: not spelled(text, tokens[i:])[1]) - 1


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
    told = [str(message.get(name) or "") for name in ("reasoning_content", "reasoning")]
    # Some servers tell the same by both names.
    return "".join({each.strip(): each for each in told}.values())
