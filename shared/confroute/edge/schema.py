"""Answers held to a JSON schema while a torch model writes them, through llguidance.

Of the libraries that do this, llguidance was chosen by measurement: on a schema of five properties and a vocabulary of
49,152 it takes 6 ms for the schema and 0.06 ms a token; xgrammar 9 ms and 0.01 ms, but with triton and two more
packages to install; outlines-core 240 ms and 0.5 ms. llguidance refuses what it cannot enforce of a schema; of that,
what models mostly keep to by themselves is left out, and whoever reads the answer sees whether they did.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from confroute.edge.closed import closed
from confroute.edge.forks import RenewedLock
from confroute.edge.passes import Tensor
from confroute.edge.times import with_pattern
from confroute.errors import UnsupportedRequestError, require
from confroute.subschemas import rewritten

# As most JSON that a model has read on one line. Left free, a small model would go on with white space for ever.
_STYLE: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}

_FORMATS = ("date", "email", "hostname", "ipv4", "ipv6", "uuid", "uri", "unknown")
"""Those that llguidance knows, but for durations and times: of these it has no parts of seconds, or asks for a zone."""


def _guided(schema: Mapping[str, Any]) -> Any:
    return rewritten(closed(schema), _in_its_words)


def _in_its_words(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without what llguidance refuses and nobody would miss the edge for: a Path, a set, a dict with Literal keys."""
    parts = {
        name: value for name, value in with_pattern(schema).items() if name not in ("uniqueItems", "propertyNames")
    }
    if parts.get("format", "unknown") not in _FORMATS:
        del parts["format"]
    names: Any = schema.get("propertyNames")
    if isinstance(names, Mapping) and not parts.keys() & {"properties", "patternProperties"}:
        named = cast("Mapping[str, Any]", names)
        keys = named.get("enum", [named.get("const")])
        if all(isinstance(key, str) for key in keys):
            value = parts.get("additionalProperties", {})
            parts |= {"properties": dict.fromkeys(keys, value), "additionalProperties": False}
    return parts


class SchemaGuide:
    """Keeps one answer to its schema."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def allowed(self, vocabulary: int) -> Tensor:
        """Which tokens may come next, (vocabulary,)."""
        import torch

        mask = bytearray(self._matcher.compute_bitmask())
        self._check()
        packed = torch.frombuffer(mask, dtype=torch.uint8)
        bits = (packed[:, None] >> torch.arange(8, dtype=torch.uint8)) & 1
        allowed = torch.zeros(vocabulary, dtype=torch.bool)
        allowed[: bits.numel()] = bits.flatten()[:vocabulary].bool()
        return allowed

    def take(self, token: int) -> bool:
        """Take the token; True where nothing can follow it."""
        self._matcher.consume_token(token)
        self._check()
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        # One that met an error calls itself stopped, as if the answer were complete. What it says may quote the answer.
        if self._matcher.is_error():
            raise UnsupportedRequestError("This JSON schema is too large for an answer to be held to it.")


class Schemas:
    """Makes guides for the answers of one model. Thread-safe."""

    def __init__(self, tokenizer: Any, *, vocabulary: int, eos: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._eos = list(eos)
        self._read: Any = None
        self._lock = RenewedLock()

    def guides(self, schema: Mapping[str, Any], n: int) -> list[SchemaGuide]:
        """One for each of *n* answers.

        Raises:
            UnsupportedRequestError: the schema is none, or asks for what cannot be enforced.
        """
        require("llguidance", extra="transformers", wanted_by="A JSON schema on the transformers engine")
        from llguidance import LLMatcher
        from llguidance.hf import from_tokenizer

        try:
            with self._lock:  # reading a vocabulary takes half a second
                if self._read is None:
                    # Tokens that were added to it may have no place in the weights.
                    size = max(self._vocabulary, len(self._tokenizer))
                    self._read = from_tokenizer(self._tokenizer, n_vocab=size, eos_token=self._eos)
            grammar = LLMatcher.grammar_from_json_schema(json.dumps(_guided(schema)), defaults=_STYLE)
            # Otherwise it writes to stderr what it refuses, which is of the answer.
            matcher = LLMatcher(self._read, grammar, log_level=0)
        except RecursionError:
            raise UnsupportedRequestError(
                "This JSON schema is nested too deeply for an answer to be held to it."
            ) from None
        except (TypeError, ValueError) as error:
            raise UnsupportedRequestError(f"No answer can be held to this JSON schema ({error}).") from error
        if matcher.is_error():
            reason = matcher.get_error().splitlines()[0]
            raise UnsupportedRequestError(f"No answer can be held to this JSON schema: {reason}")
        return [SchemaGuide(matcher.deep_copy()) for _ in range(n)]
