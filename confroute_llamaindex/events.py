"""The event that tells LlamaIndex's instrumentation where an answer came from."""

from __future__ import annotations

from typing import Any

from llama_index.core.instrumentation.events import BaseEvent

from confroute.records import ConfidenceRecord, Reason, Route


class ConfidenceRoutingEvent(BaseEvent):
    """Fired once for each answer, before it (or its last chunk) is handed out.

    The fields are those of `ConfidenceRecord`, flat, so that tracers keep them as typed attributes; *record* is the
    whole record as JSON values. ``span_id`` is the span of the method that was called on `ConfidenceRoutedLLM`.
    """

    route: Route
    reason: Reason
    confidence: float | None = None
    uncertainty: float | None = None
    estimator: str | None = None
    threshold: float | None = None
    calibrated: bool = False
    certificate: str | None = None
    samples: int = 0
    clusters: int | None = None
    error: str | None = None
    record: dict[str, Any]

    @classmethod
    def class_name(cls) -> str:
        return "ConfidenceRoutingEvent"

    @classmethod
    def of(cls, record: ConfidenceRecord, *, span_id: str | None) -> ConfidenceRoutingEvent:
        """The event for *record*. A generator runs after its span was left, so the span is given, not looked up."""
        fields = record.to_dict()
        flat = {name: fields[name] for name in cls.model_fields if name in fields}
        return cls(record=fields, span_id=span_id, **flat)
