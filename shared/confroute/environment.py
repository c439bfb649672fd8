"""The cloud model that the environment names: OPENAI_API_KEY, and optionally OPENAI_BASE_URL and OPENAI_MODEL."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

from confroute.credentials import checked_key
from confroute.errors import ConfrouteError, ModelError


def has_openai_key() -> bool:
    return bool(_value("OPENAI_API_KEY"))


def openai_model() -> str:
    return _value("OPENAI_MODEL") or "gpt-5-mini"


def openai_access() -> dict[str, str]:
    """The ``api_key`` of a client of that model, and the ``base_url`` if there is one.

    Raises ConfigurationError for a key that no header can hold, and that an error would quote.
    """
    base_url = _value("OPENAI_BASE_URL")
    key = checked_key("OPENAI_API_KEY", os.environ.get("OPENAI_API_KEY"))
    return {"api_key": key, **({"base_url": base_url} if base_url else {})}


@contextmanager
def cloud_errors(model: str, advice: str) -> Generator[None]:
    """Raises what a call to the cloud *model* raises as a ModelError of its class alone: the text may quote the prompt,
    and a cause the key."""
    try:
        yield
    except ConfrouteError:
        raise
    except Exception as error:
        raise ModelError(f"The cloud model {model} failed ({type(error).__name__}). {advice}") from None


def _value(name: str) -> str:
    # Read from a file with Windows' line ends, a variable ends with one of them.
    return os.environ.get(name, "").strip()
