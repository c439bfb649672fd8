"""The cloud model that the environment names: OPENAI_API_KEY, and optionally OPENAI_BASE_URL and OPENAI_MODEL."""

from __future__ import annotations

import os


def has_openai_key() -> bool:
    return bool(os.environ.get("OPENAI_API_KEY"))


def openai_model() -> str:
    return os.environ.get("OPENAI_MODEL") or "gpt-5-mini"
