"""What is wanted of an answer beyond its words, which LlamaIndex tells when it makes messages or a text of a prompt.

It hands both on to `chat` and `complete` as they are, so they carry it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from pydantic import BaseModel

from confroute.edge import EdgeEngine
from confroute.edge.choices import response_format
from confroute.records import Sample
from confroute_llamaindex.cloud import ObjectPrompt


@dataclass(frozen=True)
class Wish:
    """*read* is what the caller will do with an answer of the edge's, and fails where that cannot be done; *messages*
    is what the edge is asked, and *asked* the arguments besides those of the call; *wanted* is what the cloud is asked
    where that is an object. Where its pieces are to make an object, *calls_twice*: LlamaIndex looks for the calls in
    ``additional_kwargs`` only.
    """

    messages: Sequence[ChatMessage]
    read: Callable[[Sample], object] | None = None
    asked: Mapping[str, Any] = field(default_factory=dict[str, Any])
    wanted: ObjectPrompt | None = None
    calls_twice: bool = False


class WishedMessages(list[ChatMessage]):
    """Messages for `chat`."""

    def __init__(self, messages: Sequence[ChatMessage], wish: Wish) -> None:
        super().__init__(messages)
        self.wish = wish


class WishedText(str):
    """A text for `complete`."""

    __slots__ = ("wish",)
    wish: Wish


def asking_for(output_cls: type[BaseModel], edge: EdgeEngine) -> dict[str, Any]:
    """The arguments that ask *edge* for an object: one that knows tools only is to call a function with it."""
    try:
        schema = output_cls.model_json_schema()
    except Exception:
        return {"response_format": output_cls}  # which no edge can do
    if getattr(edge, "json_schema", False) or not getattr(edge, "tools", False):
        return {"response_format": response_format(schema)}
    function = {"name": output_cls.__name__, "description": output_cls.__doc__ or "", "parameters": schema}
    return {"tools": [{"type": "function", "function": function}], "tool_choice": "required"}


def calling_for(output_cls: type[BaseModel], messages: Sequence[ChatMessage]) -> Wish:
    """A call that has to be made, of whose arguments LlamaIndex makes an object. Streaming, it does not say so."""

    def read(sample: Sample) -> BaseModel:
        return output_cls(**json.loads(sample.tool_calls[0].arguments))

    return Wish(messages, read, asked={"tool_choice": "required"}, calls_twice=True)


def object_of(sample: Sample, output_cls: type[BaseModel]) -> BaseModel:
    """The object that an answer of the edge's tells, as JSON or as the arguments of a call."""
    return output_cls.model_validate_json(sample.tool_calls[0].arguments if sample.tool_calls else sample.text)
