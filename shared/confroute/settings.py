"""What the settings of the frameworks' routed models may be, and how it is told that one is not."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from confroute.errors import ConfigurationError

_SETTINGS = {
    "estimator": "an estimator, such as confroute.SemanticEntropy()",
    "threshold": "a number from 0 to 1",
    "samples": "a whole number of at least 2",
    "wave": "a whole number of at least 2",
    "curtail": "True or False",
    "sampling_temperature": "a number above 0",
    "sampling_top_p": "a number above 0 and at most 1",
    "task": "a string",
    "on_cloud_error": '"raise" or "edge"',
    "edge_price": "a confroute.Price(input_usd=…, output_usd=…)",
    "cloud_price": "a confroute.Price(input_usd=…, output_usd=…)",
    "hooks": "a list of functions that take a ConfidenceRecord",
    "temperature": "a number of at least 0",
    "max_tokens": "a whole number of at least 1",
}

_SHORT = 40
"""Characters of a value that is shown."""


@contextmanager
def checked_settings(model: str, known: Collection[str]) -> Generator[None]:
    """Raise what pydantic finds wrong with the settings of a *model* class as a ConfigurationError, in words that say
    what to do. *known* are the settings that there are."""
    try:
        yield
    except ValidationError as error:
        raise ConfigurationError(_told(model, error.errors(include_url=False), known)) from None


def unknown_setting(model: str, name: str, known: Collection[str]) -> str:
    """That a *model* class has no setting of this name, and which was meant."""
    if name == "engine":
        return f'{model} has no setting "engine". Make the edge with one: edge=confroute.resolve_edge(…, engine=…).'
    close = get_close_matches(name, known, n=1)
    hint = f' Did you mean "{close[0]}"?' if close else ""
    return f'{model} has no setting "{name}".{hint}'


def _told(model: str, problems: Sequence[Mapping[str, Any]], known: Collection[str]) -> str:
    told: list[str] = []
    for problem in problems:
        name = str(problem["loc"][0]) if problem["loc"] else ""
        if problem["type"] == "extra_forbidden":
            told.append(unknown_setting(model, name, known))
        elif name in _SETTINGS:
            if f"{name} must be" not in " ".join(told):
                told.append(f"{name} must be {_SETTINGS[name]}, not {_given(problem['input'])}.")
        else:
            # Its value may be a key.
            told.append(f"{name or model}: {problem['msg']}.")
    return " ".join(told)


def _given(value: object) -> str:
    """A short value as it is, of any other its type."""
    if isinstance(value, (str, int, float)) and len(repr(value)) <= _SHORT:
        return repr(value)
    return f"of type {type(value).__name__}"
