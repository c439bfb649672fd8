"""Whether traffic has left what a threshold was calibrated on. May be asked after every request, for ever.

Both tests bet against "nothing has changed". A bet on a value x in [0, 1] whose mean is said to be at most m multiplies
the wealth by 1 + b (x - m), 0 <= b < 1/m, and cannot raise it on average while that is true (Waudby-Smith and Ramdas
2024, arXiv 2010.09686, section 4). So the wealth, 1 at the start, *ever* reaches 1/alpha with probability at most alpha
(Ville's inequality): no number of looks raises the false alarms. The wealth is spread over bets of several sizes and
over all times at which the change may come, the j-th request with weight 1 / (j (j + 1)), so that a long good time
does not blunt the test, as in the e-detectors of Shin, Ramdas and Rinaldo 2024 (arXiv 2203.03532).

Standard library only, a dozen multiplications a request. Not for several threads at once without a lock.
"""

from __future__ import annotations

import math

from confroute.errors import ConfigurationError, InputError

STEPS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
"""The changes that are bet on, in log-odds of the mean."""


class EscalationDrift:
    """Tests, without labels, whether requests are escalated as often as the calibration says.

    Either direction is drift: more escalations break the budget, fewer may mean that the edge has become wrongly sure.
    The rate is only known from *n_calibration* items and a threshold chosen on them, so the test is against all rates
    within sqrt(ln(4 / alpha) / (2 n_calibration)) of *expected_rate*, where the true one lies with probability
    1 - alpha/2 whichever threshold was chosen (Dvoretzky-Kiefer-Wolfowitz, constant by Massart 1990); alpha/2 is left
    for the stream. A change within that margin is not seen: 0.077 at 500 items and alpha 0.01.

    Args:
        expected_rate: the share of the calibration items that was escalated, 1 - `Certificate.kept`.
        n_calibration: how many items these were.
        alpha: the probability that it is *ever* raised though nothing has changed.
    """

    def __init__(self, expected_rate: float, n_calibration: int, *, alpha: float = 0.01) -> None:
        _check("expected_rate", expected_rate, closed=True)
        _check("alpha", alpha)
        if n_calibration < 1:
            raise ConfigurationError(f"n_calibration must be at least 1, not {n_calibration!r}.")
        margin = math.sqrt(math.log(4 / alpha) / (2 * n_calibration))
        self.rates = (max(0.0, expected_rate - margin), min(1.0, expected_rate + margin))
        """The escalation rates that the calibration is compatible with."""
        low, high = self.rates
        # A mean of at least `low` is one of at most 1 - low of what was not escalated.
        self._more = _Wealth(high) if high < 1 else None
        self._fewer = _Wealth(1 - low) if low > 0 else None
        self._needed = 2 / alpha
        self.detected = False

    def update(self, escalated: bool) -> bool:
        """Takes the next request; returns whether drift has been detected, now or before."""
        if not self.detected:
            x = float(escalated)
            sides = [wealth.after(value) for wealth, value in ((self._more, x), (self._fewer, 1 - x)) if wealth]
            self.detected = bool(sides) and sum(sides) / len(sides) >= self._needed
        return self.detected


class AuditDrift:
    """Tests whether the mean loss of all requests is still at most *target*, from those drawn for an audit.

    The audit draws requests at random, say 1 % of them, and asks the cloud in the shadow for those that were kept. An
    escalated request that is drawn costs nothing, and its loss of 0 **must** be given too: the promise is about kept
    *and* wrong among all requests, not among the kept ones.

    Once it is raised, the certificate no longer holds: recalibrate. *alpha* is the probability that it is ever raised
    though the mean loss is at most *target*.
    """

    def __init__(self, target: float, *, alpha: float = 0.01) -> None:
        _check("target", target)
        _check("alpha", alpha)
        self._wealth = _Wealth(target)
        self._needed = 1 / alpha
        self.detected = False

    def update(self, loss: float) -> bool:
        """Takes the loss of the next audited request, in [0, 1]; returns whether the promise is broken, now or before.

        Raises InputError for any other loss, NaN included.
        """
        if not 0 <= loss <= 1:
            raise InputError(f"A loss must be in [0, 1], not {loss!r}. A request that was escalated has a loss of 0.")
        if not self.detected:
            self.detected = self._wealth.after(loss) >= self._needed
        return self.detected


class _Wealth:
    """What betting on a mean above *most* has made of 1."""

    __slots__ = ("_bets", "_most", "_seen", "_staked")

    def __init__(self, most: float) -> None:
        self._most = most
        odds = most / (1 - most)
        alternatives = [odds * math.exp(step) / (1 + odds * math.exp(step)) for step in STEPS]
        # With this size a bet on 0 or 1 is the likelihood ratio of the alternative.
        self._bets = [(mean - most) / (most * (1 - most)) for mean in alternatives]
        self._staked = [0.0] * len(STEPS)
        self._seen = 0

    def after(self, value: float) -> float:
        self._seen += 1
        begun = 1 / (self._seen * (self._seen + 1))
        gain = value - self._most
        self._staked = [(s + begun) * (1 + bet * gain) for s, bet in zip(self._staked, self._bets, strict=True)]
        # What is not staked yet waits for later changes.
        return sum(self._staked) / len(STEPS) + 1 / (self._seen + 1)


def _check(name: str, value: float, *, closed: bool = False) -> None:
    if not (0 <= value <= 1 if closed else 0 < value < 1):
        raise ConfigurationError(f"{name} must be between 0 and 1, not {value!r}.")
