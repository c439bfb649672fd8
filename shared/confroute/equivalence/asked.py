"""The part of a message that asks: the question of a prompt that also holds a text to answer it from."""

from __future__ import annotations

import re
from typing import Final

_SHORT_WORDS: Final = 60
_SHORT_CHARACTERS: Final = 600
"""So far a message is all question; the second bound is that of scripts without spaces."""

_END_CHARACTERS: Final = 1_500
"""Templates put the question first or last. What is between takes no time, however long it is."""

_MARKED: Final = re.compile(
    r"^[ \t#*>]{0,6}(?:(?:user |original )?(?:question|query)|q|frage|pregunta|domanda|pergunta|вопрос)[*]{0,2}[ \t]*"
    r"[:：][*]{0,2}\s{0,6}(\S.*)",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE: Final = re.compile(r"[^\s.?!:;。？！؟][^\n.?!:;。？！؟]*(?:[.:](?=\S)[^\n.?!:;。？！؟]*)*[.?!:;。？！؟]?")
_QUESTION_MARKS: Final = ("?", "？", "؟")


def ends_of(message: str) -> str:
    """The beginning and the end of a message, as far as `asked_part` reads it."""
    if len(message) <= 2 * _END_CHARACTERS:
        return message
    return f"{message[:_END_CHARACTERS]}\n{message[-_END_CHARACTERS:]}"


def asked_part(message: str) -> str:
    """What *message*, or its ends, asks, without the text that it may hold: of a retrieved context, every word would
    else be one "of the question", also the name that answers it.

    Lines that begin with "Question:", "Query:" or "Q:", as the templates of LlamaIndex and LangChain write them, else
    the whole. Of more than 60 words it is the sentences that end with a question mark, or if there is none, the first
    and the last sentence.
    """
    marked: list[str] = _MARKED.findall(message)
    if marked:
        message = "\n".join(marked)
    if len(message) <= _SHORT_CHARACTERS and len(message.split(None, _SHORT_WORDS)) <= _SHORT_WORDS:
        return message
    sentences: list[str] = _SENTENCE.findall(message)
    asking = [sentence for sentence in sentences if sentence.endswith(_QUESTION_MARKS)]
    return "\n".join(asking or [*sentences[:1], *sentences[-1:]])
