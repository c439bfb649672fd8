"""The form of answer that a request asks for, in the words of whichever cloud: JSON, a schema, tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from llama_index.core.llms import LLM
from llama_index.core.llms.structured_llm import StructuredLLM

from confroute.edge.choices import response_format

_OPENAI = ("response_format", "format", "tools", "tool_choice", "parallel_tool_calls", "functions", "n", "logprobs")
_OTHERS = frozenset(
    {
        "json_mode",
        "format",
        "response_mime_type",
        "response_schema",
        "response_json_schema",
        "json_schema",
        "guided_json",
        "guided_regex",
        "guided_choice",
        "guided_grammar",
        "structured_outputs",
        "grammar",
        "text_format",
    }
)
_WITHIN = ("model_kwargs", "extra_body", "generation_config", "generate_kwargs")
_FREE = (None, False, "", "text/plain")


def asked_arguments(cloud: LLM, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """*kwargs* with what *cloud* adds to each call that tells the form of an answer, in OpenAI's words as far as they
    say it. How an answer is sampled is not read: that is the edge's own.
    """
    added = _added(_innermost(cloud))
    always = {name: added[name] for name in _OPENAI if name in added}
    asked: dict[str, Any] = {**always, **kwargs}
    if isinstance(asked.get("format"), Mapping):  # Ollama's word
        asked["response_format"] = response_format(asked.pop("format"))
    return asked


def form_obstacle(cloud: LLM, asked: Mapping[str, Any]) -> str | None:
    """What holds the answers of *cloud* to a form in words that only it knows, named."""
    cloud = _innermost(cloud)
    if isinstance(cloud, StructuredLLM):
        return "answers that are objects"
    fields = {name: vars(cloud)[name] for name in ("json_mode", *_WITHIN) if name in vars(cloud)}
    return next((word for settings in (asked, _added(cloud), fields) for word in _words(settings)), None)


def _added(cloud: LLM) -> Mapping[str, Any]:
    """The arguments that *cloud* adds to each call."""
    added: Any = vars(cloud).get("additional_kwargs")
    return cast("Mapping[str, Any]", added) if isinstance(added, Mapping) else {}


def _words(settings: Mapping[str, Any]) -> Iterator[str]:
    for name, inner in settings.items():
        if name in _OTHERS and inner not in _FREE:
            yield name
        if name in _WITHIN and isinstance(inner, Mapping):
            told = cast("Mapping[str, Any]", inner)
            if told.get("response_format"):
                yield "response_format"
            yield from _words(told)


def _innermost(cloud: LLM) -> LLM:
    """The cloud of a routed LLM that is another's cloud."""
    inner = vars(cloud).get("cloud")
    return _innermost(inner) if isinstance(inner, LLM) else cloud
