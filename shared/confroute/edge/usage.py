"""What a service tells of the tokens that its answers took."""

from __future__ import annotations

from typing import Any, TypeVar

Count = TypeVar("Count", int, int | None)


def with_thoughts_of(total: Any, inputs: int | None, outputs: Count) -> Count:
    """The *outputs* that a service tells, and those that only its *total* with the *inputs* counts: thoughts, which
    Google's endpoint of OpenAI's form and xAI's leave out of the former, though the limit of an answer is theirs, too.
    """
    if not inputs or not isinstance(total, int):
        return outputs  # some tell no inputs
    return max(outputs or 0, total - inputs) if total > inputs else outputs
