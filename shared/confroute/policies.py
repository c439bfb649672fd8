"""Policies: what to do with an answer of a given confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from confroute.errors import ConfigurationError


class Policy(Protocol):
    """Decides on a confidence in [0, 1]. It is never asked about NaN: no signal always escalates."""

    @property
    def threshold(self) -> float | None:
        """What the record shows as the least confidence served, if there is one such number."""
        ...

    def serves(self, confidence: float) -> bool:
        """Whether the edge's answer is good enough."""
        ...


@dataclass(frozen=True, slots=True)
class Threshold:
    """Serves the edge's answer at a confidence of *threshold* or more. 0 keeps all that has a signal; anything
    above 1 escalates everything.

    >>> Threshold(0.7).serves(0.7)
    True
    """

    threshold: float

    def __post_init__(self) -> None:
        try:
            valid = self.threshold >= 0
        except TypeError:
            valid = False
        if not valid:
            raise ConfigurationError(f"threshold must be a number of at least 0, not {self.threshold!r}.")

    def serves(self, confidence: float) -> bool:
        return confidence >= self.threshold
