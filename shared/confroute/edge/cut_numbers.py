"""Numbers that end where llama.cpp's grammar ends them: there may have been more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from confroute.edge.grammars import BOUNDS, LAST, may_be_integer, write_bounds
from confroute.errors import UnsupportedRequestError
from confroute.json_schema import is_valid
from confroute.records import Sample, SamplingOptions
from confroute.subschemas import rewritten
from confroute.tools import answer_schema, parameters

_DIGITS = 16
"""How many llama.cpp lets a number have before its point where no bounds are written. Those behind it, as many again,
are lacking in no answer that matters."""
_LONG = re.compile(rf"\d{{{_DIGITS}}}")
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|(-?)(\d+)([.eE][-+.eE\d]*)?')
"""A string, or a number: its sign, its integral part and the rest."""


def with_numbers_cut(sample: Sample, options: SamplingOptions, *, held: bool, calls: bool = True) -> Sample:
    """The sample as one that is cut short, if the grammar may have ended a number in it, which is that of its *calls*,
    too, if they have one. The schemas were `held`, those of calls as the model is shown them, or sent as they are."""
    schema = answer_schema(options)
    schemas = {tool["function"]["name"]: parameters(tool) for tool in options.tools}
    told = [(call.arguments, schemas[call.name], True) for call in sample.tool_calls if calls and call.name in schemas]
    told += [(sample.text, schema, False)] if schema is not None else []
    is_cut = any(has_cut_number(text, asked, held=held, shown=shown) for text, asked, shown in told)
    return replace(sample, finish_reason="length") if is_cut else sample


def has_cut_number(text: str, schema: Mapping[str, Any], *, held: bool = True, shown: bool = False) -> bool:
    """Whether the *text*, JSON of the *schema*, has a number as long as llama.cpp's grammar lets it be there, and
    shorter than the schema does: the first digits of another. It takes some milliseconds for each number so long."""
    if not _LONG.search(text):
        return False
    bounded: Any = None
    for found in _TOKEN.finditer(text):
        sign, digits, rest = found.groups()
        if digits is None or not _DIGITS <= len(digits) <= len(str(LAST)):
            continue
        before, after = text[: found.start()], text[found.end() :]
        if len(digits) == _DIGITS:
            # Only where no bounds are written may there be one of more than 64 bits.
            try:
                bounded = bounded or rewritten(schema, partial(_held, shown=shown) if held else _sent)
            except RecursionError:
                return True  # as what cannot be checked
            if _is_valid(f"{before}{sign}{digits}0000{after}", bounded):
                return True
        elif held and not rest and 10 * int(digits) > LAST and _is_valid(f"{before}{sign}{digits}0{after}", schema):
            return True
    return False


def _held(schema: Mapping[str, Any], *, shown: bool) -> Mapping[str, Any]:
    """With bounds where llama.cpp's grammar has them."""
    parts = dict(schema)
    write_bounds(parts, shown=shown)
    if not may_be_integer(parts):
        for name in BOUNDS:
            parts.pop(name, None)
    return parts


def _sent(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """With the bounds that llama.cpp takes for some."""
    return {name: value for name, value in schema.items() if name not in BOUNDS or not _is_beyond(value)}


def _is_beyond(bound: Any) -> bool:
    return isinstance(bound, int | float) and abs(bound) > LAST


def _is_valid(text: str, schema: Mapping[str, Any]) -> bool:
    """What cannot be checked may be valid."""
    try:
        return is_valid(text, schema)
    except (RecursionError, UnsupportedRequestError):
        return True
