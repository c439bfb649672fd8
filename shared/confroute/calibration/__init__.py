"""From an uncertainty to a confidence that is a probability, and from confidences to a threshold with a promise."""

from confroute.calibration.certificate import Certificate, answer_settings, auroc_advice, template_hash
from confroute.calibration.drift import AuditDrift, EscalationDrift
from confroute.calibration.probability import (
    Beta,
    Calibrator,
    Isotonic,
    Platt,
    calibrator_from_dict,
    cross_fitted,
)
from confroute.calibration.thresholds import Cut, cost_cut, error_cut, harm_cut, labels_needed

__all__ = [
    "AuditDrift",
    "Beta",
    "Calibrator",
    "Certificate",
    "Cut",
    "EscalationDrift",
    "Isotonic",
    "Platt",
    "answer_settings",
    "auroc_advice",
    "calibrator_from_dict",
    "cost_cut",
    "cross_fitted",
    "error_cut",
    "harm_cut",
    "labels_needed",
    "template_hash",
]
