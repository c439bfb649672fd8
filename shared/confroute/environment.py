"""The cloud model that the environment names: OPENAI_API_KEY, and optionally OPENAI_BASE_URL and OPENAI_MODEL."""

from __future__ import annotations

import os
from typing import Any

from confroute.errors import ConfigurationError, require

DEFAULT_CLOUD_MODEL = "gpt-5-mini"


def has_openai_key() -> bool:
    return bool(os.environ.get("OPENAI_API_KEY"))


def openai_cloud() -> Any:
    """A LangChain ChatOpenAI of that model."""
    require("langchain_openai", extra="demo", wanted_by="OPENAI_API_KEY as the cloud")
    if not has_openai_key():
        raise ConfigurationError("There is no cloud model: set OPENAI_API_KEY, and OPENAI_BASE_URL for another server.")
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model=os.environ.get("OPENAI_MODEL") or DEFAULT_CLOUD_MODEL)
