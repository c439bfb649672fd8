"""The parts that a router is put together from: what is none is refused when it is made, not at each request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from confroute.errors import ConfigurationError
from confroute.estimators import Estimator


def check_parts(**given: object) -> None:
    """Raise ConfigurationError where one of the parts *given* by its name is not what it has to be. Those that are
    None are left out."""
    for name, part in given.items():
        wanted, holds = _PARTS[name]
        if part is not None and not holds(part):
            # A part's own value may be a key in the wrong place.
            kind = f"the class {part.__name__}" if isinstance(part, type) else f"of type {type(part).__name__}"
            raise ConfigurationError(f"{name} must be {wanted}, not {kind}.")


def _is_policy(part: Any) -> bool:
    return not isinstance(part, type) and hasattr(part, "threshold") and callable(getattr(part, "serves", None))


def _is_calibrator(part: object) -> bool:
    from confroute.calibration import Calibrator

    return isinstance(part, Calibrator)


def _is_certificate(part: object) -> bool:
    from confroute.calibration import Certificate

    return isinstance(part, (Certificate, str, Path))


_PARTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "estimator": (
        "an Estimator, such as confroute.SemanticEntropy(); see confroute.estimators",
        lambda part: isinstance(part, Estimator),
    ),
    "policy": ("a policy, such as confroute.policies.Threshold(0.5), for which threshold=0.5 is short", _is_policy),
    "calibrator": ("a Calibrator, such as a fitted confroute.calibration.Platt", _is_calibrator),
    "certificate": ("a Certificate or the path of the file that `confroute calibrate` wrote", _is_certificate),
}
