"""Answers that are code, where no word nor sign may be left out."""

from __future__ import annotations

import re
from typing import Final

_CAPITALS: Final = re.compile(
    r"SELECT\s.*\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s+AS\s*\(", re.DOTALL
)
# Sentences begin with these words, too: something else has to be of SQL alone.
_SMALL: Final = re.compile(
    r"select\s.*\sfrom\s|insert\s+into\s|update\s+\S+\s+set\s|delete\s+from\s|with\s+\w+\s+as\s*\(", re.DOTALL
)
_SIGN: Final = re.compile(r"[*;=,]|\w\(|\s(?:where|join|limit|(?:order|group)\s+by)\s")
_SENTENCE: Final = re.compile(r"\b(?:select|from)\s+(?:the|an|your|my|our|their|this|these)\s|[.!]\s", re.IGNORECASE)
_NO_CODE: Final = re.compile(
    r'^[ \t]*(?:(?:\$|>>>)[ ]|(?:#(?=\s|$)|//|--(?=\s|$))[^\n]*|"""(?:[^"]|"(?!""))*""")|'
    r"^[ \t]*'''(?:[^']|'(?!''))*'''|(?<=[ \t]{2})(?:\#|//)[ ][^\n]*",
    re.MULTILINE,
)
# Behind one space, where no quote is open; "//" divides in Python.
_COMMENT: Final = re.compile(
    r"""^((?:[^\n'"]|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")*?)(?:(?<=[ \t])\#|(?<=[;{}][ \t])//)[ ][^\n]*""",
    re.MULTILINE,
)
# Of an answer that was cut, the last one has no end.
_FENCE: Final = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_HYPHENS: Final = str.maketrans("−–‐‑", "----")
_CAPITAL: Final = re.compile("[A-Z]")
_OPTION: Final = re.compile(r"(?<![\w-])--?\\?[a-z][\w-]*", re.IGNORECASE)
# In a span of its own, or all of the answer, without a word of a sentence.
_COMMAND: Final = re.compile(r"[^`]*`([a-z][^`\n]*)`[^`]*|(?:(?:Run|Use) )?([a-z][^`\n]*)")
_NO_WORDS: Final = frozenset("= a an and are in is of or the to with".split())


def codes_differ(a: str, b: str) -> bool:
    """Whether the code of two answers, SQL alone or what stands in their fences, differs by more than white space,
    case but that of options, semicolons, prompts, comments and, outside SQL, the kind of quotes; further fences of one,
    with an alternative or what it prints, do not count. Or two that begin with the same word each have an option
    ("--force") that the other lacks, of two bare commands also one of them, and of functions a minus before "sin(x)".
    """
    blocks_a = _blocks(a)
    blocks_b = blocks_a and _blocks(b)
    if blocks_a and blocks_b:
        plain_a, plain_b = [_plain(block) for block in blocks_a], [_plain(block) for block in blocks_b]
        few = min(len(plain_a), len(plain_b))
        return "".join(plain_a) != "".join(plain_b) and (plain_a[:few] != plain_b[:few] or not any(plain_a[:few]))
    options_a, options_b = _options(a), _options(b)
    if options_a == options_b or a.split(None, 1)[:1] != b.split(None, 1)[:1]:
        return False
    only_a, only_b = options_a - options_b, options_b - options_a
    if (only_a and only_b) or _is_positive(only_a, b) or _is_positive(only_b, a):
        return True
    return _is_command(a) and _is_command(b)


def _blocks(text: str) -> list[str]:
    text = text.strip()
    blocks: list[str] = _FENCE.findall(text) if "```" in text else []
    if blocks:
        return blocks
    is_sql = _CAPITALS.match(text) or (_SMALL.match(text) and _SIGN.search(text))
    return [text] if is_sql and not _SENTENCE.search(text) else []


def _plain(code: str) -> str:
    code = _COMMENT.sub(r"\1", _NO_CODE.sub("", code)).strip()
    # Quotes mean names and texts in SQL, and in a shell whether a variable is read.
    if not _CAPITALS.match(code) and not _SMALL.match(code):
        if "$" not in code:
            code = code.replace('"', "'")
        # "-d" and "-D" are two options.
        code = _OPTION.sub(lambda option: _CAPITAL.sub(r"^\g<0>", option[0]), code)
    return "".join(code.casefold().split()).replace(";", "")


def _options(text: str) -> set[str]:
    text = text if text.isascii() else text.translate(_HYPHENS)
    return {option.replace("\\", "") for option in _OPTION.findall(text)} if "-" in text else set()


def _is_positive(options: set[str], text: str) -> bool:
    """Whether *text* has a function of one of the *options*, all of which it lacks: cos(x) is not -cos(x)."""
    return any(f"{option[1:]}(" in text for option in options)


def _is_command(text: str) -> bool:
    match = _COMMAND.fullmatch(text.strip())
    return match is not None and _NO_WORDS.isdisjoint((match[1] or match[2]).split())
