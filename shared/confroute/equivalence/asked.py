"""The part of a message that asks: the question of a prompt that also holds a text to answer it from."""

from __future__ import annotations

import re
from typing import Final

_SHORT_WORDS: Final = 60
_SHORT_CHARACTERS: Final = 600
"""So far a message is all question; the second bound is that of scripts without spaces."""

_END_CHARACTERS: Final = 1_500
"""Templates put the question first or last. What is between takes no time, however long it is."""

_BEGIN: Final = r"^[ \t#*>]{0,6}"
_COLON: Final = r"[*]{0,2}[ \t]*[:：][*]{0,2}"
_QUESTION_MARKS: Final = ("?", "？", "؟")
_ASKED: Final = r"(?<![?？؟])(?<![?？؟][ \t\r])"
# Up to a line that ends with a question mark, a blank one or one that begins with another "Word:".
_MARKED: Final = re.compile(
    rf"{_BEGIN}(?:(?:user |original |follow[ -]?up )?(?:question|query)|follow[ -]?up input|q|frage|pregunta|domanda|"
    rf"pergunta|вопрос){_COLON}\s{{0,6}}"
    rf"(\S[^\n]*(?:{_ASKED}\n(?![ \t\r]*\n|[ \t#*>]{{0,6}}[^\W\d_][\w ]{{0,30}}{_COLON})[^\n]+)*)",
    re.IGNORECASE | re.MULTILINE,
)
_TURN: Final = re.compile(rf"{_BEGIN}(?:human|user){_COLON}", re.IGNORECASE | re.MULTILINE)
_REPLY: Final = re.compile(rf"{_BEGIN}(?:ai|assistant|bot){_COLON}", re.IGNORECASE | re.MULTILINE)
_SENTENCE: Final = re.compile(r"[^\s.?!:;。？！؟][^\n.?!:;。？！؟]*(?:[.:](?=\S)[^\n.?!:;。？！؟]*)*[.?!:;。？！؟]?")


def ends_of(message: str) -> str:
    """The beginning and the end of a message, as far as `asked_part` reads it."""
    if len(message) <= 2 * _END_CHARACTERS:
        return message
    return f"{message[:_END_CHARACTERS]}\n{message[-_END_CHARACTERS:]}"


def asked_part(message: str) -> str:
    """What *message*, or its ends, asks, without the text that it may hold: of a retrieved context, every word would
    else be one "of the question", also the name that answers it.

    Up to 60 words it is the whole. Of more, what follows "Question:", "Query:" or "Q:" at the beginning of a line, as
    the templates of LlamaIndex and LangChain write it, else what the user of a transcript ("Human: ... AI: ...") said
    last, else again the whole. If that is still longer, its sentences that end with a question mark, with the first
    and the last one: the instruction stands there, and the text between may ask something, too. Not with a first one
    that asks nothing if the last line begins with a question, nor with such a last one if the first one is a question.
    """
    if _is_short(message):
        return message
    marked: list[str] = _MARKED.findall(message)
    message = "\n".join(marked).strip() if marked else _last_said(message)
    if _is_short(message):
        return message
    first, *rest = _SENTENCE.findall(message) or [""]
    asking = [sentence for sentence in rest[:-1] if sentence.endswith(_QUESTION_MARKS)]
    # A message that begins with its question ends with the text; one whose last line asks begins with it.
    last = rest[-1:]
    first_asks, last_asks = first.endswith(_QUESTION_MARKS), bool(last) and last[0].endswith(_QUESTION_MARKS)
    begin = () if _last_line_asks(message) and not first_asks else (first,)
    end = () if first_asks and not last_asks else last
    return "\n".join((*begin, *asking, *end)) or message


def _last_line_asks(message: str) -> bool:
    """With a sentence: "Questions? Call us" asks nothing."""
    before, _, line = message.rstrip().rpartition("\n")
    sentence = _SENTENCE.match(line) if before else None
    return sentence is not None and sentence[0].endswith(_QUESTION_MARKS) and len(sentence[0].split()) > 2


def _is_short(message: str) -> bool:
    return len(message) <= _SHORT_CHARACTERS and len(message.split(None, _SHORT_WORDS)) <= _SHORT_WORDS


def _last_said(transcript: str) -> str:
    """What the user said last; any other text as it is."""
    turns = list(_TURN.finditer(transcript))
    if not turns or not _REPLY.search(transcript):
        return transcript
    begin = turns[-1].end()
    reply = _REPLY.search(transcript, begin)
    return transcript[begin : reply.start() if reply else None].strip()
