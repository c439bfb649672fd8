"""What an estimator is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from confroute.records import Estimate, Evidence


class Estimator(ABC):
    """Measures how uncertain the edge is about the answer it would serve. **Higher is more uncertain**; NaN means
    that it could not be measured, and NaN always escalates.

    A subclass writes `estimate` and says in class attributes what it is: `name`; `version`, raised whenever the same
    evidence would get another number, since a threshold belongs to one version; `unit`, "nats" (0 to infinity) or
    "share" (0 to 1); `needs_samples`, whether it looks at samples besides the served answer.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    unit: ClassVar[Literal["nats", "share"]]
    needs_samples: ClassVar[bool] = True

    @abstractmethod
    def estimate(self, evidence: Evidence) -> Estimate:
        """The uncertainty of ``evidence.answer``. Pure: the same evidence gives the same number."""

    @property
    def identity(self) -> str:
        """``name@version``, with the settings that change the number."""
        return f"{self.name}@{self.version}"

    def confidence(self, uncertainty: float) -> float:
        """A confidence in [0, 1] without calibration: 1 - u for a share, exp(-u) for nats, NaN for NaN.

        It orders answers as the uncertainty does, reversed, and reads well (an agreement share, a geometric mean
        token probability, one over the effective number of meanings), but it is **not** the probability of being
        right.
        """
        if math.isnan(uncertainty):
            return math.nan
        confidence = 1.0 - uncertainty if self.unit == "share" else math.exp(-uncertainty)
        # Rounded, so that one agreeing sample of ten is 0.1 and reaches a threshold of 0.1; 1 - 0.9 is less.
        return round(min(1.0, max(0.0, confidence)), 12)
