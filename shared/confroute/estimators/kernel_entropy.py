"""How widely the samples are spread when meanings may be near each other."""

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
class KernelLanguageEntropy(Estimator):
    """The von Neumann entropy of a heat kernel over the samples (Nikitin et al. 2024, arXiv 2405.20003).

    u = -(1 / ln N) sum_k m_k ln m_k, m_k the eigenvalues of K_ij / (N sqrt(K_ii K_jj)), K = exp(-t L), L = D - W, W_ij
    twice the similarity of samples i and j (the paper adds both directions of entailment), D its row sums. Meanings
    that are near each other count for less than meanings apart, where semantic entropy knows only same and different.

    In [0, 1]; higher is more uncertain. Few samples that are all alike are not yet at 0: the kernel joins them only
    as N t grows. Cost: N samples of the edge, at most N(N-1)/2 comparisons, the eigenvalues of
    an N by N matrix. NaN with fewer than two samples, or where the served answer or all samples are empty.

    >>> round(KernelLanguageEntropy().score("Paris", ["Paris", "Lyon", "Rome"]), 6)  # nothing alike: ln N / ln N
    1.0
    """

    name = "kernel_entropy"
    unit = "share"
    equivalence: Equivalence = field(default_factory=StructuredEquivalence)
    t: float = 0.3

    def __post_init__(self) -> None:
        require("numpy", extra="graph", wanted_by="KernelLanguageEntropy")

    def estimate(self, evidence: Evidence) -> Estimate:
        n = len(evidence.samples)
        if n < 2 or not measurable(evidence):
            return Estimate(uncertainty=math.nan)
        np: Any = import_module("numpy")
        texts = [sample.text for sample in evidence.samples]
        weights = 2.0 * np.array(matrix(texts, self.equivalence, question=evidence.question))  # (n, n)
        values, vectors = np.linalg.eigh(np.diag(weights.sum(axis=1)) - weights)
        kernel = (vectors * np.exp(-self.t * values)) @ vectors.T
        scale = 1.0 / np.sqrt(np.diag(kernel))
        masses = np.linalg.eigvalsh(scale[:, None] * kernel * scale / n)
        entropy = math.fsum(-mass * math.log(mass) for mass in masses.tolist() if mass > 1e-12)
        return Estimate(uncertainty=clipped(entropy / math.log(n), high=1.0))
