"""What the thresholds promise, by seeded simulation, and what another implementation says of the same items."""

from __future__ import annotations

import math
import random

import pytest
from scipy.stats import binom

from confroute.calibration import Cut, cost_cut, error_cut, harm_cut

NAN = math.nan


def strictness(cut: Cut) -> float:
    return math.inf if cut.threshold is None else cut.threshold


def at_most(delta: float, trials: int) -> int:
    """More violations than this have probability below .001 if the promise holds."""
    return int(binom.ppf(0.999, trials, delta))


def draw(rng: random.Random, n: int, *, levels: int | None, nan: float = 0.0) -> tuple[list[float], list[bool]]:
    """Confidences uniform in [0, 1], or in *levels* steps; wrong with probability 0.6 (1 - confidence)."""
    confidences, wrong = [], []
    for _ in range(n):
        c = rng.random() if levels is None else rng.randrange(levels + 1) / levels
        wrong.append(rng.random() < 0.6 * (1 - c))
        confidences.append(NAN if rng.random() < nan else c)
    return confidences, wrong


def true_risk(cut: Cut, *, levels: int | None, nan: float = 0.0) -> tuple[float, float]:
    """P(kept) and P(kept and wrong) under `draw`."""
    least = strictness(cut)
    if least > 1:
        return 0.0, 0.0
    if levels is None:
        return (1 - nan) * (1 - least), (1 - nan) * 0.6 * (1 - least) ** 2 / 2
    kept = [i / levels for i in range(levels + 1) if i / levels >= least]
    return (1 - nan) * len(kept) / (levels + 1), (1 - nan) * sum(0.6 * (1 - c) for c in kept) / (levels + 1)


kinds = pytest.mark.parametrize(("levels", "nan"), [(None, 0.0), (10, 0.0), (10, 0.15), (2, 0.0)])


@kinds
def test_a_budget_is_kept_as_often_as_promised(levels: int | None, nan: float) -> None:
    """In at least 90 % of 400 calibrations the true escalation rate is within the budget, ties and NaN or not."""
    rng, broken = random.Random(1), 0
    for _ in range(400):
        cut = cost_cut(draw(rng, 120, levels=levels, nan=nan)[0], 0.3, 0.1)
        broken += cut.certified and 1 - true_risk(cut, levels=levels, nan=nan)[0] > 0.3
    assert broken <= at_most(0.1, 400)
    if levels is None:
        # And not for being timid: with continuous scores the bound is used up, but for the step of one item.
        assert broken >= int(binom.ppf(0.001, 400, 0.07))


@kinds
def test_a_mean_budget_is_kept_on_average(levels: int | None, nan: float) -> None:
    """The mean true escalation rate is at most the budget, within 3.3 standard errors."""
    rng = random.Random(2)
    cuts = [cost_cut(draw(rng, 60, levels=levels, nan=nan)[0], 0.3, None) for _ in range(400)]
    rates = [1 - true_risk(cut, levels=levels, nan=nan)[0] for cut in cuts if cut.certified]
    mean = sum(rates) / len(rates)
    error = math.sqrt(sum((rate - mean) ** 2 for rate in rates)) / len(rates)
    assert mean <= 0.3 + 3.3 * error


@kinds
def test_rcps_breaks_its_target_as_rarely_as_promised(levels: int | None, nan: float) -> None:
    """In at most 10 % of 400 calibrations the true P(kept and wrong) is above the target."""
    rng, broken = random.Random(3), 0
    for _ in range(400):
        cut = harm_cut(*draw(rng, 150, levels=levels, nan=nan), 0.08, 0.1)
        broken += true_risk(cut, levels=levels, nan=nan)[1] > 0.08
    assert broken <= at_most(0.1, 400)


@kinds
def test_crc_meets_its_target_on_average(levels: int | None, nan: float) -> None:
    """The mean true P(kept and wrong) is at most the target, within 3.3 standard errors."""
    rng = random.Random(4)
    risks = []
    for _ in range(400):
        cut = harm_cut(*draw(rng, 60, levels=levels, nan=nan), 0.08, method="crc")
        risks.append(true_risk(cut, levels=levels, nan=nan)[1])
    mean = sum(risks) / 400
    assert mean <= 0.08 + 3.3 * math.sqrt(sum((risk - mean) ** 2 for risk in risks)) / 400


@pytest.mark.parametrize(("levels", "nan"), [(None, 0.0), (10, 0.0), (10, 0.15), (2, 0.0), (1, 0.0)])
def test_selective_error_is_broken_as_rarely_as_promised(levels: int | None, nan: float) -> None:
    """In at most 10 % of 400 calibrations is the true P(wrong | kept) above the target."""
    rng, broken, certified = random.Random(5), 0, 0
    for _ in range(400):
        cut = error_cut(*draw(rng, 200, levels=levels, nan=nan), 0.15, 0.1)
        kept, risk = true_risk(cut, levels=levels, nan=nan)
        broken += kept > 0 and risk / kept > 0.15
        certified += cut.certified
    assert broken <= at_most(0.1, 400)
    assert certified > 200


def test_selective_error_without_signal_uses_up_its_delta_at_worst() -> None:
    """The hardest case, where the error is just above the target whatever the confidence: still at most 10 %."""
    rng, broken = random.Random(6), 0
    for _ in range(500):
        confidences = [rng.random() for _ in range(200)]
        broken += error_cut(confidences, [rng.random() < 0.151 for _ in range(200)], 0.15, 0.1).certified
    assert broken <= at_most(0.1, 500)


def test_the_naive_threshold_breaks_the_same_promise() -> None:
    """The simulation can tell: the lowest threshold with an observed risk below the target is too low half the time."""
    rng, broken = random.Random(3), 0
    for _ in range(400):
        confidences, wrong = draw(rng, 150, levels=None)
        harms = sorted((c for c, w in zip(confidences, wrong, strict=True) if w), reverse=True)
        # So many harms are within the target; the threshold lies just above the next.
        least = harms[int(0.08 * 150)] if len(harms) > 12 else 0.0
        broken += 0.6 * (1 - least) ** 2 / 2 > 0.08
    assert 150 <= broken <= 260


# Against another implementation


def test_mapie_certifies_the_same_thresholds() -> None:
    """MAPIE's p-values for a binary loss, tested by its fixed-sequence procedure, accept what is accepted here."""
    methods = pytest.importorskip("mapie.risk_control.methods", reason="MAPIE is not installed")
    control_fwer = pytest.importorskip("mapie.risk_control").control_fwer
    numpy = pytest.importorskip("numpy")
    rng = random.Random(7)
    for n in (100, 500):
        confidences, wrong = draw(rng, n, levels=None)
        values = sorted(confidences, reverse=True)
        harms = [sum(w for c, w in zip(confidences, wrong, strict=True) if c >= t) for t in values]
        for target in (0.05, 0.1, 0.2):
            # MAPIE rounds n times the risk up, so that 7.000000000000001 would count as 8.
            risks = numpy.maximum(numpy.array(harms) - 1e-6, 0) / n
            p_values = methods.compute_hoeffding_bentkus_p_value(risks, n, target, binary=True)[:, 0]
            assert p_values == pytest.approx(binom.cdf(harms, n, target), abs=1e-12)
            for delta in (0.05, 0.1):
                accepted = control_fwer(p_values, delta, fwer_method="fixed_sequence")
                cut = harm_cut(confidences, wrong, target, delta)
                assert strictness(cut) == (values[max(accepted)] if len(accepted) else math.inf)


def test_mapie_certifies_the_same_selective_error() -> None:
    """So it does where the risk is that of the kept answers only, on the same grid of kept shares."""
    methods = pytest.importorskip("mapie.risk_control.methods", reason="MAPIE is not installed")
    control_fwer = pytest.importorskip("mapie.risk_control").control_fwer
    numpy = pytest.importorskip("numpy")
    rng = random.Random(8)
    for target in (0.1, 0.15, 0.2, 0.25):
        confidences, wrong = draw(rng, 500, levels=None)
        surest = sorted(zip(confidences, wrong, strict=True), reverse=True)
        sizes = [100, 150, 200, 250, 300, 350, 400, 450, 500]
        errors = numpy.array([sum(w for _, w in surest[:size]) for size in sizes])
        p_values = methods.compute_hoeffding_bentkus_p_value(
            numpy.maximum(errors - 1e-6, 0) / sizes, numpy.array([[size] for size in sizes])[:, 0], target, binary=True
        )[:, 0]
        accepted = control_fwer(p_values, 0.1, fwer_method="fixed_sequence")
        cut = error_cut(confidences, wrong, target, 0.1, grid=9)
        assert strictness(cut) == (surest[sizes[max(accepted)] - 1][0] if len(accepted) else math.inf)
