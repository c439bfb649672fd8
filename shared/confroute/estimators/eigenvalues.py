"""How many meanings the samples have, counted continuously."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from confroute.equivalence import Equivalence, StructuredEquivalence, matrix
from confroute.errors import require
from confroute.estimators.base import Estimator, clipped, measurable
from confroute.records import Estimate, Evidence


@dataclass(frozen=True, slots=True)
class EigenvalueSum(Estimator):
    """The sum of the graph Laplacian's eigenvalues below one, "EigV" (Lin et al. 2024, arXiv 2305.19187).

    u = sum_k max(0, 1 - lambda_k), lambda_k the eigenvalues of L = I - D^(-1/2) W D^(-1/2), W_ij the similarity of
    samples i and j, D its row sums. With a yes-or-no similarity that is transitive it is the number of meanings.

    From 1 (all alike) to N; higher is more uncertain. Cost: N samples of the edge, at most N(N-1)/2 comparisons, the
    eigenvalues of an N by N matrix. NaN with fewer than two samples, or where the served answer or all samples are
    empty.

    >>> round(EigenvalueSum().score("Paris", ["Paris", "Paris", "Lyon", "Rome"]), 6)
    3.0
    """

    name = "eig_v"
    unit = "count"
    equivalence: Equivalence = field(default_factory=StructuredEquivalence)

    def __post_init__(self) -> None:
        require("numpy", extra="graph", wanted_by="EigenvalueSum")

    def estimate(self, evidence: Evidence) -> Estimate:
        if len(evidence.samples) < 2 or not measurable(evidence):
            return Estimate(uncertainty=math.nan)
        values, _ = laplacian_spectrum(
            [sample.text for sample in evidence.samples], self.equivalence, evidence.question
        )
        return Estimate(uncertainty=clipped(math.fsum(max(0.0, 1.0 - value) for value in values), low=1.0))


def laplacian_spectrum(texts: list[str], equivalence: Equivalence, question: str) -> tuple[list[float], Any]:
    """Eigenvalues (n,), ascending, and eigenvectors (n, n), in columns, of the normalised graph Laplacian."""
    np: Any = import_module("numpy")
    weights = np.array(matrix(texts, equivalence, question=question))  # (n, n)
    # Each row has its diagonal's 1, so that no degree is 0.
    scale = 1.0 / np.sqrt(weights.sum(axis=1))
    laplacian = np.eye(len(texts)) - scale[:, None] * weights * scale
    values, vectors = np.linalg.eigh(laplacian)
    return [float(value) for value in values], vectors
