"""Drift: rarely a false alarm however long the stream, and an alarm where traffic has changed."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from confroute import ConfigurationError
from confroute.calibration import AuditDrift, EscalationDrift
from confroute.errors import InputError

ALPHA = 0.05
STREAMS = 200
"""False alarms that are allowed: above the 99.9 % point of a binomial at ALPHA the promise is broken."""
ALLOWED = int(binom.ppf(0.999, STREAMS, ALPHA))


def delay(detector: EscalationDrift | AuditDrift, rate: float, rng: random.Random, most: int) -> int:
    """How many requests at *rate* it takes until drift is detected; *most* if it is not."""
    for i in range(most):
        if detector.update(rng.random() < rate):
            return i + 1
    return most


@pytest.mark.parametrize(("rate", "n"), [(0.3, 20), (0.3, 500), (0.3, 10**7), (0.05, 10**7), (0.97, 100)])
def test_escalation_rarely_alarms_without_drift(rate: float, n: int) -> None:
    """Of 200 streams of 1,000 at most 5 % alarm, within the 99.9 % point of chance, whatever the calibration saw."""
    rng, alarms = random.Random(1), 0
    for _ in range(STREAMS):
        # A calibration on ten million items has the rate itself.
        seen = sum(rng.random() < rate for _ in range(n)) / n if n < 1000 else rate
        alarms += delay(EscalationDrift(seen, n, alpha=ALPHA), rate, rng, 1000) < 1000
    assert alarms <= ALLOWED


def test_the_calibration_s_own_error_is_no_drift() -> None:
    """Tested against the point estimate of 50 items nearly half of the streams would alarm; against what they are
    compatible with, at most 5 % do."""
    rng, point, region = random.Random(2), 0, 0
    for _ in range(STREAMS):
        seen = min(49, max(1, sum(rng.random() < 0.3 for _ in range(50)))) / 50
        stream = [rng.random() < 0.3 for _ in range(1500)]
        for n in (50, 10**9):
            detector = EscalationDrift(seen, n, alpha=ALPHA)
            alarmed = any(detector.update(escalated) for escalated in stream)
            region, point = region + (alarmed and n == 50), point + (alarmed and n > 50)
    assert region <= ALLOWED
    assert point > 3 * ALLOWED


@pytest.mark.parametrize("loss", ["constant", "binary", "graded"])
def test_an_audit_rarely_alarms_within_the_target(loss: str) -> None:
    """At a mean loss of exactly the target at most 5 % of 200 streams of 1,000 ever alarm, whatever the losses."""
    rng, alarms = random.Random(3), 0
    for _ in range(STREAMS):
        detector = AuditDrift(0.1, alpha=ALPHA)
        for _ in range(1000):
            x = {"constant": 0.1, "binary": float(rng.random() < 0.1), "graded": 0.2 * rng.random()}[loss]
            detector.update(x)
        alarms += detector.detected
    assert alarms <= ALLOWED


@pytest.mark.parametrize(
    ("rate", "good", "within"), [(0.6, 0, 250), (0.6, 1000, 450), (0.5, 3000, 1200), (0.05, 0, 200), (0.05, 1000, 400)]
)
def test_changed_escalation_is_detected(rate: float, good: int, within: int) -> None:
    """From 0.3 on 500 items to *rate*, at once or after a long good time: 19 of 20 streams alarm in time at .01."""
    rng, late = random.Random(4), 0
    for _ in range(20):
        detector = EscalationDrift(0.3, 500)
        if delay(detector, 0.3, rng, good) == good:
            late += delay(detector, rate, rng, within) == within
    assert late <= 1


@pytest.mark.parametrize(
    ("rate", "good", "within"), [(0.2, 0, 250), (0.2, 1000, 350), (0.1, 0, 1200), (0.1, 1000, 1800)]
)
def test_a_broken_promise_is_detected(rate: float, good: int, within: int) -> None:
    """From a mean loss of .05, the target, to *rate*: 19 of 20 streams alarm in time at .01."""
    rng, late = random.Random(5), 0
    for _ in range(20):
        detector = AuditDrift(0.05)
        if delay(detector, 0.05, rng, good) == good:
            late += delay(detector, rate, rng, within) == within
    assert late <= 1


def test_a_better_edge_is_no_broken_promise() -> None:
    """The audit looks one way only: less harm than the target is never an alarm."""
    detector = AuditDrift(0.05)
    assert not any(detector.update(0.0) for _ in range(5000))


@given(st.floats(0.01, 0.99), st.floats(0.001, 0.5), st.lists(st.booleans(), min_size=1, max_size=8))
def test_a_bet_never_gains_on_average(target: float, alpha: float, losses: list[bool]) -> None:
    """After any past, the wealth's mean over the next loss, drawn at the target, is the wealth before: a martingale."""
    wealths = []
    for last in ([], [0.0], [1.0]):
        detector = AuditDrift(target, alpha=alpha)
        wealth = 1.0
        for loss in (*losses, *last):
            wealth = detector._wealth.after(float(loss))
        wealths.append(wealth)
    before, good, bad = wealths
    assert math.isclose(before, (1 - target) * good + target * bad, rel_tol=1e-9)
    assert min(wealths) >= 0


def test_an_alarm_stays() -> None:
    """Once detected it is detected, whatever comes; the certificate has to be renewed, not waited out."""
    for detector in (EscalationDrift(0.3, 500), AuditDrift(0.05)):
        assert any(detector.update(True) for _ in range(200))
        assert detector.detected
        assert all(detector.update(False) for _ in range(2000))


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_extremes_of_the_rate_are_tested_on_the_side_that_is_left(rate: float) -> None:
    """Where nothing, or everything, was escalated the only drift is away from it; nothing overflows on the way."""
    detector = EscalationDrift(rate, 10_000)
    assert not any(detector.update(rate == 1) for _ in range(3000))
    assert any(detector.update(rate == 0) for _ in range(300))


def test_the_compatible_rates_are_as_documented() -> None:
    """0.3 from 500 items at alpha .01 is 0.3 +- 0.077; a tiny calibration is compatible with everything."""
    assert EscalationDrift(0.3, 500).rates == pytest.approx((0.223, 0.377), abs=5e-4)
    blind = EscalationDrift(0.5, 5)
    assert blind.rates == (0, 1)
    assert not any(blind.update(True) for _ in range(1000))


@pytest.mark.parametrize("loss", [-0.1, 1.1, math.nan, math.inf])
def test_impossible_losses_are_refused(loss: float) -> None:
    """A loss outside [0, 1] would void the bound, so it is refused and not counted."""
    with pytest.raises(InputError, match="escalated"):
        AuditDrift(0.05).update(loss)


def test_impossible_settings_are_refused() -> None:
    """Rates, targets and levels out of range, and a calibration on nothing."""
    for call in (
        lambda: EscalationDrift(1.1, 500),
        lambda: EscalationDrift(math.nan, 500),
        lambda: EscalationDrift(0.3, 0),
        lambda: EscalationDrift(0.3, 500, alpha=0),
        lambda: AuditDrift(0.0),
        lambda: AuditDrift(0.05, alpha=1),
    ):
        with pytest.raises(ConfigurationError, match="must be"):
            call()
