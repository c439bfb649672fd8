"""The prompts that a threshold is calibrated on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from confroute.errors import InputError
from confroute.records import Message, in_roles_of_the_edge

_ROLES = ("system", "developer", "user", "assistant", "tool")
_PROMPT, _REFERENCES = ("question", "prompt"), ("references", "reference", "answers", "answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What to ask, and the answers that would be right, if they are known."""

    messages: tuple[Message, ...]
    references: tuple[str, ...] | None = None

    @property
    def key(self) -> str:
        """The prompt's own digest: the same messages have the same key in every run."""
        return hashlib.sha256(json.dumps(self.messages, sort_keys=True).encode()).hexdigest()[:16]


def read_prompts(path: Path, *, system: str | None = None) -> list[Prompt]:
    """The prompts in a JSON-lines file, in its order.

    Each line is an object with "question" (or "prompt"), a text, or "messages", a list of objects with "role" and
    "content"; and, if there are any, "references" (or "reference", "answers", "answer"), a text or a list of texts,
    of which blank ones do not count.
    *system* is put before the messages of each line that has no system message of its own. One of the role "developer"
    is read as a system message.

    Raises:
        InputError: *system* is no text that can be sent, the file cannot be read or has no prompts, or a line is none;
            the message then has the line's number.
    """
    if system is not None:
        check_text(system, "The system message")
    try:
        # Texts in JSON may hold what else `splitlines` takes for the end of a line.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f'The prompts in "{path.name or path}" cannot be read: {reason}.') from None
    prompts = [_prompt(path, number, line, system) for number, line in enumerate(lines, 1) if line.strip()]
    if not prompts:
        raise InputError(
            f'"{path.name}" holds no prompts. Put one JSON object on each line, such as {{"question": "…"}}.'
        )
    return prompts


def check_text(text: str, what: str) -> None:
    """Raises InputError for a *text* of the command line that models cannot be sent: bytes that are no UTF-8 are halves
    of characters in it."""
    if not is_text(text):
        raise InputError(f"{what} is no UTF-8 text. Give it in that encoding, as a terminal set to UTF-8 does.")


def is_text(text: str) -> bool:
    """Whether it can be written as UTF-8: halves of characters cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _prompt(path: Path, number: int, line: str, system: str | None) -> Prompt:
    def refuse(why: str) -> InputError:
        return InputError(f'Line {number} of "{path.name}" {why}.')

    try:
        given: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise refuse("is not JSON") from None
    if not isinstance(given, dict):
        raise refuse('is not a JSON object, such as {"question": "…"}')
    item = cast("dict[str, Any]", given)
    question = next((item[name] for name in _PROMPT if name in item), None)
    messages = item.get("messages", [{"role": "user", "content": question}])
    if (question is None) == ("messages" not in item):
        raise refuse('needs "question" or "messages", and not both')
    if not _are_messages(messages):
        raise refuse('needs a text for its question, or messages that each have a text for "role" and for "content"')
    if any(message["role"] not in _ROLES for message in messages):
        raise refuse(f'has a message whose "role" is none of {", ".join(_ROLES)}')
    messages = in_roles_of_the_edge(messages)
    if not is_text(json.dumps(messages, ensure_ascii=False)):
        raise refuse("has half a character, an escape from \\ud800 to \\udfff without its other half")
    if system is not None and all(message["role"] != "system" for message in messages):
        messages = [{"role": "system", "content": system}, *messages]
    references = next((item[name] for name in _REFERENCES if item.get(name) is not None), None)
    listed: list[Any] = [references] if isinstance(references, (str, int, float)) else references or []
    if not isinstance(listed, list) or not all(isinstance(one, (str, int, float)) for one in listed):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refuse("has references that are neither a text nor a list of texts")
    # Nothing is no answer to compare with.
    accepted = tuple(text for text in map(str, listed) if text.strip())
    return Prompt(messages=tuple(messages), references=accepted or None)


def _are_messages(messages: Any) -> bool:
    listed = cast("list[Any]", messages) if isinstance(messages, list) else []
    return bool(listed) and all(map(_is_message, listed))


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict):
        return False
    role, content = map(cast("dict[str, Any]", message).get, ("role", "content"))
    return isinstance(role, str) and isinstance(content, str) and bool(content.strip())
