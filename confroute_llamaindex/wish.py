"""What is wanted of an answer beyond its words, which LlamaIndex tells when it makes messages or a text of a prompt.

It hands both on to `chat` and `complete` as they are, so they carry it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from pydantic import BaseModel

from confroute.edge import EdgeEngine
from confroute.edge.choices import response_format
from confroute.errors import ModelError
from confroute.records import Generation, Sample
from confroute.steps import Flow, T
from confroute_llamaindex.cloud import ObjectPrompt


@dataclass(frozen=True)
class Wish:
    """*read* is what the caller will do with an answer of the edge's, and fails where that cannot be done; *messages*
    is what the edge is asked, and *asked* the arguments besides those of the call; *wanted* is what the cloud is asked
    where that is an object.
    """

    messages: Sequence[ChatMessage]
    read: Callable[[Sample], object] | None = None
    asked: Mapping[str, Any] = field(default_factory=dict[str, Any])
    wanted: ObjectPrompt | None = None


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


def object_of(sample: Sample, output_cls: type[BaseModel]) -> BaseModel:
    """The object that an answer of the edge's tells, as JSON or as the arguments of a call."""
    return output_cls.model_validate_json(sample.tool_calls[0].arguments if sample.tool_calls else sample.text)


def only_readable(flow: Flow[T], read: Callable[[Sample], object]) -> Flow[T]:
    """As *flow*, in which the edge fails where what it would serve cannot be *read*."""
    resume: Callable[[], Any] = lambda: flow.send(None)
    served: Sample | None = None
    try:
        while True:
            try:
                step = resume()
            except StopIteration as stop:
                return stop.value
            try:
                outcome = yield step
                # The edge is asked for the answer to serve before anything else.
                if served is None and (served := _served(outcome)) is not None:
                    _check(served, read)
            except Exception as error:
                resume = lambda error=error: flow.throw(error)
            else:
                resume = lambda outcome=outcome: flow.send(outcome)
    finally:
        flow.close()


def _served(outcome: Any) -> Sample | None:
    first: Any = outcome[0] if isinstance(outcome, list) and outcome else outcome  # pyright: ignore[reportUnknownVariableType]
    return first.samples[0] if isinstance(first, Generation) and first.samples else None


def _check(answer: Sample, read: Callable[[Sample], object]) -> None:
    if answer.is_empty:
        return
    try:
        read(answer)
    except Exception:
        # What it says may quote the answer.
        raise ModelError("The edge's answer cannot be read as the caller will read it.") from None
