"""The words in which cloud models are told what an answer is to be: its form, how many, where it stops. How it is
sampled is not read here: that is each model's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from confroute.edge.choices import response_format

_OPENAI = ("response_format", "tools", "tool_choice", "parallel_tool_calls", "functions", "n", "logprobs", "stop")
_SAME = {"candidate_count": "n", "stop_sequences": "stop"}
_MEDIA = ("modalities", "response_modalities", "audio")
_OTHERS = (
    "format",
    "json_mode",
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
    "output_format",
    "built_in_tool",
    "built_in_tools",
)
_WITHIN = (
    "additional_kwargs",
    "model_kwargs",
    "generate_kwargs",
    "generation_config",
    "options",
    "text",
    "output_config",
    "extra_body",
)
"""What holds further words, the last the most telling."""
_FREE: tuple[Any, ...] = (None, False, "", "text/plain", [], (), {})
# Sets, since most requests have none of them.
_WORDS = frozenset((*_OPENAI, *_SAME, *_MEDIA, *_OTHERS))
_TO_TRANSLATE = frozenset(("format", *_SAME, *_WITHIN))
_FOREIGN = frozenset((*_MEDIA, *_OTHERS))


def told_by(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a model's own *settings* that say what each of its answers is to be."""
    words = {name: settings[name] for name in settings.keys() & _WORDS}
    return {name: value for name, value in words.items() if value is not None} | _within(settings)


def in_openai_words(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """*arguments* in OpenAI's words, as far as these say it."""
    if _TO_TRANSLATE.isdisjoint(arguments):
        return arguments
    said = {**arguments, **_within(arguments)}
    for theirs, ours in _SAME.items():
        if theirs in said and said.get(ours) is None:
            said[ours] = said.pop(theirs)
    form = said.get("format")
    if form and isinstance(form, Mapping):
        said["response_format"] = _of_format(cast("Mapping[str, Any]", said.pop("format")))
    return said


def foreign_word(arguments: Mapping[str, Any]) -> str | None:
    """A word among *arguments*, in OpenAI's as far as they say it, that asks for a form in another way."""
    if _FOREIGN.isdisjoint(arguments):
        return None
    if any(_is_more_than_text(arguments.get(name)) for name in _MEDIA):
        return "an answer that is more than text"
    return next((name for name in _OTHERS if arguments.get(name) not in _FREE), None)


def _within(settings: Mapping[str, Any]) -> dict[str, Any]:
    words: dict[str, Any] = {}
    for name in _WITHIN:
        if isinstance(inner := settings.get(name), Mapping):
            words |= told_by(cast("Mapping[str, Any]", inner))
    return words


def _is_more_than_text(media: Any) -> bool:
    kinds = cast("Sequence[Any]", media) if isinstance(media, list | tuple) else (media,)
    return media not in _FREE and any(kind not in ("text", "TEXT") for kind in kinds)


def _of_format(form: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ollama's is the schema itself, that of OpenAI's Responses API and of Anthropic says of which type it is."""
    if form.get("type") == "json_schema":
        return {"type": "json_schema", "json_schema": form}
    return form if form.get("type") in ("text", "json_object") else response_format(form)
