"""What a service tells of the tokens that its answers took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from confroute.edge.cut_prompts import input_tokens_in

Count = TypeVar("Count", int, int | None)

_CACHED = ("cache_read_input_tokens", "cache_creation_input_tokens", "cacheReadInputTokens", "cacheWriteInputTokens")
"""What Anthropic and Bedrock, and servers in their place, call the tokens that were in a cache, or put there."""


def with_thoughts_of(
    total: Any, inputs: int | None, outputs: Count, *, uncertain: int = 0, thoughts: Any = None
) -> Count:
    """The *outputs* that a service tells, and those that only its *total* with the *inputs* counts: thoughts, which
    Google's endpoint of OpenAI's form and xAI's leave out of the former, though the limit of an answer is theirs, too.

    Those that are certain, for outputs are what costs the most, and a total may have tokens of tools, too. Where the
    *thoughts* are told, no more than they were left out, and only if they are all that is left of the total, or more
    than the outputs. Where they are not, as many as *uncertain* more may be inputs, from a cache.
    """
    if not inputs or not isinstance(total, int):
        return outputs  # some tell no inputs
    said = outputs or 0
    left = total - inputs - said
    if isinstance(thoughts, int):
        more = thoughts if thoughts == left or said < thoughts < left else 0
    else:
        more = left - uncertain
    return said + more if more > 0 else outputs


def output_tokens_in(usage: Mapping[str, Any]) -> int:
    """The tokens of the answers in OpenAI's *usage*, 0 where they are not told, as `with_thoughts_of` has them."""
    inputs = input_tokens_in(usage)
    most = max(0, int(usage.get("prompt_tokens") or 0)) + cached_in(usage, usage.get("prompt_tokens_details"))
    details: Any = usage.get("completion_tokens_details")
    return with_thoughts_of(
        usage.get("total_tokens"),
        inputs,
        max(0, int(usage.get("completion_tokens") or 0)),
        uncertain=max(0, most - inputs),
        thoughts=field_of(details, "reasoning_tokens"),
    )


def cached_in(usage: Any, details: Any) -> int:
    """The tokens from a cache, and those put there, that a *usage* or the *details* of its inputs tell of. Some tell
    them in both."""
    told = [count for name in _CACHED if isinstance(count := field_of(usage, name), int)]
    within = field_of(details, "cached_tokens")
    return max(sum(told), within if isinstance(within, int) else 0)


def field_of(holder: Any, name: str) -> Any:
    """A field of an object or an entry of a mapping; None if there is none."""
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
