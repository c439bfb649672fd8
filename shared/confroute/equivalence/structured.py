"""Equivalence of JSON answers and tool calls by their values; needs no model."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias, TypeVar, cast

from confroute.equivalence.base import Equivalence, Pair
from confroute.equivalence.react import answer_of, call_of
from confroute.equivalence.text import TextEquivalence

Leaves: TypeAlias = Counter[Hashable]

_Judged = TypeVar("_Judged", bool, float)

_FLAGS: Final = re.DOTALL | re.MULTILINE | re.IGNORECASE
_FENCE: Final = re.compile(r"^[ \t]*```[ \t]*(?:json)?[ \t]*\n(.*?)^[ \t]*```[ \t]*$", _FLAGS)
_CALL_KEYS: Final = frozenset({"name", "arguments", "id", "call_id", "type", "index"})


@dataclass(frozen=True, slots=True)
class StructuredEquivalence(Equivalence):
    """Two answers mean the same if they are JSON of the same value, or the same tool calls.

    An answer is structured if it, or the only block in ``` fences in it, is a JSON object or array. The order of keys
    never counts. Numbers are compared exactly, by value: 1 is 1.0 and 1e0, it is neither true nor "1", and 0.1 is not
    0.10000000000000001. Of strings, the white space around them and the Unicode form (NFC) do not count, case does.
    A key with null is not an absent key. A key given twice has its last value, as for most parsers.

    A tool call is an object with "name" and "arguments", alone or as OpenAI's ``{"type": "function", "function":
    {...}}``, in a list, or in the "tool_calls" of a message without content. Its id is dropped; arguments in a string
    are parsed, no arguments are ``{}``; one call is the same as a list of that one. A step of a ReAct agent
    (``Action: name`` and ``Action Input: ...``) is the call that it makes: its thought does not count. What stands
    behind its ``Final Answer:``, or behind ``Answer:`` after a ``Thought:``, is all that is compared of such an answer.

    A structured answer is never the same as one which is not. Where neither is, and for bare numbers and strings,
    *otherwise* decides, which alone sees the question.

    `similarity` is the share of equal leaves (the scalars and empty containers, each at its place): those in common
    over the count of the answer that has more, 0 to 1, and 1 exactly where `same` holds. In an ordered array a place
    is an index, so one more element at the front moves all others; in an unordered one the elements are the leaves.

    Cost: microseconds a kilobyte.

    Args:
        ordered: whether the order of arrays counts, that of a list of tool calls included. If not, an array is the
            multiset of its elements, at every depth.
        otherwise: what judges answers which are not structured.
    """

    name = "structured"
    version = 2
    quick = True
    _: KW_ONLY
    ordered: bool = True
    otherwise: Equivalence = field(default_factory=TextEquivalence)

    def same(self, pairs: Sequence[Pair], *, question: str) -> list[bool]:
        return self._judged(pairs, lambda rest: self.otherwise.same(rest, question=question), _equal)

    def similarity(self, pairs: Sequence[Pair], *, question: str) -> list[float]:
        return self._judged(pairs, lambda rest: self.otherwise.similarity(rest, question=question), _shared)

    def _judged(
        self,
        pairs: Sequence[Pair],
        otherwise: Callable[[list[Pair]], list[_Judged]],
        structured: Callable[[Leaves, Leaves], _Judged],
    ) -> list[_Judged]:
        leaves = {text: self._leaves(text) for text in {text for pair in pairs for text in pair}}
        rest = [(a, b) for a, b in pairs if leaves[a] is None and leaves[b] is None]
        if any("Answer" in text for text in leaves):
            rest = [(answer_of(a), answer_of(b)) for a, b in rest]
        of_rest = otherwise(rest) if rest else []
        if len(rest) == len(pairs):
            return of_rest
        judged = iter(of_rest)
        nothing: Leaves = Counter()
        return [
            next(judged)
            if leaves[a] is None and leaves[b] is None
            # No structure is without a leaf, so none equals nothing.
            else structured(leaves[a] or nothing, leaves[b] or nothing)
            for a, b in pairs
        ]

    def _leaves(self, text: str) -> Leaves | None:
        """The leaves of a structured text with their places; None for any other."""
        try:
            value = ("Action" in text and _step(text)) or _parsed(text)
            return None if value is None else _flat(_calls(value), ordered=self.ordered)
        except RecursionError:
            # Nested too deeply to be read, for the json module or for us.
            return None


def _equal(a: Leaves, b: Leaves) -> bool:
    return a == b


def _shared(a: Leaves, b: Leaves) -> float:
    return (a & b).total() / max(a.total(), b.total())


def _step(text: str) -> dict[str, Any] | None:
    """The tool call of an agent's step, its input parsed where it is JSON; None for any other text."""
    call = call_of(text)
    if call is None:
        return None
    name, given = call
    parsed = _parsed(given)
    return {"name": name, "arguments": given.strip("\"'") if parsed is None else parsed}


def _parsed(text: str) -> dict[str, Any] | list[Any] | None:
    blocks = _FENCE.findall(text) if "```" in text else []
    for candidate in (text, *(blocks if len(blocks) == 1 else ())):
        value = _json(candidate)
        if isinstance(value, (dict, list)):
            return cast("dict[str, Any] | list[Any]", value)
    return None


def _json(text: str) -> Any:
    """The value of a JSON object or array, its numbers as decimals; None if the text is none."""
    if text.lstrip()[:1] not in ("{", "["):
        return None  # of most texts; the parser's exception would take twenty times as long
    try:
        return json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=_refuse)
    except (ValueError, InvalidOperation):
        return None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)  # NaN and Infinity are no JSON


def _calls(value: Any) -> Any:
    """*value* with tool calls, alone or in a list, in one form."""
    if isinstance(value, dict):
        message = cast("dict[str, Any]", value)
        if isinstance(message.get("tool_calls"), list) and not message.get("content"):
            return _calls(message["tool_calls"])
        return _call(message) or message
    calls = [_call(element) for element in cast("list[Any]", value)]
    if not calls or None in calls:
        return value
    return calls if len(calls) > 1 else calls[0]


def _call(value: Any) -> dict[str, Any] | None:
    """A tool call's name and arguments; None for any other value."""
    if not isinstance(value, Mapping):
        return None
    call = cast("Mapping[str, Any]", value)
    if call.get("type") == "function" and isinstance(call.get("function"), Mapping):
        return _call(call["function"])
    if not isinstance(call.get("name"), str) or "arguments" not in call or not _CALL_KEYS.issuperset(call):
        return None
    arguments: Any = call["arguments"]
    if arguments is None or arguments == "":
        arguments = {}
    elif isinstance(arguments, str):
        parsed = _json(arguments)
        # Arguments that are no JSON are compared as the string they are.
        arguments = arguments if parsed is None else parsed
    return {"name": call["name"], "arguments": arguments}


def _flat(value: Any, *, ordered: bool) -> Leaves:
    leaves: Leaves = Counter()
    _collect(leaves, value, (), ordered=ordered)
    return leaves


def _collect(leaves: Leaves, value: Any, place: tuple[Hashable, ...], *, ordered: bool) -> None:
    if isinstance(value, dict) and value:
        for key, element in cast("dict[str, Any]", value).items():
            _collect(leaves, element, (*place, key), ordered=ordered)
    elif isinstance(value, list) and value:
        for i, element in enumerate(cast("list[Any]", value)):
            if ordered:
                _collect(leaves, element, (*place, i), ordered=True)
            else:
                leaves[(*place, None), frozenset(_flat(element, ordered=False).items())] += 1
    else:
        leaves[place, _scalar(value)] += 1


def _scalar(value: Any) -> Hashable:
    # The type stands beside the value, since True == 1.
    if isinstance(value, str):
        return "string", unicodedata.normalize("NFC", value).strip()
    return type(value).__name__, value if isinstance(value, (bool, Decimal)) else None
