"""Whether a text is JSON of a schema."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

from confroute.errors import UnsupportedRequestError


def is_valid(text: str, schema: Mapping[str, Any]) -> bool:
    """False also for a schema that is none, or that refers to others elsewhere, which are not fetched. Patterns are
    Rust's, as in Pydantic: the time that one takes is in proportion to the text.

    Raises:
        UnsupportedRequestError: a pattern that would have to be tried is none of these, or stands where it cannot be.
    """
    # Loaded where a request wants it: most want none.
    jsonschema: Any = import_module("jsonschema")
    referencing: Any = import_module("referencing")
    try:
        kind = jsonschema.validators.validator_for(schema)
        kind.check_schema(schema, format_checker=None)  # it would know a pattern by Python's rules
        if all(word in str(schema) for word in ("'patternProperties'", "'unevaluatedProperties'")):
            # The latter try the former by Python's rules, and not where that could be made otherwise.
            raise UnsupportedRequestError(
                "Answers cannot be checked by patternProperties and unevaluatedProperties both."
            )
        value = json.loads(text, parse_float=_finite, parse_constant=_finite)
        _linear(kind)(schema, registry=referencing.Registry()).validate(value)
    except (ValueError, jsonschema.ValidationError, jsonschema.SchemaError, referencing.exceptions.Unresolvable):
        return False
    return True


def _finite(number: str) -> float:
    """Others are within any bounds, and Python writes them as JSON that nobody else reads."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError
    return value


@lru_cache
def _linear(kind: Any) -> Any:
    """The validator *kind* with other regular expressions: an answer of 30 characters kept Python's busy for minutes on
    a pattern as ordinary as ``^([a-z]+ ?)+$``, and with them every thread and event loop."""
    jsonschema: Any = import_module("jsonschema")
    of_others = kind.VALIDATORS["additionalProperties"]

    def pattern(validator: Any, regex: str, value: Any, _: Any) -> Iterator[Any]:
        if validator.is_type(value, "string") and not _matcher(regex)(value):
            yield jsonschema.ValidationError("It does not match.")

    def pattern_properties(validator: Any, schemas: Mapping[str, Any], value: Any, _: Any) -> Iterator[Any]:
        if validator.is_type(value, "object"):
            for regex, of in schemas.items():
                for name in filter(_matcher(regex), value):
                    yield from validator.descend(value[name], of, path=name, schema_path=regex)

    def additional_properties(validator: Any, of: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
        matchers = [_matcher(regex) for regex in schema.get("patternProperties", {})]
        if matchers and validator.is_type(value, "object"):
            value = {name: value[name] for name in value if not any(matches(name) for matches in matchers)}
            schema = {name: schema[name] for name in schema if name != "patternProperties"}
        yield from of_others(validator, of, value, schema)

    own = {
        "pattern": pattern,
        "patternProperties": pattern_properties,
        "additionalProperties": additional_properties,
    }
    linear = jsonschema.validators.extend(kind, own)
    # Its own would go on as the usual kind where a schema says again which one it is of.
    linear.evolve = import_module("attrs").evolve
    return linear


@lru_cache(maxsize=64)
def _matcher(regex: str) -> Callable[[str], bool]:
    """Whether it is found in a text."""
    core: Any = import_module("pydantic_core")
    try:
        validator = core.SchemaValidator({"type": "str", "pattern": regex})
    except core.SchemaError:
        # Python's would take them, and could take for ever. Pydantic itself takes them only on demand.
        raise UnsupportedRequestError(
            "Answers cannot be checked by a pattern of this JSON schema: it looks ahead or back, refers to a group, or "
            "is otherwise none of Rust's regular expressions, which are Pydantic's. Write it as one of these."
        ) from None
    return validator.isinstance_python
