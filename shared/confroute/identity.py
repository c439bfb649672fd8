"""What a method of judging answers is known by: the name that a threshold, a calibration or a certificate belongs to,
and whether it is quick."""

from __future__ import annotations

import hashlib
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, ClassVar, cast


class Identified:
    """A method with a `name` and a `version`, raised whenever the same input would get another result. `quick` says
    that what it does itself takes microseconds, for answers of a page at most; so it holds for subclasses."""

    __slots__ = ()

    name: ClassVar[str]
    version: ClassVar[int] = 1
    quick: ClassVar[bool] = False

    @property
    def identity(self) -> str:
        """``name@version``, then in parentheses the methods it is made of and the settings that are not the default.

        >>> from confroute import Disagreement, SemanticEntropy
        >>> Disagreement().identity
        'disagreement@1(structured@2(text@6))'
        >>> SemanticEntropy(weighting="likelihood").identity
        'semantic_entropy@2(weighting=likelihood,structured@2(text@6))'
        """
        parts = [part for field in self._fields() if (part := _part(field, getattr(self, field.name)))]
        return f"{self.name}@{self.version}" + (f"({','.join(parts)})" if parts else "")

    @property
    def is_quick(self) -> bool:
        """Whether it is `quick` with the methods it is made of: an event loop then runs it itself, not in a thread.

        >>> from confroute import Disagreement
        >>> Disagreement().is_quick
        True
        """
        if not self.quick:
            return False
        values = (getattr(self, field.name) for field in self._fields())
        return all(value.is_quick for value in values if isinstance(value, Identified))

    def _fields(self) -> tuple[Field[Any], ...]:
        return fields(self) if is_dataclass(self) else ()


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
