"""Regular expressions in the words of llama.cpp's grammars, which know few escapes, and write the characters of a JSON
string as they stand there: a quotation mark would end it."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

Ranges = Sequence[tuple[int, int]]
"""Of characters, by their numbers, both ends included."""

_TOKEN = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)|\[(?:\\.|[^\\\]])*\]|[*+?]|\{\d{1,9}(?:,\d{0,9})?\}|\(\?:?|.", re.DOTALL
)
_ONE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)|.", re.DOTALL)
_REPEATED = re.compile(r"\{(\d+)(,?)(\d*)\}")
_LAST = 0x10FFFF
_ESCAPE = "\\"
_SPECIAL = "^$.[]()|{}*+?"
_CLASSES: dict[str, Ranges] = {
    "d": [(0x30, 0x39)],
    "w": [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)],
    "s": [(0x20, 0x20)],  # the others would have to be escaped
}
_AT_MOST: dict[str, Ranges] = {
    # Each script has its ten in a row, and they are looked for in the planes that have scripts.
    "d": [(zero, zero + 9) for zero in range(0x20000) if unicodedata.decimal(chr(zero), None) == 0],
    "w": [*_CLASSES["w"], (0x80, _LAST)],
    "s": [
        (0x09, 0x0D),
        (0x1C, 0x20),
        (0x85, 0x85),
        (0xA0, 0xA0),
        (0x1680, 0x1680),
        (0x2000, 0x200A),
        (0x2028, 0x2029),
        (0x202F, 0x202F),
        (0x205F, 0x205F),
        (0x3000, 0x3000),
        (0xFEFF, 0xFEFF),
    ],
}
"""What may be of these classes by somebody's rules, and is not to come where none of them may."""
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_NO_PLACE_IN_JSON: Ranges = [(0, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0x7F, 0x7F), (0xD800, 0xDFFF)]
MOST_REPETITIONS = 2000
_MOST_EMPTY = 60
"""Of parts that may be left out or be empty: the work is the square of it."""


class BeyondGrammars(ValueError):  # noqa: N818 - no user sees it
    """It cannot be written so, or would be worked on for very long. The words say why, and nothing of it."""


@dataclass
class _Group:
    """What is open while a pattern is read. Whether its alternatives so far, the one being read, and the last part of
    that may be empty."""

    any_empty: bool = False
    so_far: bool = True
    last: bool = True
    repeats: bool = False  # the last part has been said how often it comes


def for_grammar(pattern: str) -> str:
    """The anchored *pattern* in such words, of the same strings or fewer. Raises BeyondGrammars."""
    tokens = _TOKEN.findall(pattern)
    if len(tokens) < 2 or tokens[0] != "^" or tokens[-1] != "$":
        raise BeyondGrammars("a pattern is not from ^ to $")
    writing = _Writing()
    for token in tokens[1:-1]:
        writing.take(token)
    if len(writing.open) > 1:
        raise BeyondGrammars("a pattern leaves a bracket open")
    if writing.left_out * writing.empty_repetitions > _MOST_EMPTY:
        raise BeyondGrammars("too much of a pattern may be empty")
    return f"^{''.join(writing.written)}$"


class _Writing:
    """A pattern while it is read."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.open = [_Group()]
        self.left_out = 0
        self.empty_repetitions = 1

    def take(self, token: str) -> None:
        match token:
            case "(" | "(?:":
                _begin_part(self.open[-1])
                self.open.append(_Group())
                self.written.append("(?:")
            case "(?":
                raise BeyondGrammars("a pattern looks ahead or back, or has a group with a name")
            case ")":
                if len(self.open) == 1:
                    raise BeyondGrammars("a pattern closes a bracket that is not open")
                self.left_out += self._is_at_beginning()
                may_be_empty = _may_be_empty(self.open.pop())
                self.open[-1].last = may_be_empty
                self.written.append(token)
            case "|":
                self.left_out += self._is_at_beginning()
                self.open[-1] = _Group(any_empty=_may_be_empty(self.open[-1]))
                self.written.append(token)
            case _ if token in tuple("*+?") or _REPEATED.fullmatch(token):
                self._repeat(token)
            case _:
                _begin_part(self.open[-1])
                self.open[-1].last = False
                self.written.append(_one(token))

    def _is_at_beginning(self) -> bool:
        """Whether there is nothing yet of this alternative."""
        return not self.written or self.written[-1] in ("(?:", "|")

    def _repeat(self, token: str) -> None:
        group = self.open[-1]
        least, most = _repetitions(token)
        if group.repeats or self._is_at_beginning():
            raise BeyondGrammars("a pattern repeats nothing, or something in two ways")
        if group.last:
            self.empty_repetitions *= most or least or 1
        self.left_out += least == 0
        group.last, group.repeats = group.last or least == 0, True
        self.written.append(token)


def _begin_part(group: _Group) -> None:
    group.so_far, group.last, group.repeats = group.so_far and group.last, True, False


def _may_be_empty(group: _Group) -> bool:
    return group.any_empty or (group.so_far and group.last)


def _repetitions(token: str) -> tuple[int, int | None]:
    found = _REPEATED.fullmatch({"*": "{0,}", "+": "{1,}", "?": "{0,1}"}.get(token, token))
    assert found is not None  # noqa: S101 - it is one of these
    least = int(found[1])
    most = int(found[3]) if found[3] else None if found[2] else least
    if max(least, most or 0) > MOST_REPETITIONS or (most is not None and most < least):
        raise BeyondGrammars("a pattern repeats something too often, or never")
    return least, most


def _one(token: str) -> str:
    """What stands for one character."""
    if len(token) > 1 and token[0] == "[":
        return _class(token[1:-1])
    if token in tuple(".^$[]{}"):
        if token != ".":  # noqa: S105 - it is none
            raise BeyondGrammars("a pattern has ^, $ or a bracket in its middle")
        return _written(_complement([(0x0A, 0x0A), (0x0D, 0x0D)]))
    if _is_class(token):
        return _written(_ranges(token[1]))
    character = _character(token)
    in_json = json.dumps(character, ensure_ascii=False)[1:-1]
    if in_json != character:
        return f"(?:{in_json.replace(_ESCAPE, _ESCAPE * 2)})"
    # A quantifier after an escape would be one of more than that, and after several bytes of the last only.
    return character if character.isascii() and character not in _SPECIAL else f"[{_bound(ord(character))}]"


def _is_class(token: str) -> bool:
    return token[0] == _ESCAPE and token[1:].lower() in (*_CLASSES,)


def _character(token: str) -> str:
    if token[0] != _ESCAPE:
        return token
    escaped = token[1:]
    if len(escaped) > 1:
        character = chr(int(escaped[1:], 16))
        if "\ud800" <= character <= "\udfff":
            raise BeyondGrammars("a pattern has half a character")
        return character
    if escaped in _CONTROL:
        return _CONTROL[escaped]
    if escaped.isalnum() or not escaped:
        raise BeyondGrammars("a pattern has an escape that llama.cpp does not know")
    return escaped


def _ranges(name: str, *, is_excluded: bool = False) -> Ranges:
    """Those of a digit and the like, or of all others: as few as anybody takes for them, or as many, where these are
    not to come."""
    ranges = (_AT_MOST if name.islower() == is_excluded else _CLASSES)[name.lower()]
    return ranges if name.islower() else _complement(ranges)


def _class(content: str) -> str:
    parts: list[str] = _ONE.findall(content)
    is_negated = parts[:1] == ["^"]
    parts = parts[is_negated:]
    ranges: list[tuple[int, int]] = []
    while parts:
        part = parts.pop(0)
        if _is_class(part):
            ranges += _ranges(part[1], is_excluded=is_negated)
            continue
        first = last = ord("\b" if part == r"\b" else _character(part))
        if len(parts) > 1 and parts[0] == "-":
            last = ord(_character(parts[1]))
            del parts[:2]
        if last < first:
            raise BeyondGrammars("a pattern has a range with nothing in it")
        ranges.append((first, last))
    return _written(_complement(ranges) if is_negated else ranges)


def _complement(ranges: Ranges) -> Ranges:
    return _without([(0, _LAST)], ranges)


def _without(ranges: Ranges, holes: Ranges) -> Ranges:
    for begin, end in holes:
        parts = ((first, last, min(last, begin - 1), max(first, end + 1)) for first, last in ranges)
        ranges = [
            kept for first, last, left, right in parts for kept in ((first, left), (right, last)) if kept[0] <= kept[1]
        ]
    return ranges


def _written(ranges: Ranges) -> str:
    """The class of these characters, without those that JSON has to escape."""
    left = _without(ranges, _NO_PLACE_IN_JSON)
    if not left:
        raise BeyondGrammars("a pattern has a class of what JSON has to escape")
    return "[" + "".join(_bound(first) + (f"-{_bound(last)}" if last > first else "") for first, last in left) + "]"


def _bound(number: int) -> str:
    character = chr(number)
    return character if character.isalnum() or number > 0x7F else f"\\x{number:02X}"
