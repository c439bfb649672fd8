"""Whether a text is JSON of a schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any


def is_valid(text: str, schema: Mapping[str, Any]) -> bool:
    """False also for a schema that is none, or that refers to others elsewhere, which are not fetched."""
    # Loaded where a request wants it: most want none.
    jsonschema: Any = import_module("jsonschema")
    referencing: Any = import_module("referencing")
    try:
        kind = jsonschema.validators.validator_for(schema)
        kind.check_schema(schema)
        kind(schema, registry=referencing.Registry()).validate(json.loads(text))
    except (ValueError, jsonschema.ValidationError, jsonschema.SchemaError, referencing.exceptions.Unresolvable):
        return False
    return True
