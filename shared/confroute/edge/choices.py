"""What OpenAI-style chat completions ask for and answer with, in the core's terms."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, cast

from confroute.edge.finish_reasons import finish_reason_of
from confroute.errors import ModelError
from confroute.records import Alternatives, Sample, SamplingOptions
from confroute.tools import read_call

_BROKEN_OFF = ("abort", "error", "content_filter")
_ROUNDING = 1e-3
"""How far above 0 a logprob may be by the rounding of its server."""
# Some servers strip the text, and some tell tokens without their spaces, or with the vocabulary's marks for them.
_SPACE = re.compile(r"[\s\u2581\u0120\u010a\u0109]+")
_NAMED = re.compile(r"<[^<>]+>|\[/?[A-Z_]+\]")
"""The form of tokens that a server may list by their names, and not show."""
_PART = "\ufffd"
"""What a part of a character is shown as."""
_READINGS = 64
"""How many ways to read on are followed: one character over and over has thousands."""


def read_choice(
    choice: Mapping[str, Any], *, alternatives: int = 0, output_tokens: int = 0, alone: bool = False
) -> Sample:
    """The sample, with this many *alternatives* of each token where the choice tells them. A choice without token
    logprobs, or with any that is no logprob, has None for them, and *output_tokens* is what it is counted as. So is one
    that tells fewer, where they are of this choice *alone*: thoughts may be hidden. One that is not all that the model
    would have said, for another reason than its length, is a ModelError."""
    reason = finish_reason_of(choice.get("finish_reason"))
    if reason in _BROKEN_OFF:
        raise ModelError(f'The edge model\'s answer was broken off, "{reason}" is told as the reason.')
    logprobs: Any = choice.get("logprobs")
    tokens = _tokens(cast("Mapping[str, Any]", logprobs).get("content") if isinstance(logprobs, Mapping) else None)
    message: Mapping[str, Any] = choice["message"]
    text: str = message.get("content") or ""
    calls = tuple(read_call(call["function"]) for call in message.get("tool_calls") or ())
    texts = _texts(tokens)
    # One token more than are told is that of the end of the turn.
    hidden = output_tokens - len(tokens) - (reason != "length")
    # Beside calls the text is not all that was said: it cannot tell what is outside of it.
    shown = "" if calls or reason == "length" else text.rstrip()
    # Thoughts that the text does not show may be before it.
    ended = bool(shown) and not _ends(shown, texts[-1] if texts else "") and spelled(shown, texts)[0] < len(texts)
    if len(tokens) > 1 and (_is_nothing(tokens[-1]) or ended):
        tokens, texts = tokens[:-1], texts[:-1]
    return Sample(
        text=text.strip(),
        tool_calls=calls,
        token_logprobs=tuple(min(0.0, float(token["logprob"])) for token in tokens) or None,
        tokens=texts or None,
        alternatives=_alternatives(tokens, alternatives),
        output_tokens=output_tokens if not tokens or (alone and hidden > 0) else len(tokens),
        finish_reason=reason,
    )


def saying(sample: Sample, text: str) -> Sample:
    """The *sample* with this *text*, which its tokens are to begin with, and without those that lie wholly beyond it:
    a stop string's, or the end of the turn. Tokens that do not spell it are None."""
    kept, _ = spelled(text, sample.tokens or ())
    return replace(
        sample,
        text=text,
        tokens=sample.tokens and (sample.tokens[:kept] or None),
        token_logprobs=sample.token_logprobs and (sample.token_logprobs[:kept] or None),
        alternatives=sample.alternatives and (sample.alternatives[:kept] or None),
    )


def spelled(text: str, tokens: Sequence[str]) -> tuple[int, bool]:
    """How many of the *tokens*, from the first on, the *text* has, and whether they are all of it; 0 where they spell
    something else. They may end before it does: llama.cpp takes as many away as its stop string has, however it was put
    together here."""
    shown = _SPACE.sub("", text)
    best = (0, False)
    # Parts of characters are shown alike, so that there may be several ways to read on after them.
    readings = {_Reading()}
    for number, token in enumerate(tokens, start=1):
        visible = _visible(token)
        for i, part in enumerate(visible.split(_PART)):
            if i:
                readings = {each.opened(number, shown) for each in readings}
            if not part:
                continue
            after: set[_Reading] = set()
            for each in readings:
                places = _places(part, shown, each)
                if not i and len(shown) in places:
                    best = max(best, (each.within, True))
                after.update(
                    _Reading(min(place + len(part), len(shown)), number if each.at < len(shown) else each.within)
                    for place in places
                    if i or place < len(shown)
                )
                if not places and is_hidden(token):
                    after.add(each)
            readings = after if len(after) <= _READINGS else set(sorted(after)[:_READINGS])
    for each in readings:
        if each.at or (each.parts and not shown[:1].isascii()):
            unseen = takewhile(is_hidden, reversed(tokens[each.within :]))
            whole = each.at == len(shown) or (each.parts > 0 and not any(map(str.isascii, shown[each.at :])))
            best = max(best, (len(tokens) - len(list(unseen)), whole))
    return best


@dataclass(frozen=True, slots=True, order=True)
class _Reading:
    """How far a text is read: *at* this place, *within* so many tokens, with *parts* of characters before it."""

    at: int = 0
    within: int = 0
    parts: int = 0

    def opened(self, number: int, shown: str) -> _Reading:
        return _Reading(self.at, number if self.at < len(shown) else self.within, self.parts + 1)


def _places(part: str, shown: str, reading: _Reading) -> list[int]:
    """Where in *shown* this *part* of a token may be, or its beginning at the end: where the *reading* is, or after
    characters that were begun before it, which are not ASCII and no more than their parts."""
    at = last = reading.at
    while last < min(at + reading.parts, len(shown)) and not shown[last].isascii():
        last += 1
    return [
        begin
        for begin in range(at, last + 1)
        if shown.startswith(part, begin) or (len(part) > len(shown) - begin and part.startswith(shown[begin:]))
    ]


def is_hidden(token: str) -> bool:
    """Whether a server may list the *token* and not show it, by the form of its text."""
    return bool(_NAMED.fullmatch(_visible(token)))


def is_blank(token: str) -> bool:
    """Whether it is white space; a part of a character is none."""
    return not _visible(token)


def _visible(token: str) -> str:
    return _SPACE.sub("", token) if token else _PART


def _tokens(told: Any) -> Sequence[Mapping[str, Any]]:
    """Those that are *told* with their logprobs; none where that is in no such form, or one is without."""
    tokens: Sequence[Any] = cast("Sequence[Any]", told) if isinstance(told, list | tuple) else []
    return tokens if all(map(_is_token, tokens)) else []


def is_untold(choice: Mapping[str, Any]) -> bool:
    """Whether it has a text and tells nothing of its tokens. Beside calls some servers never do."""
    message: Mapping[str, Any] = choice["message"]
    logprobs: Any = choice.get("logprobs")
    told: Any = cast("Mapping[str, Any]", logprobs).get("content") if isinstance(logprobs, Mapping) else None
    return bool(message.get("content")) and not message.get("tool_calls") and not told


def _is_token(told: Any) -> bool:
    token: Mapping[str, Any] = cast("Mapping[str, Any]", told) if isinstance(told, Mapping) else {}
    try:
        # More than rounding above 0 is no logprob, and would pass for certainty.
        return "token" in token and float(token["logprob"]) <= _ROUNDING
    except (LookupError, TypeError, ValueError):
        return False


def _texts(tokens: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The text of each token. Of a character that is several tokens, the last has it and the others nothing; so it
    is with white space before it, or the first would pass for that alone."""
    decoder = getincrementaldecoder("utf-8")("replace")
    space = ""

    def text(token: str, told: Any) -> str:
        nonlocal space
        if not told or not isinstance(told, list):
            return token
        try:
            said = space + decoder.decode(bytes(cast("list[int]", told)))
        except (TypeError, ValueError):
            return token
        goes_on = bool(decoder.getstate()[0])
        space = said if goes_on and not said.strip() else ""
        return said.removesuffix(space)

    return tuple(text(str(token["token"]), token.get("bytes")) for token in tokens)


def _is_nothing(token: Mapping[str, Any]) -> bool:
    """Whether it is without a text, as llama.cpp's end-of-turn token is; a part of a character has bytes."""
    return not token["token"] and not token.get("bytes")


def _ends(text: str, token: str) -> bool:
    """Whether *text* may end with *token*, or with a beginning of it, the rest being a stop string's. vLLM and others
    list the end-of-turn token as they do all others, by its name."""
    visible = token.strip()
    beginnings = (visible[:size] for size in range(1, len(visible) + 1))
    return not visible or "\ufffd" in visible or text.endswith(tuple(beginnings))


def _alternatives(tokens: Sequence[Mapping[str, Any]], most: int) -> tuple[Alternatives, ...] | None:
    """Up to so many of each token, the likeliest first; None where they are not told of each."""
    places = [_tokens(token.get("top_logprobs")) for token in tokens]
    if not most or not places or not all(places):
        return None
    # vLLM tells the drawn token first, whatever its probability.
    ordered = (sorted(place, key=lambda other: -float(other["logprob"])) for place in places)
    return tuple(
        tuple((str(other["token"]), min(0.0, float(other["logprob"]))) for other in place[:most]) for place in ordered
    )


def request_for_tools(options: SamplingOptions) -> dict[str, Any]:
    """The parameters that offer the tools of *options*."""
    if not options.tools:
        return {}
    if not options.must_call:
        return {"tools": list(options.tools)}
    # vLLM holds the arguments to their schema only where the tool says so.
    strict = [{**tool, "function": {**tool["function"], "strict": True}} for tool in options.tools]
    return {"tools": strict, "tool_choice": "required"}


def response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The parameter of that name that holds an answer to a JSON *schema*."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema), "strict": True}}
