"""An agent's step in the ReAct format, without the thought before it."""

from __future__ import annotations

import re
from typing import Final

_ACTION: Final = re.compile(r"^[ \t*]*Action[ \t]*:([^\n]*)\n\s*Action[ \t]+Input[ \t]*:(.*)", re.DOTALL | re.MULTILINE)
_ANSWER: Final = re.compile(r"^[ \t*]*(Final )?Answer[ \t]*:(.*)", re.DOTALL | re.MULTILINE)
_THOUGHT: Final = re.compile(r"\s*Thought[ \t]*:")
_OBSERVATION: Final = re.compile(r"^[ \t]*Observation[ \t]*:", re.MULTILINE)
_QUOTES: Final = " \t\r\n`*\"'"


def call_of(text: str) -> tuple[str, str] | None:
    """The tool that a step calls and its input, as written; None for a text that is no such step.

    The lines ``Action: name`` and ``Action Input: ...``, as LlamaIndex's ReActAgent and LangChain's classic agents
    write and read them: of several calls the first, and none behind a ``Final Answer:``.
    """
    call = _ACTION.search(text)
    if call is None:
        return None
    answer = _ANSWER.search(text, 0, call.start())
    if answer and answer[1]:
        return None
    rest = call[2]
    end = _OBSERVATION.search(rest)
    return call[1].strip(_QUOTES), rest[: end.start()].strip() if end else rest.strip()


def answer_of(text: str) -> str:
    """What follows ``Final Answer:``, or ``Answer:`` after a thought; any other text as it is, and one with code before
    that."""
    answer = _ANSWER.search(text)
    if answer is None or not answer[2].strip() or "```" in text[: answer.start()]:
        return text
    return answer[2].strip() if answer[1] or _THOUGHT.match(text) else text
