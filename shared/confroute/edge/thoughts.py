"""How models mark what they think before they answer, each family in its own way."""

from __future__ import annotations

import re

_OPEN = (
    r"(?:<(?:(?:seed:)?think(?:ing)?|thought)>|\[THINK\]|\u25c1think\u25b7|"
    r"<\|begin_of_thought\|>|<\|channel>thought)"
)
# Of OpenAI's open models, as of some others, the last mark is the answer's beginning.
_CLOSE = (
    r"(?:</(?:(?:seed:)?think(?:ing)?|thought)>|\[/THINK\]|\u25c1/think\u25b7|<channel\|>|"
    r"<\|end_of_thought\|>(?:\s*<\|begin_of_solution\|>)?|"
    r"<\|channel\|>final[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>)"
)
END = re.compile(_CLOSE, re.IGNORECASE)
# Some chat templates open the thought themselves, in the prompt.
_THOUGHT = re.compile(
    rf"\A\s*(?:{_OPEN}|(?=<\|channel\|>)).*?(?:{_CLOSE}|\Z)|"
    rf"\A(?:(?!{_OPEN}).)*?(?:\n{_CLOSE}(?=\n|\Z)|{_CLOSE}(?=\n\n))",
    re.DOTALL | re.IGNORECASE,
)
_BEGUN = re.compile(rf"({_OPEN})\s*\Z", re.IGNORECASE)
_OTHER = re.compile(rf"(?!</?think>)(?:{_OPEN}|{_CLOSE}|<\|channel\|>)", re.IGNORECASE)
_HARMONY, _FINAL = "<|start|>assistant", "<|channel|>final<|message|>"
_ENDS = {"<|begin_of_thought|>": "<|end_of_thought|>", "<|channel>thought": "<channel|>"}
"""Of the marks that do not end as they begin, with a slash in it."""
_SOLUTION = "<|begin_of_solution|>", "<|end_of_solution|>"
"""Beside the thought's own marks some have two of the answer."""


def without_thought(text: str) -> str:
    """What an answer says after the thought that it may begin with."""
    thought = _THOUGHT.match(text)
    answer = text[thought.end() if thought else 0 :].strip()
    begin, end = _SOLUTION
    if answer.startswith(begin) or (thought and thought[0].endswith(begin)):
        answer = answer.removeprefix(begin).removesuffix(end).strip()
    return answer


def has_other_marks(chat_template: str) -> bool:
    """Whether it names any but those of the common form, <think> and its end."""
    return bool(_OTHER.search(chat_template))


def begun(prompt: str) -> str:
    """The mark of the thought that it ends in, "" if it ends in none."""
    found = _BEGUN.search(prompt)
    return found[1] if found else ""


def passing(prompt: str) -> str:
    """What a *prompt* has to go on with for the answer to come at once."""
    if mark := begun(prompt):
        return f"\n{_ENDS.get(mark.lower(), f'{mark[0]}/{mark[1:]}')}\n\n"
    return _FINAL if prompt.endswith(_HARMONY) else ""
