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
