"""How far the samples lie from their centre in the graph of their similarities."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from confroute.equivalence import Equivalence, StructuredEquivalence
from confroute.errors import require
from confroute.estimators.base import Estimator, measurable
from confroute.estimators.eigenvalues import laplacian_spectrum
from confroute.records import Estimate, Evidence


@dataclass(frozen=True, slots=True)
class Eccentricity(Estimator):
    """The distance of the samples' spectral embeddings from their mean, "Ecc" (Lin et al. 2024, arXiv 2305.19187).

    u = || (v_1 - v, ..., v_N - v) ||_2, v_i the i-th entries of the normalised Laplacian's eigenvectors with an
    eigenvalue below *cutoff*, v their mean over i; the norm is over all entries.

    From 0 (all alike) up to sqrt(N - 1); higher is more uncertain. Cost: as `EigenvalueSum`. NaN with fewer than two
    samples, or where the served answer or all samples are empty.

    >>> round(Eccentricity().score("Paris", ["Paris", "Paris", "Lyon", "Lyon"]), 6)  # two groups: one direction
    1.0
    """

    name = "eccentricity"
    unit = "nats"
    equivalence: Equivalence = field(default_factory=StructuredEquivalence)
    cutoff: float = 0.9

    def __post_init__(self) -> None:
        require("numpy", extra="graph", wanted_by="Eccentricity")

    def estimate(self, evidence: Evidence) -> Estimate:
        if len(evidence.samples) < 2 or not measurable(evidence):
            return Estimate(uncertainty=math.nan)
        texts = [sample.text for sample in evidence.samples]
        values, vectors = laplacian_spectrum(texts, self.equivalence, evidence.question)
        kept = vectors[:, [value < self.cutoff for value in values]]  # (n, k)
        return Estimate(uncertainty=float(((kept - kept.mean(axis=0)) ** 2).sum() ** 0.5))
