"""What was computed from the last few texts, within a bound on what that holds in memory."""

from __future__ import annotations

from collections.abc import Callable, Sized
from functools import lru_cache
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def recently(most: int) -> Callable[[Function], Function]:
    """Remember what a function makes of the last 512 texts of up to *most* characters, or tokens, and of the last 16
    longer ones: a clustering meets each text as often as there are others, and long texts must not pile up.

    The text is the function's first argument; all are given by position.
    """

    def remembering(function: Function) -> Function:
        of_short, of_long = lru_cache(maxsize=512)(function), lru_cache(maxsize=16)(function)

        def remembered(text: Sized, *more: Any) -> Any:
            return (of_short if len(text) <= most else of_long)(text, *more)

        return cast("Function", remembered)

    return remembering
