"""Tools bound to a routed model: as the edge reads them, and as the caller wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from langchain_core.utils.function_calling import convert_to_openai_tool


class BoundTools(list[dict[str, Any]]):
    """Tools in OpenAI's form, for the edge and for traces. The cloud has them as they were *given*: its own form may
    say more, and the tools that it runs itself have no other. Such a one stands here as it is.
    """

    given: list[Any]

    @classmethod
    def of(cls, tools: Sequence[Any], *, strict: bool | None = None) -> BoundTools:
        bound = cls(_converted(tool, strict) for tool in tools)
        bound.given = list(tools)
        return bound


def given(tools: Any) -> Sequence[Any] | None:
    """The tools of a call, for the cloud to bind; None where there are none."""
    return tools.given if isinstance(tools, BoundTools) else tools or None


def _converted(tool: Any, strict: bool | None) -> dict[str, Any]:
    if not isinstance(tool, dict):
        return convert_to_openai_tool(tool, strict=strict)
    own = cast("dict[str, Any]", tool)
    # A JSON schema is of the type "object".
    if own.get("type", "function") not in ("function", "object"):
        return own
    try:
        return convert_to_openai_tool(own, strict=strict)
    except (AttributeError, LookupError, TypeError, ValueError):
        return own
