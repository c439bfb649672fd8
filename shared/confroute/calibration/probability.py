"""From an uncertainty to the probability that the edge's answer is acceptable.

Fitting needs scikit-learn (the extra ``train``); applying what was fitted needs only the standard library.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from itertools import pairwise
from typing import Any, Literal, TypeAlias, TypeVar, cast, get_args

from confroute.errors import CalibrationError, ConfigurationError, require
from confroute.evaluation import check_labels
from confroute.identity import Identified

BetaUnit: TypeAlias = Literal["nats", "share", "score"]

LEAST_ITEMS = 10
"""Fewer items with a signal than this are not fitted."""

CLIP = 1e-6
"""How near to 0 and 1 a raw score comes in `Beta`; beyond it the logarithms would be infinite."""


class Calibrator(Identified, ABC):
    """Maps an uncertainty (higher is worse) to a confidence, the estimated P(acceptable) in [0, 1].

    Never rises with the uncertainty, so it reorders no two answers; NaN stays NaN, infinity gets the limit. Belongs to
    one edge model, estimator, system prompt and kind of question. A probability is an estimate, not a promise: that is
    what `confroute.calibration.thresholds` are for.
    """

    __slots__ = ()

    @abstractmethod
    def confidence(self, uncertainty: float) -> float:
        """P(acceptable) for an answer of this *uncertainty*; NaN for NaN."""

    def to_dict(self) -> dict[str, Any]:
        """The fitted numbers as plain JSON values; `calibrator_from_dict` brings back exactly this calibrator."""
        return {"name": self.name, "version": self.version, **_fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Platt(Calibrator):
    """P(acceptable) = 1 / (1 + exp(-(slope u + intercept))), slope at most 0.

    Two numbers, so it can be fitted on a hundred items (Platt 1999). Where one curve of this form does not fit, `Beta`
    has one number more and `Isotonic` needs no form.

    >>> round(Platt(slope=-2.0, intercept=1.0).confidence(0.5), 3)
    0.5
    """

    name = "platt"
    slope: float
    intercept: float

    def __post_init__(self) -> None:
        _check_falling(self, falling=self.slope <= 0)

    def confidence(self, uncertainty: float) -> float:
        if math.isnan(uncertainty):
            return math.nan
        # 0 times infinity is undefined; a curve that does not fall has one value everywhere.
        return _logistic(self.slope * uncertainty + self.intercept if self.slope else self.intercept)

    @classmethod
    def fit(cls, uncertainties: Sequence[float], acceptable: Sequence[bool]) -> Platt:
        """Maximum likelihood with Platt's smoothed targets, (N+ + 1) / (N+ + 2) and 1 / (N- + 2), which keep it finite
        where the two kinds of answer do not overlap.

        Items of NaN uncertainty are left out, infinite ones count as the greatest finite one. Where acceptable answers
        are the *more* uncertain ones, the confidence is the share of acceptable answers everywhere: no signal.

        Raises CalibrationError for fewer than 10 items, answers all of one kind, or unequal lengths.
        """
        values, labels = _items(uncertainties, acceptable)
        fitted = _fit_logistic([values], labels)
        if fitted is None or fitted[0][0] > 0:
            return cls(slope=0.0, intercept=_base_logit(labels))
        return cls(slope=fitted[0][0], intercept=fitted[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Beta(Calibrator):
    """P(acceptable) = 1 / (1 + exp(-(a ln s - b ln(1 - s) + c))) with a, b at least 0.

    s is the raw score of `Estimator.confidence`: exp(-u) for nats and 1 - u for a share, kept at least 1e-6 away from
    0 and 1, or 1/(1 + exp(u)) for a score, however great or small. The form is right where s is beta-distributed among
    acceptable and among other answers, and unlike `Platt`'s it contains the identity, a = b = 1, c = 0 (Kull, Silva
    Filho, Flach 2017, eq. 5).

    >>> round(Beta(unit="share", a=1.0, b=1.0, c=0.0).confidence(0.25), 3)
    0.75
    """

    name = "beta"
    unit: BetaUnit
    a: float
    b: float
    c: float

    def __post_init__(self) -> None:
        if self.unit not in get_args(BetaUnit):
            raise ConfigurationError(f"unit must be one of {', '.join(get_args(BetaUnit))}, not {self.unit!r}.")
        _check_falling(self, falling=self.a >= 0 and self.b >= 0)

    def confidence(self, uncertainty: float) -> float:
        if math.isnan(uncertainty):
            return math.nan
        log_s, minus_log_rest = _log_odds_parts(uncertainty, self.unit)
        return _logistic(self.a * log_s + self.b * minus_log_rest + self.c)

    @classmethod
    def fit(cls, uncertainties: Sequence[float], acceptable: Sequence[bool], *, unit: BetaUnit = "nats") -> Beta:
        """Logistic regression on ln s and -ln(1 - s), with Platt's smoothed targets. If one coefficient comes out
        negative it is set to 0 and the other refitted, as in the paper (section 4.1); if that is negative too, the
        confidence is the share of acceptable answers everywhere: no signal.

        Where some nats are so many that exp(-u) is below 1e-6, as those of whole sequences are, they are fitted as a
        score. Items of NaN uncertainty are left out. Raises as `Platt.fit` does.
        """
        values, labels = _items(uncertainties, acceptable)
        if unit == "nats" and math.exp(-max(values)) < CLIP:
            unit = "score"
        columns = [list(column) for column in zip(*(_log_odds_parts(value, unit) for value in values), strict=True)]
        fitted = _fit_logistic(columns, labels)
        if fitted is not None and min(fitted[0]) >= 0:
            return cls(unit=unit, a=fitted[0][0], b=fitted[0][1], c=fitted[1])
        if fitted is not None:
            good = fitted[0].index(max(fitted[0]))
            alone = _fit_logistic([columns[good]], labels)
            if alone is not None and alone[0][0] >= 0:
                a, b = (alone[0][0], 0.0) if good == 0 else (0.0, alone[0][0])
                return cls(unit=unit, a=a, b=b, c=alone[1])
        return cls(unit=unit, a=0.0, b=0.0, c=_base_logit(labels))


@dataclass(frozen=True, slots=True, kw_only=True)
class Isotonic(Calibrator):
    """The falling curve of least squared error: straight between its knots, constant beyond the outermost.

    Assumes no form, but needs more items than the others, a thousand or more. It makes ties, and its confidences can
    be exactly 0 or 1 (Zadrozny and Elkan 2002).

    >>> Isotonic(knots=(0.0, 1.0), confidences=(0.9, 0.3)).confidence(0.5)
    0.6
    """

    name = "isotonic"
    knots: tuple[float, ...]
    """Uncertainties, rising."""
    confidences: tuple[float, ...]
    """The confidence at each knot, never rising."""

    def __post_init__(self) -> None:
        knots, values = self.knots, self.confidences
        _check_falling(
            self,
            falling=0 < len(knots) == len(values)
            and all(a < b for a, b in pairwise(knots))
            and all(a >= b for a, b in pairwise(values))
            and all(0 <= value <= 1 for value in values),
        )

    def confidence(self, uncertainty: float) -> float:
        if math.isnan(uncertainty):
            return math.nan
        right = bisect_right(self.knots, uncertainty)
        if not 0 < right < len(self.knots):
            return self.confidences[min(right, len(self.knots) - 1)]
        x0, x1 = self.knots[right - 1], self.knots[right]
        y0, y1 = self.confidences[right - 1], self.confidences[right]
        return max(y1, y0 + (y1 - y0) * ((uncertainty - x0) / (x1 - x0)))

    @classmethod
    def fit(cls, uncertainties: Sequence[float], acceptable: Sequence[bool]) -> Isotonic:
        """Least squares under the constraint. Equal uncertainties share one confidence. Where acceptable answers are
        the more uncertain ones this is about the share of acceptable answers, but for the outermost items.

        Items of NaN uncertainty are left out, infinite ones count as the greatest finite one. Raises as `Platt.fit`
        does.
        """
        values, labels = _items(uncertainties, acceptable)
        isotonic: Any = import_module("sklearn.isotonic")
        model = isotonic.IsotonicRegression(increasing=False, y_min=0.0, y_max=1.0, out_of_bounds="clip")
        model.fit(values, [float(label) for label in labels])
        return cls(knots=tuple(model.X_thresholds_.tolist()), confidences=tuple(model.y_thresholds_.tolist()))


_KINDS: dict[str, type[Calibrator]] = {kind.name: kind for kind in (Platt, Beta, Isotonic)}

C = TypeVar("C", bound=Calibrator)


def calibrator_from_dict(values: Mapping[str, Any]) -> Calibrator:
    """The calibrator that `Calibrator.to_dict` wrote. Raises ConfigurationError for anything else."""
    name, version = values.get("name"), values.get("version")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None or version != kind.version:
        known = ", ".join(f"{kind.name}@{kind.version}" for kind in _KINDS.values())
        raise ConfigurationError(f"There is no calibrator {name}@{version}; this version of confroute knows {known}.")
    parameters = {
        key: tuple(cast("list[Any]", value)) if isinstance(value, list) else value
        for key, value in values.items()
        if key not in ("name", "version")
    }
    try:
        return kind(**parameters)
    except (TypeError, OverflowError) as error:
        raise ConfigurationError(
            f"The parameters of the calibrator {name}@{version} do not fit it: {error}."
        ) from error


def cross_fitted(
    fit: Callable[[Sequence[float], Sequence[bool]], Calibrator],
    uncertainties: Sequence[float],
    acceptable: Sequence[bool],
    folds: int = 5,
    seed: int = 0,
) -> list[float]:
    """For each item the confidence that a calibrator gives it which was fitted on the other folds only; NaN for NaN.

    To judge a calibrator (Brier score, reliability) or to set a threshold on items that it has not seen. The folds
    are drawn with *seed*, acceptable and other answers spread evenly over them. Cost: *folds* fits.

    >>> fitted = cross_fitted(Platt.fit, [i / 40 for i in range(40)], [i % 3 < 2 - i // 20 for i in range(40)])
    >>> fitted[0] > fitted[-1]
    True
    """
    if folds < 2:
        raise ConfigurationError(f"folds must be at least 2, not {folds!r}.")
    check_labels(uncertainties, acceptable)
    rng = random.Random(seed)  # noqa: S311
    measured = [i for i, value in enumerate(uncertainties) if not math.isnan(value)]
    rng.shuffle(measured)
    dealt = sorted(measured, key=lambda i: bool(acceptable[i]))
    confidences = [math.nan] * len(uncertainties)
    for fold in range(folds):
        held_out = dealt[fold::folds]
        others = [i for start in range(folds) if start != fold for i in dealt[start::folds]]
        calibrator = fit([uncertainties[i] for i in others], [acceptable[i] for i in others])
        for i in held_out:
            confidences[i] = calibrator.confidence(uncertainties[i])
    return confidences


def _fields(calibrator: Calibrator) -> dict[str, Any]:
    values: dict[str, Any] = asdict(cast("Any", calibrator))
    return {key: list(cast("Any", value)) if isinstance(value, tuple) else value for key, value in values.items()}


def _logistic(logit: float) -> float:
    # In this one form it is monotone to the last bit; below -700 exp overflows.
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0


def _log_odds_parts(uncertainty: float, unit: BetaUnit) -> tuple[float, float]:
    """ln s and -ln(1 - s)."""
    if unit == "score":
        return -_softplus(uncertainty), _softplus(-uncertainty)
    score = math.exp(-max(0.0, uncertainty)) if unit == "nats" else 1 - uncertainty
    score = min(1 - CLIP, max(CLIP, score))
    return math.log(score), -math.log1p(-score)


def _softplus(x: float) -> float:
    """ln(1 + exp(x)), monotone, and 0 below 1e-6: a fit would make much of the differences of such numbers."""
    if x > 40:
        # Finite, so that 0 times it is 0.
        return min(x, 1e9)
    grown = math.exp(x)
    return math.log1p(grown) if grown >= CLIP else 0.0


def _base_logit(labels: Sequence[bool]) -> float:
    return math.log(sum(labels) / (len(labels) - sum(labels)))


def _items(uncertainties: Sequence[float], acceptable: Sequence[bool]) -> tuple[list[float], list[bool]]:
    require("sklearn", extra="train", wanted_by="Fitting a calibrator")
    check_labels(uncertainties, acceptable)
    items = [(value, bool(label)) for value, label in zip(uncertainties, acceptable, strict=True) if value == value]
    labels = [label for _, label in items]
    if len(items) < LEAST_ITEMS or len(set(labels)) < 2:
        raise CalibrationError(
            f"A calibrator needs at least {LEAST_ITEMS} answers with a signal, some acceptable and some not; of these "
            f"{len(uncertainties)}, {len(items)} have a signal and {sum(labels)} of them are acceptable. Label more "
            "answers, or use the confidences uncalibrated."
        )
    finite = [value for value, _ in items if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    return [min(high, max(low, value)) for value, _ in items], labels


def _check_falling(calibrator: Calibrator, *, falling: bool) -> None:
    numbers: list[Any] = []
    for value in _fields(calibrator).values():
        numbers += value if isinstance(value, list) else [value]
    if not falling or not all(math.isfinite(number) for number in numbers if not isinstance(number, str)):
        raise ConfigurationError(
            f"The parameters of {calibrator.identity} do not make a confidence that falls with the uncertainty. "
            "Fit it anew with `fit`."
        )


def _fit_logistic(columns: Sequence[Sequence[float]], labels: Sequence[bool]) -> tuple[list[float], float] | None:
    """Coefficients and intercept of an all but unregularised logistic regression; None if no column varies."""
    numpy: Any = import_module("numpy")
    linear: Any = import_module("sklearn.linear_model")
    x = numpy.array(columns, dtype=float).T
    varies = x.max(axis=0) > x.min(axis=0)
    if not varies.any():
        return None
    # The deviation of equal numbers is not always 0 in floating point.
    mean, scale = x.mean(axis=0), numpy.where(varies, x.std(axis=0), 1.0)
    acceptable = sum(labels)
    high, low = (acceptable + 1) / (acceptable + 2), 1 / (len(labels) - acceptable + 2)
    target = numpy.where(numpy.array(labels), high, low)
    # scikit-learn takes no targets between 0 and 1: each item is there as both kinds, weighted by them.
    model = linear.LogisticRegression(C=1e6, tol=1e-8, max_iter=10_000)
    model.fit(
        numpy.vstack([(x - mean) / scale] * 2),
        numpy.repeat([1, 0], len(labels)),
        sample_weight=numpy.concatenate([target, 1 - target]),
    )
    coefficients = model.coef_[0] / scale
    return coefficients.tolist(), float(model.intercept_[0] - (coefficients * mean).sum())
