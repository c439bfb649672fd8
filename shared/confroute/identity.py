"""The name under which a threshold, a calibration or a certificate knows the method that it was made for."""

from __future__ import annotations

import hashlib
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, ClassVar, cast


class Identified:
    """A method with a `name` and a `version`, raised whenever the same input would get another result."""

    __slots__ = ()

    name: ClassVar[str]
    version: ClassVar[int] = 1

    @property
    def identity(self) -> str:
        """``name@version``, then in parentheses the methods it is made of and the settings that are not the default.

        >>> from confroute import Disagreement, SemanticEntropy
        >>> Disagreement().identity
        'disagreement@1(structured@1(text@2))'
        >>> SemanticEntropy(weighting="likelihood").identity
        'semantic_entropy@2(weighting=likelihood,structured@1(text@2))'
        """
        own = fields(self) if is_dataclass(self) else ()
        parts = [part for field in own if (part := _part(field, getattr(self, field.name)))]
        return f"{self.name}@{self.version}" + (f"({','.join(parts)})" if parts else "")


def _part(field: Field[Any], value: Any) -> str:
    if isinstance(value, Identified):
        return value.identity
    # A field that takes no part in comparisons changes the cost, not the result.
    if not field.compare or (field.default is not MISSING and field.default == value):
        return ""
    return f"{field.name}={_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, (str, int, float)) and len(str(value)) <= 60:
        return str(value)
    # Fitted numbers and other long settings are told apart by the first digits of their hash.
    digest = hashlib.sha256(repr(value).encode()).hexdigest()[:8]
    items = cast("tuple[Any, ...]", value) if isinstance(value, tuple) else ()
    methods = [item.identity for item in items if isinstance(item, Identified)]
    return "+".join(methods) if methods else digest
