"""What the battery for estimators finds; what goes missing is in `test_missing_parts`."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Iterable, Mapping

import pytest

from confroute import Disagreement, Estimate, Estimator, Evidence
from confroute.estimators import OptionProbability
from confroute.estimators.base import clipped
from confroute.records import FollowUp
from confroute.testing import ESTIMATOR_LAWS, check_estimator

NAMED = "it has a name and a unit"
PURE = "the same evidence gives the same number"
MEASURES = "some of the random answers can be measured"
MISSING = "what is missing is never taken for confidence"
BOUNDED = "bounds hold whatever the rest of the samples says"
NO_SIGNAL = Estimate(uncertainty=math.nan)


def by_class(value: object) -> str | None:
    return type(value).__name__ if isinstance(value, Estimator) else None


class Faulty(Disagreement):
    """An estimator that breaks one law at a time."""

    __slots__ = ()
    fault: str = ""
    calls = random.Random(0)

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "" if self.fault == NAMED else "faulty"

    @property
    def needs_samples(self) -> bool:
        return self.fault != "samples are needed or not looked at"

    @property
    def identity(self) -> str:
        return str(self.calls.random()) if self.fault == "a copy has the same identity" else super().identity

    def estimate(self, evidence: Evidence) -> Estimate:
        u = Disagreement.estimate(self, evidence).uncertainty
        first = evidence.samples[0].mean_logprob if evidence.samples else 0.0
        number = {
            "its number is in the range of its unit": u + 1,
            PURE: u * self.calls.random(),
            MEASURES: math.nan,
            "a blank answer has no uncertainty": 0.0 if evidence.samples and math.isnan(u) else u,
            "the order of the samples does not matter": u * math.exp(first),
            MISSING: u * (evidence.answer.tokens is not None),
            "logprobs around -800 still give a number": u if first > -700 else math.nan,
        }
        return Estimate(uncertainty=number.get(self.fault, u))

    def bounds(self, evidence: Evidence, remaining: int) -> tuple[float, float] | None:
        del evidence, remaining
        return (0.4, 0.5) if self.fault == BOUNDED else None

    def confidence(self, uncertainty: float) -> float:
        return uncertainty if self.fault == "confidence falls as uncertainty rises" else clipped(1 - uncertainty)


@pytest.mark.parametrize("law", ESTIMATOR_LAWS)
def test_battery_finds_what_breaks_a_law(law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each law has an estimator that breaks it and is told so by the law's name; unbroken, the same one passes."""
    check_estimator(Faulty())
    monkeypatch.setattr(Faulty, "fault", law)
    with pytest.raises(AssertionError, match=f"Faulty breaks the law '{law}'"):
        check_estimator(Faulty())


def test_battery_refuses_to_see_nothing() -> None:
    """An estimator that measures none of the random answers is not passed, but told to bring its own."""
    with pytest.raises(AssertionError, match="none of 100 random answers; give it a draw of its own"):
        check_estimator(OptionProbability(("spam", "ham")))


_OPTIMIZED = """
from confroute import Disagreement, Estimate
from confroute.testing import check_estimator

class Doubled(Disagreement):
    def estimate(self, evidence):
        return Estimate(uncertainty=2 * Disagreement.estimate(self, evidence).uncertainty)

try:
    check_estimator(Doubled())
except AssertionError as broken:
    print(__debug__, broken)
"""


def test_laws_hold_under_python_o() -> None:
    """An interpreter that drops assert statements drops no law."""
    command = [sys.executable, "-O", "-c", _OPTIMIZED]
    done = subprocess.run(command, timeout=60, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.startswith("False Doubled breaks the law 'its number is in the range of its unit'. Its unit is")


class Nameless(Estimator):
    unit = "share"

    def estimate(self, evidence: Evidence) -> Estimate:
        return Estimate(uncertainty=0.5)


class Unitless(Nameless):
    name = "unitless"
    unit = None  # pyright: ignore[reportAssignmentType]


class InBits(Disagreement):
    unit = "bits"  # pyright: ignore[reportAssignmentType]


class Dividing(Disagreement):
    """Divides by the number of samples without a look at it."""

    def estimate(self, evidence: Evidence) -> Estimate:
        unlike = sum(sample.text != evidence.answer.text for sample in evidence.samples)
        share = unlike / len(evidence.samples)
        return Estimate(uncertainty=share) if evidence.answer.text.strip() else NO_SIGNAL


class Numberless(Disagreement):
    def estimate(self, evidence: Evidence) -> Estimate:
        return Estimate(uncertainty=None)  # pyright: ignore[reportArgumentType]


class Raising(Disagreement):
    def follow_ups(self, evidence: Evidence) -> Mapping[str, FollowUp]:
        raise LookupError("no prompt")


@pytest.mark.parametrize(
    ("estimator", "law", "says"),
    [
        (Nameless(), NAMED, 'set `name`, such as name = "nameless"'),
        (Unitless(), NAMED, 'set `unit` to "share", "nats", "count" or "score"; it is None'),
        (InBits(), NAMED, 'set `unit` to "share", "nats", "count" or "score"; it is \'bits\''),
        (Dividing(), "samples are needed or not looked at", "It raised ZeroDivisionError('division by zero')"),
        (Numberless(), "its number is in the range of its unit", "It raised TypeError("),
        (Raising(), MISSING, "It raised LookupError('no prompt')"),
    ],
    ids=by_class,
)
def test_what_is_raised_names_the_law(estimator: Estimator, law: str, says: str) -> None:
    """Whatever an estimator raises comes out as the AssertionError of the law that was tried, with what to do."""
    with pytest.raises(AssertionError) as caught:
        check_estimator(estimator)
    assert str(caught.value).startswith(f"{type(estimator).__name__} breaks the law '{law}'. ")
    assert says in str(caught.value)


class Narrow(Disagreement):
    """Its bounds take *remaining* samples for one less at either end, where more than *sure* of them remain."""

    __slots__ = ()
    ends = (1, 1)
    sure = 0

    def bounds(self, evidence: Evidence, remaining: int) -> tuple[float, float] | None:
        bounds = Disagreement.bounds(self, evidence, remaining)
        if bounds is None or remaining <= self.sure:
            return bounds
        one = 1 / (len(evidence.samples) + remaining)
        return bounds[0] + self.ends[0] * one, bounds[1] - self.ends[1] * one


@pytest.mark.parametrize("ends", [(1, 0), (0, 1)])
@pytest.mark.parametrize("sure", range(6))
def test_bounds_one_sample_too_narrow(ends: tuple[int, int], sure: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds are held against the likest and the unlikest rest that there can be, not only against a random one."""
    monkeypatch.setattr(Narrow, "ends", ends)
    monkeypatch.setattr(Narrow, "sure", sure)
    for seed in range(3):
        with pytest.raises(AssertionError, match=BOUNDED):
            check_estimator(Narrow(), seed=seed)


class Falling(Estimator):
    """Its bounds, which are exact, leave out where it stands."""

    name = "falling"
    unit = "share"

    def estimate(self, evidence: Evidence) -> Estimate:
        n = len(evidence.samples)
        return Estimate(uncertainty=1 / n) if n and evidence.answer.text.strip() else NO_SIGNAL

    def bounds(self, evidence: Evidence, remaining: int) -> tuple[float, float] | None:
        n = len(evidence.samples) + remaining
        return (1 / n, 1 / n) if n else None


class Fragile(Disagreement):
    """Gives bounds, though an empty sample leaves it without a number."""

    def estimate(self, evidence: Evidence) -> Estimate:
        said = all(sample.text for sample in evidence.samples)
        return Disagreement.estimate(self, evidence) if said else NO_SIGNAL


@pytest.mark.parametrize(("estimator", "says"), [(Falling(), "so far"), (Fragile(), "all empty")], ids=by_class)
def test_bounds_hold_now_and_for_empty_samples(estimator: Estimator, says: str) -> None:
    """Bounds hold the estimate of the samples so far, and where samples to come could leave none, there are none."""
    with pytest.raises(AssertionError, match=f"{BOUNDED}.*{says}"):
        check_estimator(estimator)


class CopyingTheFirst(Disagreement):
    def estimate_all(self, evidence: Iterable[Evidence]) -> list[Estimate]:
        estimates = Disagreement.estimate_all(self, evidence)
        return estimates[:1] * len(estimates)


class LosingTheLast(Disagreement):
    def estimate_all(self, evidence: Iterable[Evidence]) -> list[Estimate]:
        return Disagreement.estimate_all(self, evidence)[:-1]


class Remembering(Estimator):
    """Counts its calls and remembers the greatest number that it has seen."""

    name = "remembering"
    unit = "share"

    def __init__(self) -> None:
        self.calls = 0
        self.greatest = 0.0

    def estimate(self, evidence: Evidence) -> Estimate:
        u = Disagreement().estimate(evidence).uncertainty
        self.calls += 1
        self.greatest = max(self.greatest, u)
        return Estimate(uncertainty=self.told(u))

    def told(self, u: float) -> float:
        return u


class OfTheGreatest(Remembering):
    def told(self, u: float) -> float:
        return u / self.greatest if u > 0 else u


class Alternating(Remembering):
    def told(self, u: float) -> float:
        return u / (1 + self.calls % 2)


@pytest.mark.parametrize("draws", [99, 100])
@pytest.mark.parametrize("made", [CopyingTheFirst, LosingTheLast, OfTheGreatest, Alternating])
def test_others_do_not_matter(made: type[Estimator], draws: int) -> None:
    """A number is that of its evidence alone, whatever was estimated before, or stands beside it in a batch."""
    check_estimator(Remembering(), draws=draws)
    with pytest.raises(AssertionError, match=PURE):
        check_estimator(made(), draws=draws)
