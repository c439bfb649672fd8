"""Models that a framework's model is around, as LangChain's ChatHuggingFace is around the one that runs a pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from confroute.edge.borrowed_settings import UNSAID, WITHIN, fields_of, private_settings, replaced, told_fields

_LANGCHAIN = "langchain_core.language_models."
_FRAMEWORKS = (_LANGCHAIN, "llama_index.core.base.llms.")


def inner_models(model: Any, around: Sequence[Any] = ()) -> Iterator[Any]:
    """Those that *model* is around, and those within them; but for what is *around* it itself."""
    for inner in _held(model, around := (*around, model)).values():
        yield inner
        yield from inner_models(inner, around)


def tell_inner(copied: Any, wanted: Mapping[str, Any], around: Sequence[Any]) -> None:
    """Have a *copied* model be around copies of what it is around, which sample as is *wanted*, by its meaning: at a
    temperature of their own, their answers would agree whatever they know. Where it is around several, each keeps its
    own limit of tokens: one may be there to judge in a word what another says. What is *around* it is left out."""
    held = _held(copied, around)
    if len(held) > 1:
        wanted = {meaning: value for meaning, value in wanted.items() if meaning != "max_tokens"}
    for name, inner in held.items():
        told = inner.model_copy(update=_update(inner, wanted))
        for private, settings in private_settings(inner).items():
            setattr(told, private, replaced(settings, wanted))
        tell_inner(told, wanted, (*around, inner))
        if name in vars(copied):
            vars(copied)[name] = told  # it may be frozen
        else:
            setattr(copied, name, told)


def _held(model: Any, around: Sequence[Any]) -> dict[str, Any]:
    """By its attributes, private ones too."""
    held: dict[str, Any] = {**vars(model), **(getattr(model, "__pydantic_private__", None) or {})}
    return {
        name: each
        for name, each in held.items()
        if _is_of(each.__class__, _FRAMEWORKS) and not any(each is other for other in around)
    }


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
