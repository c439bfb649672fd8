"""What a framework's model is told of sampling, by the names that models have for it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, cast

from confroute.edge.objections import Told
from confroute.records import SamplingOptions

NAMES: Mapping[str, tuple[str, ...]] = {
    "temperature": ("temperature", "temp"),
    "do_sample": ("do_sample",),
    "top_p": ("top_p",),
    "max_tokens": (
        "max_tokens",
        "num_predict",
        "max_new_tokens",
        "max_output_tokens",
        "max_completion_tokens",
        "max_tokens_to_sample",
    ),
    "stop": ("stop", "stop_sequences"),
    "seed": ("seed", "random_seed"),
    "n": ("n",),
}
MEANING: Mapping[str, str] = {name: meaning for meaning, names in NAMES.items() for name in names}
LOGPROBS = ("logprobs", "top_logprobs")
WITHIN = ("model_kwargs", "additional_kwargs", "extra_body", "generate_kwargs", "pipeline_kwargs", "options")
_ANTHROPICS, _GOOGLES = "budget_tokens", "thinking_budget"
OPENAIS_LIMITS = ("max_tokens", "max_completion_tokens")
_UNTHINKING = ("enable_thinking", "thinking")
"""What turns thoughts off where it is False."""
_NOTHING: Mapping[str, Any] = {}
UNSAID: Any = object()
"""Stands for a value that is not to be said, whatever was set."""


def wanted_by(options: SamplingOptions, seed: int | None, without: AbstractSet[Told]) -> dict[str, Any]:
    """What *options* say, by its meaning; but for what a request is to be *without*."""
    told: dict[str, Any] = {
        "temperature": options.temperature,
        "do_sample": options.temperature > 0,
        "top_p": options.top_p,
        "max_tokens": options.max_tokens,
        "stop": list(options.stop) or None,
        "seed": seed,
        "n": 1,
    }
    left_out = [name for name, value in without if name != "stop" and value in (None, told.get(name))]
    return {meaning: value for meaning, value in told.items() if value is not None} | {
        meaning: UNSAID for meaning in told if meaning in left_out
    }


def with_inner(settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """*settings* and the mappings among them, the innermost first."""
    inner = [settings[name] for name in WITHIN if isinstance(settings.get(name), Mapping)]
    return [*itertools.chain.from_iterable(map(with_inner, inner)), settings]


def only_replaced(wanted: Mapping[str, Any]) -> tuple[str, ...]:
    """What is told only where the caller set it, for not every model takes it: top_p, too, where nothing is drawn."""
    return ("do_sample", "n") if wanted["do_sample"] else ("do_sample", "n", "top_p")


def fields_of(model: Any) -> Mapping[str, Any]:
    """The fields of a framework's *model* by their names, as pydantic describes them."""
    return model.__class__.model_fields


def field_for(meaning: str, fields: Iterable[str]) -> str | None:
    return next((name for name in NAMES[meaning] if name in fields), None)


def told_fields(model: Any, wanted: Mapping[str, Any], bound: Mapping[str, Any] = _NOTHING) -> dict[str, Any]:
    """What is *wanted*, in those of the *model*'s fields that are named like it. Where the caller left the one for the
    tokens alone and has them in a mapping, *bound* to it or not, by the one of OpenAI's two names that the model's
    client does not send, it stays so: the server may refuse the other."""
    known = fields_of(model)
    unused = only_replaced(wanted)
    if any(name in each for each in _within(model, bound) for name in OPENAIS_LIMITS if name != _sent_limit(known)):
        unused += ("max_tokens",)
    told: dict[str, Any] = {}
    for meaning, value in wanted.items():
        field = field_for(meaning, known)
        if field is None or (meaning in unused and getattr(model, field) is None):
            continue
        told[field] = unsaid(meaning, known[field]) if value is UNSAID else value
    return told


def _sent_limit(known: Mapping[str, Any]) -> str | None:
    """What a client sends the *known* field for the tokens as: ChatOpenAI's is called so in its constructor."""
    field = field_for("max_tokens", known)
    alias = known[field].alias if field else None
    return alias if alias in OPENAIS_LIMITS else field


def _within(model: Any, bound: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The mappings among a *model*'s fields and what is *bound* to it, and those within. One that is bound is sent in
    place of the model's own."""
    fields = {name: getattr(model, name) for name in fields_of(model) if name in WITHIN and name not in bound}
    return [*with_inner(bound)[:-1], *with_inner(fields)[:-1]]


def own_settings(model: Any) -> list[Mapping[str, Any]]:
    """What a *model*'s fields, and its private attributes, say of sampling, that which prevails first."""
    known = fields_of(model)
    fields = {name: getattr(model, name) for name in known if name in MEANING or name in WITHIN}
    return [*with_inner(fields), *private_settings(model).values()]


def private_settings(model: Any) -> dict[str, Mapping[str, Any]]:
    """Its private attributes that say how it samples, as of Gemini's integrations, which put them together at the
    beginning."""
    private: dict[str, Any] = getattr(model, "__pydantic_private__", None) or {}
    return {name: value for name, value in private.items() if isinstance(value, dict) and "temperature" in value}


def own_seeds(settings: Sequence[Mapping[str, Any]]) -> Iterator[int]:
    """Seeds among *settings*; below 0 is a common word for none."""
    for each in settings:
        for name in NAMES["seed"]:
            if isinstance(seed := each.get(name), int) and seed >= 0:
                yield seed


def own_stops(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Stop strings of the first of the *settings* that has any."""
    told: Any = next((each[name] for each in settings for name in NAMES["stop"] if each.get(name)), ())
    return [told] if isinstance(told, str) else list(told)


def with_thoughts(tokens: int, settings: Sequence[Mapping[str, Any]], told: Mapping[str, Any]) -> int:
    """How many tokens an answer of so many *tokens* may have in all where the model is *told*, or its *settings* have,
    a budget for thoughts, as Anthropic's and Google's: at most the model's own limit. Anthropic's refuses one that is
    not above the budget, and is told no such."""
    budgets = [budget for each in (*settings, told) for budget in _budgets(each)]
    if not budgets:
        return tokens
    both = max(number for _, number in budgets) + tokens
    limits = (each.get(name) for each in settings for name in NAMES["max_tokens"])
    own = next((limit for limit in limits if isinstance(limit, int)), both)
    is_refused = any(name == _ANTHROPICS and own <= number for name, number in budgets)
    return both if is_refused else max(tokens, min(both, own))


def _budgets(told: Mapping[str, Any], depth: int = 3) -> Iterator[tuple[str, int]]:
    """The budgets for thoughts in what is *told* and in the mappings within, by their names. One below 1 is none, nor
    one where there are to be no thoughts, or that a trace is told."""
    if told.get("type") == "disabled" or any(told.get(name) is False for name in _UNTHINKING):
        return
    for name in (_ANTHROPICS, _GOOGLES):
        if isinstance(number := told.get(name), int) and number >= 1:
            yield name, number
    for name, value in told.items() if depth else ():
        if isinstance(value, Mapping) and name != "metadata":
            yield from _budgets(cast("Mapping[str, Any]", value), depth - 1)


def unsaid(meaning: str, field: Any) -> Any:
    """What a *field* holds where nothing is to be said of it. One that always says something says what changes nothing:
    a temperature and a top_p of 1."""
    return field.default if field.default is None or meaning == "seed" else 1.0


def replaced(given: Any, wanted: Mapping[str, Any]) -> Any:
    """*given*, where it is a mapping, with the values that are *wanted* in place of its own for the same."""
    if not isinstance(given, Mapping):
        return given
    told: dict[str, Any] = {}
    for name, value in cast("Mapping[str, Any]", given).items():
        inner = replaced(value, wanted) if name in WITHIN else value
        told[name] = wanted.get(MEANING.get(name, ""), inner)
    return {name: value for name, value in told.items() if value is not UNSAID}
