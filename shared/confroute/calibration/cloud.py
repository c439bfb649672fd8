"""The cloud model that the environment names, as one that labels answers."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast

from confroute.calibration.labels import CloudModel
from confroute.environment import cloud_errors, openai_access, openai_model
from confroute.errors import ModelError, require
from confroute.records import Message

_KEPT = "What was answered so far is kept: the same command goes on from here."


def openai_cloud() -> CloudModel:
    """It is asked as it is by default. What a content filter cut off is no answer. Its errors are ModelErrors."""
    require("openai", extra="train", wanted_by="Labels of the cloud")
    name, access = openai_model(), openai_access()
    with cloud_errors(name, _KEPT):
        openai: Any = import_module("openai")
        client: Any = openai.OpenAI(**access)

    def ask(messages: Sequence[Message]) -> str:
        with cloud_errors(name, _KEPT):
            try:
                sent = [dict(message) for message in messages]
                reply: Any = client.chat.completions.create(model=name, messages=sent)
            except openai.BadRequestError as error:
                if error.code != "content_filter":
                    raise
                return ""  # Azure's, of the prompt
            # A filter may leave no choice at all; gateways tell errors with the status 200, and then there is no list.
            choices: list[Any] | None = reply.choices
            if choices is None or any(choice.finish_reason == "error" for choice in choices):
                raise ModelError(f"The cloud model {name} replied with an error. {_KEPT}")
            answered = [choice for choice in choices if choice.finish_reason != "content_filter"]
            return _text_of(answered[0].message.content) if answered else ""

    return CloudModel(name=name, ask=ask, url=str(client.base_url))


def _text_of(content: Any) -> str:
    """The words of a message, which Mistral's has in a list beside its thoughts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in cast("list[Any]", content) if part["type"] == "text")
    return content or ""
