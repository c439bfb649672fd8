"""The cloud model that the environment names, as one that labels answers."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from confroute.calibration.labels import CloudModel
from confroute.environment import cloud_errors, openai_access, openai_model
from confroute.errors import require
from confroute.records import Message

_KEPT = "What was answered so far is kept: the same command goes on from here."


def openai_cloud() -> CloudModel:
    """It is asked as it is by default. What a content filter cut off is no answer. Its errors are ModelErrors."""
    require("openai", extra="train", wanted_by="Labels of the cloud")
    name, access = openai_model(), openai_access()
    with cloud_errors(name, _KEPT):
        client: Any = import_module("openai").OpenAI(**access)

    def ask(messages: Sequence[Message]) -> str:
        with cloud_errors(name, _KEPT):
            reply = client.chat.completions.create(model=name, messages=[dict(message) for message in messages])
            # A filter may leave no choice at all.
            answered = [choice for choice in reply.choices or () if choice.finish_reason != "content_filter"]
            return (answered[0].message.content or "") if answered else ""

    return CloudModel(name=name, ask=ask, url=str(client.base_url))
