"""The model that a framework's model is around, as ChatHuggingFace is around the one that runs a pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from confroute.edge.borrowed_settings import (
    UNSAID,
    WITHIN,
    field_for,
    fields_of,
    private_settings,
    replaced,
    told_fields,
)

_LANGCHAIN = "langchain_core.language_models."
_FRAMEWORKS = (_LANGCHAIN, "llama_index.core.base.llms.")
_NAMES = ("llm", "_llm")
"""What the frameworks call the model that another one is around: ChatHuggingFace, Llama2Chat, ChatMLX, StructuredLLM
and LangChainLLM do. Any other that a model holds judges, rewrites or helps, and is asked as its owner set it."""


def chain_of(model: Any) -> list[Any]:
    """*model*, the one that it is around, the one within that, and so on."""
    chain = [model]
    while (inner := _inner(chain[-1], chain)) is not None:
        chain.append(inner)
    return chain


def tell_inner(copied: Any, wanted: Mapping[str, Any], around: Sequence[Any]) -> None:
    """Have a *copied* model be around a copy of what it is around, which samples as is *wanted*, by its meaning: at a
    temperature of its own, its answers would agree whatever it knows. What is *around* it is left out."""
    inner = _inner(copied, around)
    if inner is None:
        return
    told = inner.model_copy(update=_update(inner, wanted))
    for private, settings in private_settings(inner).items():
        setattr(told, private, replaced(settings, wanted))
    tell_inner(told, wanted, (*around, inner))
    private: Any = getattr(copied, "__pydantic_private__", None) or {}
    places: list[dict[str, Any]] = [vars(copied), private]  # it may be frozen
    for held in places:
        held.update({name: told for name in _NAMES if held.get(name) is inner})


def _inner(model: Any, around: Sequence[Any]) -> Any:
    held: dict[str, Any] = {**(getattr(model, "__pydantic_private__", None) or {}), **vars(model)}
    inner = next((held[name] for name in _NAMES if held.get(name) is not None), None)
    if not _is_of(inner.__class__, _FRAMEWORKS) or any(inner is other for other in around):
        return None
    answers_itself = field_for("temperature", fields_of(model)) and any("client" in name for name in held)
    return None if answers_itself else inner


@lru_cache(maxsize=1024)
def _is_of(kind: type[Any], packages: str | tuple[str, ...]) -> bool:
    return any(f"{each.__module__}.".startswith(packages) for each in kind.__mro__) and hasattr(kind, "model_fields")


def _update(inner: Any, wanted: Mapping[str, Any]) -> dict[str, Any]:
    known = fields_of(inner)
    update = {name: replaced(getattr(inner, name), wanted) for name in WITHIN if name in known}
    update |= told_fields(inner, wanted)
    if "cache" in known and _is_of(inner.__class__, _LANGCHAIN):
        update["cache"] = False  # which would give one sample for all, where it is called as from outside
    if "pipeline_kwargs" in known and callable(getattr(inner, "pipeline", None)):
        update["pipeline"] = _Told(inner.pipeline, wanted)
    return update


class _Told:
    """A *pipeline* of transformers that is told at each call what is *wanted*: the settings that a model has beside it
    were read when it was made."""

    def __init__(self, pipeline: Any, wanted: Mapping[str, Any]) -> None:
        meanings = ("temperature", "top_p", "do_sample", "max_tokens")
        if not wanted["do_sample"]:
            meanings = meanings[2:]  # a temperature has to be above 0
        told = {meaning: wanted[meaning] for meaning in meanings if wanted.get(meaning, UNSAID) is not UNSAID}
        self._pipeline = pipeline
        self._told = {"max_new_tokens" if meaning == "max_tokens" else meaning: told[meaning] for meaning in told}

    def __call__(self, *given: Any, **told: Any) -> Any:
        return self._pipeline(*given, **{**told, **self._told})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)
