"""The calibrators: what they fit, that they fall, and that they come back from JSON to the last bit."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import ConfigurationError, Disagreement, MeanLogprob
from confroute.calibration import Beta, Calibrator, Isotonic, Platt, calibrator_from_dict, cross_fitted
from confroute.errors import CalibrationError

NAN, INF = math.nan, math.inf


def drawn(
    n: int = 4000, *, slope: float = -3.0, intercept: float = 2.0, seed: int = 0
) -> tuple[list[float], list[bool]]:
    """Uncertainties uniform in [0, 1], acceptable with a logistic probability."""
    rng = random.Random(seed)
    uncertainties = [rng.random() for _ in range(n)]
    return uncertainties, [rng.random() < 1 / (1 + math.exp(-slope * u - intercept)) for u in uncertainties]


U, OK = drawn()
FITTED: list[Calibrator] = [
    Platt.fit(U, OK),
    Beta.fit(U, OK, unit="share"),
    Beta.fit(U, OK),
    Isotonic.fit(U, OK),
    Beta.fit(U, OK, unit="score"),
]
FITS = [Platt.fit, Beta.fit, Isotonic.fit]
each = pytest.mark.parametrize("calibrator", FITTED, ids=["platt", "beta-share", "beta-nats", "isotonic", "beta-score"])
each_fit = pytest.mark.parametrize("fit", FITS, ids=["platt", "beta", "isotonic"])


@each
def test_it_finds_the_probability_that_the_items_were_drawn_with(calibrator: Calibrator) -> None:
    """From 4,000 items within .05 everywhere but at the ends, or .08 where no form of the curve is assumed."""
    for i in range(1, 10):
        truth = 1 / (1 + math.exp(3 * i / 10 - 2))
        assert calibrator.confidence(i / 10) == pytest.approx(truth, abs=0.08 if calibrator is FITTED[3] else 0.05)


@each
@given(a=st.floats(allow_nan=False), b=st.floats(allow_nan=False))
def test_it_never_rises(calibrator: Calibrator, a: float, b: float) -> None:
    """More uncertainty never gives more confidence, to the last bit and at the infinities, and all are in [0, 1]."""
    low, high = sorted((a, b))
    assert 0 <= calibrator.confidence(high) <= calibrator.confidence(low) <= 1


@each
@given(u=st.floats(0, 1), step=st.integers(1, 4))
def test_it_never_rises_between_neighbours(calibrator: Calibrator, u: float, step: int) -> None:
    """Nor between two numbers that differ in their last bits only."""
    above = u
    for _ in range(step):
        above = math.nextafter(above, INF)
    assert calibrator.confidence(above) <= calibrator.confidence(u)


@each
def test_no_signal_stays_no_signal(calibrator: Calibrator) -> None:
    """NaN for NaN; at infinity the limit, which a far uncertainty has reached."""
    assert math.isnan(calibrator.confidence(NAN))
    assert calibrator.confidence(INF) == calibrator.confidence(1e9)
    assert calibrator.confidence(-INF) == calibrator.confidence(-1e9)


@each
@given(u=st.floats(0, 5))
def test_it_comes_back_from_json(calibrator: Calibrator, u: float) -> None:
    """Through JSON text it is the same calibrator, of the same identity, with the same confidences."""
    again = calibrator_from_dict(json.loads(json.dumps(calibrator.to_dict())))
    assert again == calibrator
    assert again.identity == calibrator.identity
    assert again.confidence(u) == calibrator.confidence(u)


def test_platt_on_two_uncertainties_is_known() -> None:
    """Two values, 30 of 40 and 10 of 40 acceptable: the curve goes through the means of the smoothed targets."""
    fitted = Platt.fit([0.0] * 40 + [1.0] * 40, [i % 4 < 3 for i in range(40)] + [i % 4 < 1 for i in range(40)])
    smooth = [(30 * 41 + 10) / 42 / 40, (10 * 41 + 30) / 42 / 40]
    assert [fitted.confidence(u) for u in (0.0, 1.0)] == pytest.approx(smooth, abs=1e-5)


def test_isotonic_is_pool_adjacent_violators() -> None:
    """Known by hand: values that rise are pooled to their mean, ties share one, beyond the ends it is constant."""
    fitted = Isotonic.fit([1, 1, 2, 2, 3, 3, 4, 4, 5, 5], [1, 1, 0, 0, 1, 1, 0, 1, 0, 0])  # type: ignore[list-item]
    assert [fitted.confidence(u) for u in (-9, 1, 2, 3, 4, 5, 99)] == pytest.approx([1, 1, 0.5, 0.5, 0.5, 0, 0])
    assert fitted.confidence(1.5) == pytest.approx(0.75)


def test_isotonic_is_what_scikit_learn_predicts() -> None:
    """Between the knots and beyond them, within rounding."""
    regression = pytest.importorskip("sklearn.isotonic")
    model = regression.IsotonicRegression(increasing=False, y_min=0, y_max=1, out_of_bounds="clip").fit(U, OK)
    points = [i / 500 - 0.1 for i in range(600)]
    assert [FITTED[3].confidence(u) for u in points] == pytest.approx(model.predict(points).tolist(), abs=1e-12)


@pytest.mark.parametrize(("estimator", "unit"), [(Disagreement(), "share"), (MeanLogprob(), "nats")])
def test_beta_holds_the_identity(estimator: Any, unit: Any) -> None:
    """With a = b = 1 and c = 0 the confidence is the estimator's own: what is calibrated already can stay so."""
    same = Beta(unit=unit, a=1.0, b=1.0, c=0.0)
    for u in (0.01, 0.2, 0.5, 0.93):
        assert same.confidence(u) == pytest.approx(estimator.confidence(u))


def test_beta_finds_that_a_score_is_calibrated() -> None:
    """Drawn with probability 1 - u, it is nearly the identity: within 3 standard errors (about .03) of it."""
    rng = random.Random(3)
    uncertainties = [rng.random() for _ in range(4000)]
    fitted = Beta.fit(uncertainties, [rng.random() < 1 - u for u in uncertainties], unit="share")
    for u in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert fitted.confidence(u) == pytest.approx(1 - u, abs=0.05)


def test_beta_refits_without_the_coefficient_of_the_wrong_sign() -> None:
    """Where only one end of the score tells, the other coefficient is 0, not negative."""
    rng = random.Random(4)
    uncertainties = [rng.random() for _ in range(2000)]
    acceptable = [rng.random() < 0.9 - 0.85 * math.sqrt(u) * (1 - u) * 2.5 for u in uncertainties]
    fitted = Beta.fit(uncertainties, acceptable, unit="share")
    assert min(fitted.a, fitted.b) == 0 <= max(fitted.a, fitted.b)
    assert fitted.confidence(0.1) >= fitted.confidence(0.9)


@pytest.mark.parametrize(
    ("unit", "low", "high"),
    [("nats", 30, 120), ("nats", 0, 120), ("score", -40, -5), ("score", -9, 9), ("score", 20, 90)],
)
def test_beta_tells_uncertainties_of_any_size_apart(unit: Any, low: float, high: float) -> None:
    """Those of whole sequences, and negative ones, keep their order and are no ties."""
    rng = random.Random(6)
    uncertainties = sorted(rng.uniform(low, high) for _ in range(200))
    acceptable = [rng.random() < 0.9 - 0.8 * i / 200 for i in range(200)]
    fitted = Beta.fit(uncertainties, acceptable, unit=unit)
    confidences = [fitted.confidence(u) for u in uncertainties]
    assert sorted(confidences, reverse=True) == confidences
    assert len(set(confidences)) > 190
    assert confidences[0] > 0.6 > 0.4 > confidences[-1]


@pytest.mark.parametrize("near", [-40.0, -13.8155, 0.0, 13.8155, 40.0])
def test_beta_of_a_score_has_no_step_up(near: float) -> None:
    """Where one form of its logarithms gives way to another, too."""
    calibrator, u = Beta(unit="score", a=1.5, b=0.7, c=0.1), near - 1e-3
    for _ in range(2000):
        u, before = u + 1e-6, calibrator.confidence(u)
        assert calibrator.confidence(u) <= before
    assert calibrator.confidence(math.nextafter(near, INF)) <= calibrator.confidence(near)


@each_fit
def test_the_wrong_direction_is_no_signal(fit: Any) -> None:
    """Where the uncertain answers are the good ones the confidence is the share of good ones, whatever is asked; of an
    isotonic one nearly so, between its ends."""
    calibrator = fit(U, [not ok for ok in OK])
    rate = 1 - sum(OK) / len(OK)
    if fit is FITS[2]:
        assert [calibrator.confidence(u) for u in (0.05, 0.5, 0.95)] == pytest.approx([rate] * 3, abs=0.01)
    else:
        assert [calibrator.confidence(u) for u in (0.0, 0.5, INF)] == pytest.approx([rate] * 3)


@each_fit
def test_one_uncertainty_for_all_is_no_signal(fit: Any) -> None:
    """Nothing to tell answers apart by: the share of acceptable ones."""
    calibrator = fit([0.5] * 20, [i < 15 for i in range(20)])
    assert [calibrator.confidence(u) for u in (0.0, 0.5, 9.0)] == pytest.approx([0.75] * 3)


@each_fit
def test_separable_answers_stay_finite(fit: Any) -> None:
    """No overlap, no infinite slope: the parameters are finite numbers that JSON can hold."""
    calibrator = fit([i / 20 for i in range(20)], [i < 10 for i in range(20)])
    assert json.loads(json.dumps(calibrator.to_dict(), allow_nan=False))["name"] == calibrator.name
    assert calibrator.confidence(0.0) > 0.8 > 0.2 > calibrator.confidence(1.0)


@each_fit
def test_items_without_signal_are_left_out_and_infinite_ones_are_the_greatest(fit: Any) -> None:
    """NaN changes nothing; infinity counts as the greatest finite uncertainty."""
    assert fit([*U, NAN, NAN], [*OK, True, False]) == fit(U, OK)
    assert fit([*U, INF], [*OK, False]) == fit([*U, max(U)], [*OK, False])


@each_fit
@pytest.mark.parametrize(
    ("uncertainties", "acceptable"),
    [
        ([0.5] * 20, [True] * 20),
        ([0.5] * 20, [False] * 20),
        ([0.1, 0.9], [True, False]),
        ([], []),
        ([NAN] * 20, [True, False] * 10),
        ([0.5] * 20, [True] * 19),
    ],
)
def test_what_cannot_be_fitted_is_refused(fit: Any, uncertainties: list[float], acceptable: list[bool]) -> None:
    """Answers all of one kind, too few, none with a signal, or unequal lengths."""
    with pytest.raises(CalibrationError):
        fit(uncertainties, acceptable)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"name": "venn", "version": 1},
        {"name": ["platt"], "version": 1},
        {"name": "platt", "version": 2, "slope": -1.0, "intercept": 0.0},
        {"name": "platt", "version": 1, "slope": -1.0},
        {"name": "platt", "version": 1, "slope": -1.0, "intercept": 0.0, "more": 1},
        {"name": "platt", "version": 1, "slope": 1.0, "intercept": 0.0},
        {"name": "platt", "version": 1, "slope": "steep", "intercept": 0.0},
        {"name": "platt", "version": 1, "slope": -1.0, "intercept": NAN},
        {"name": "beta", "version": 1, "unit": "bits", "a": 1.0, "b": 1.0, "c": 0.0},
        {"name": "isotonic", "version": 1, "knots": [], "confidences": []},
        {"name": "isotonic", "version": 1, "knots": [0.0, 1.0], "confidences": [0.2, 0.9]},
        {"name": "isotonic", "version": 1, "knots": [1.0, 1.0], "confidences": [0.9, 0.2]},
        {"name": "isotonic", "version": 1, "knots": [0.0], "confidences": [1.5]},
    ],
)
def test_no_other_dict_is_a_calibrator(values: dict[str, Any]) -> None:
    """Unknown names and versions, missing and unknown parameters, and curves that rise are configuration errors."""
    with pytest.raises(ConfigurationError):
        calibrator_from_dict(values)


def test_cross_fitting_gives_each_item_a_fit_on_the_others() -> None:
    """No item has a part in its own confidence: each fit sees all measured items but the fold's, each item once."""
    uncertainties, acceptable = [float(i) for i in range(50)], [i % 3 == 0 for i in range(50)]
    uncertainties[7] = NAN
    seen: list[set[float]] = []

    def fit(values: Any, labels: Any) -> Calibrator:
        seen.append(set(values))
        assert [labels[i] for i in range(len(values))] == [acceptable[int(v)] for v in values]
        return Isotonic(knots=(0.0,), confidences=(len(seen) / 10,))

    confidences = cross_fitted(fit, uncertainties, acceptable, folds=5, seed=1)

    assert math.isnan(confidences[7])
    for i, confidence in enumerate(confidences):
        if i != 7:
            assert float(i) not in seen[round(confidence * 10) - 1]
    assert sum(49 - len(values) for values in seen) == 49
    assert all(sum(acceptable[int(v)] for v in values) >= 13 for values in seen)


def test_cross_fitting_is_honest_where_the_fit_is_not() -> None:
    """On noise, an isotonic fit judged on its own items looks better than the base rate; cross-fitted it does not."""
    rng = random.Random(5)
    uncertainties, acceptable = [rng.random() for _ in range(200)], [rng.random() < 0.5 for _ in range(200)]

    def brier(confidences: list[float]) -> float:
        return sum((c - ok) ** 2 for c, ok in zip(confidences, acceptable, strict=True)) / 200

    own = Isotonic.fit(uncertainties, acceptable)
    assert brier([own.confidence(u) for u in uncertainties]) < 0.25
    assert brier(cross_fitted(Isotonic.fit, uncertainties, acceptable)) >= 0.25


def test_cross_fitting_is_reproducible() -> None:
    """The seed alone decides on the folds."""
    first, again, other = (cross_fitted(Platt.fit, U[:100], OK[:100], seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_cross_fitting_refuses_what_it_cannot_do() -> None:
    """One fold, unequal lengths, or a kind of answer that all lie in one fold."""
    with pytest.raises(ConfigurationError, match="folds"):
        cross_fitted(Platt.fit, U, OK, folds=1)
    with pytest.raises(CalibrationError):
        cross_fitted(Platt.fit, U, OK[1:])
    with pytest.raises(CalibrationError):
        cross_fitted(Platt.fit, U[:40], [i == 0 for i in range(40)])


def test_applying_needs_the_standard_library_only() -> None:
    """Neither importing the package nor applying a calibrator brings in numpy, scipy or scikit-learn."""
    program = (
        "import sys\n"
        "from confroute.calibration import AuditDrift, EscalationDrift, calibrator_from_dict\n"
        "for values in ({'name': 'platt', 'version': 1, 'slope': -1.0, 'intercept': 0.5},\n"
        "  {'name': 'beta', 'version': 1, 'unit': 'nats', 'a': 1.0, 'b': 1.0, 'c': 0.0},\n"
        "  {'name': 'isotonic', 'version': 1, 'knots': [0.0, 1.0], 'confidences': [0.9, 0.1]}):\n"
        "    calibrator_from_dict(values).confidence(0.3)\n"
        "EscalationDrift(0.3, 500).update(True), AuditDrift(0.05).update(0.0)\n"
        "print(sorted({'numpy', 'scipy', 'sklearn'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("labels", [[0, 0.5] * 6, [0, 2] * 6, [-1, 1] * 6, [0, NAN, 1] * 4])
def test_a_label_says_yes_or_no(labels: list[Any]) -> None:
    """A grade is told, not taken for a yes."""
    values = [i / 12 for i in range(12)]
    for fit in (Platt.fit, Beta.fit, Isotonic.fit):
        with pytest.raises(CalibrationError, match="Turn grades into such first"):
            fit(values, labels)
    with pytest.raises(CalibrationError, match="Turn grades into such first"):
        cross_fitted(Platt.fit, values, labels)


def test_a_number_too_long_for_a_float_is_no_parameter() -> None:
    """JSON may hold whole numbers of any length."""
    with pytest.raises(ConfigurationError, match="do not fit it"):
        calibrator_from_dict({"name": "isotonic", "version": 1, "knots": [0, 10**400], "confidences": [1, 0]})
