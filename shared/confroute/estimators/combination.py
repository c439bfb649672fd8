"""Several estimators weighed together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from confroute.errors import ConfigurationError, InputError, require
from confroute.estimators.base import Estimator
from confroute.records import Estimate, Evidence, FollowUp


@dataclass(frozen=True, slots=True)
class LogisticCombination(Estimator):
    """A logistic regression on other estimators' uncertainties, made by `fit` on answers known to be right or wrong.

    u = 1 / (1 + exp(-(bias + sum_i w_i u_i))), an estimate of the probability that the answer is wrong. Averages of
    raw scores lose to their best part.

    In [0, 1]; higher is more uncertain. Cost: that of its parts, which share one set of samples. NaN where one of its
    parts is not finite.

    >>> from confroute.estimators import Disagreement, VoteShare
    >>> both = LogisticCombination((Disagreement(), VoteShare()), weights=(1.0, 1.0), bias=-1.0)
    >>> both.score("Paris", ["Paris", "Lyon"])  # 1 / (1 + exp(-(-1 + 0.5 + 0.5)))
    0.5
    """

    name = "logistic_combination"
    unit = "share"
    estimators: tuple[Estimator, ...]
    weights: tuple[float, ...]
    bias: float

    def __post_init__(self) -> None:
        if not self.estimators or len(self.estimators) != len(self.weights):
            raise ConfigurationError(
                f"estimators and weights must be as many, and at least one, not {len(self.estimators)} and "
                f"{len(self.weights)}."
            )

    @classmethod
    def fit(
        cls, estimators: Sequence[Estimator], evidence: Sequence[Evidence], wrong: Sequence[bool]
    ) -> LogisticCombination:
        """Fit weights to *evidence*, where ``wrong[i]`` is whether its answer was wrong; with scikit-learn (an L2
        penalty of 1 on standardised uncertainties). Evidence without a signal from all *estimators* is left out.

        Do not calibrate a threshold on the same evidence: its fit is too good there.

        Raises:
            InputError: fewer than ten are left, or all of them are right, or all wrong.
        """
        if not estimators:
            raise ConfigurationError("There are no estimators to combine; give at least one.")
        require("sklearn", extra="train", wanted_by="LogisticCombination.fit")
        np: Any = import_module("numpy")
        model: Any = import_module("sklearn.linear_model").LogisticRegression()
        columns = [[estimate.uncertainty for estimate in part.estimate_all(evidence)] for part in estimators]
        features = np.array(columns, dtype=float).T.reshape(len(evidence), len(estimators))  # (n, k)
        target = np.array(wrong, dtype=bool)
        if len(target) != len(features):
            raise InputError(f"There must be one verdict for each piece of evidence: {len(target)}, {len(features)}.")
        kept = np.isfinite(features).all(axis=1)
        features, target = features[kept], target[kept]
        if len(target) < 10 or target.all() or not target.any():
            raise InputError(
                f"Of {len(kept)} answers {len(target)} have a signal from all estimators, {int(target.sum())} of them "
                "wrong; at least ten are needed, both right and wrong ones."
            )
        scale = features.std(axis=0)
        scale[scale == 0] = 1.0
        center = features.mean(axis=0)
        fitted = model.fit((features - center) / scale, target)
        weights = fitted.coef_[0] / scale
        return cls(
            tuple(estimators),
            weights=tuple(float(weight) for weight in weights),
            bias=float(fitted.intercept_[0] - weights @ center),
        )

    @property
    def needs_samples(self) -> bool:
        return any(part.needs_samples for part in self.estimators)

    @property
    def needs_alternatives(self) -> int:
        return max(part.needs_alternatives for part in self.estimators)

    @property
    def settles_alone(self) -> bool:
        return True

    def follow_ups(self, evidence: Evidence) -> Mapping[str, FollowUp]:
        return {name: question for part in self.estimators for name, question in part.follow_ups(evidence).items()}

    def estimate(self, evidence: Evidence) -> Estimate:
        parts = [part.estimate(evidence).uncertainty for part in self.estimators]
        return Estimate(uncertainty=self._combined(parts) if all(map(math.isfinite, parts)) else math.nan)

    def bounds(self, evidence: Evidence, remaining: int) -> tuple[float, float] | None:
        lows: list[float] = []
        highs: list[float] = []
        for part, weight in zip(self.estimators, self.weights, strict=True):
            bounds = part.bounds(evidence, remaining)
            if bounds is None or not all(map(math.isfinite, bounds)):
                return None
            low, high = bounds if weight >= 0 else bounds[::-1]
            lows.append(low)
            highs.append(high)
        return self._combined(lows), self._combined(highs)

    def _combined(self, parts: Sequence[float]) -> float:
        logit = self.bias + math.fsum(weight * part for weight, part in zip(self.weights, parts, strict=True))
        # Written with tanh, which does not overflow.
        return 0.5 * (1.0 + math.tanh(logit / 2))
