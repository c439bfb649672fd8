"""The equation of each estimator's docstring, recomputed another way on random answers."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from confroute import Disagreement, Estimator, Evidence, Sample, SemanticEntropy
from confroute.errors import ConfigurationError
from confroute.estimators import (
    SAR,
    CoCoA,
    DegreeMatrix,
    Eccentricity,
    EigenvalueSum,
    KernelLanguageEntropy,
    LexicalSimilarity,
    LogisticCombination,
    LogprobQuantile,
    Margin,
    MeanLogprob,
    SemanticDensity,
    SequenceNLL,
    TokenEntropy,
)
from confroute.testing import says
from tests.table import Table


@dataclass(frozen=True)
class Case:
    """Random samples, their similarity matrix (n, n), and the same for the answer (n,)."""

    evidence: Evidence
    table: Table
    w: Any
    to_answer: Any
    logprobs: list[list[float]]


def case(seed: int) -> Case:
    rng = random.Random(seed)
    names = [f"text{i}" for i in range(6)]
    table = Table({frozenset((a, b)): rng.random() for i, a in enumerate(names) for b in names[:i]})
    texts = [rng.choice(names) for _ in range(rng.randint(2, 8))]
    logprobs = [[-rng.expovariate(0.5) for _ in range(rng.randint(1, 5))] for _ in texts]
    samples = tuple(says(text, *own) for text, own in zip(texts, logprobs, strict=True))
    own = [-rng.expovariate(0.5) for _ in range(4)]
    places = tuple(
        tuple((str(j), p) for j, p in enumerate(sorted((-rng.expovariate(0.5) for _ in range(10)), reverse=True)))
        for _ in own
    )
    answer = Sample(text=rng.choice(names), token_logprobs=tuple(own), alternatives=places)
    w = np.array([table.similarity([(a, b) for b in texts], question="") for a in texts])
    to_answer = np.array(table.similarity([(answer.text, text) for text in texts], question=""))
    return Case(Evidence(question="", answer=answer, samples=samples), table, w, to_answer, logprobs)


seeds = pytest.mark.parametrize("seed", range(25))


def value(estimator: Estimator, made: Case) -> float:
    return estimator.estimate(made.evidence).uncertainty


@seeds
def test_single_pass(seed: int) -> None:
    """Sum, mean and quantiles of the answer's logprobs; entropy and margin of its alternatives."""
    made = case(seed)
    own = np.array(made.evidence.answer.token_logprobs)
    places = np.exp([[p for _, p in place] for place in made.evidence.answer.alternatives or ()])  # (t, 10)
    assert value(SequenceNLL(), made) == pytest.approx(-own.sum())
    assert value(MeanLogprob(), made) == pytest.approx(-own.mean())
    for q in (0.0, 0.1, 0.5, 1.0):
        assert value(LogprobQuantile(q=q), made) == pytest.approx(-np.quantile(own, q))
    for k in (2, 5, 10):
        p = places[:, :k] / places[:, :k].sum(axis=1, keepdims=True)
        assert value(TokenEntropy(k=k), made) == pytest.approx(-(p * np.log(p)).sum(axis=1).mean())
    assert value(Margin(), made) == pytest.approx(1 - (places[:, 0] - places[:, 1]).mean())


@seeds
def test_graph_scores(seed: int) -> None:
    """DegMat, EigV, Ecc and the kernel's entropy from the similarity matrix, by other formulas than the code's."""
    linalg = pytest.importorskip("scipy.linalg")
    made = case(seed)
    n, w = len(made.w), made.w
    degrees = np.diag(w.sum(axis=1))
    assert value(DegreeMatrix(made.table), made) == pytest.approx(np.trace(n * np.eye(n) - degrees) / n**2)
    off = (w.sum() - n) / (n * (n - 1))
    assert value(LexicalSimilarity(made.table), made) == pytest.approx(1 - off)
    root = linalg.fractional_matrix_power(degrees, -0.5)
    eigenvalues, vectors = linalg.eigh(np.eye(n) - root @ w @ root)
    assert value(EigenvalueSum(made.table), made) == pytest.approx(sum(max(0, 1 - v) for v in eigenvalues))
    kept = vectors[:, eigenvalues < 0.9]
    assert value(Eccentricity(made.table), made) == pytest.approx(np.linalg.norm(kept - kept.mean(axis=0)))
    double = 2 * w
    kernel = linalg.expm(-0.3 * (np.diag(double.sum(axis=1)) - double))
    normal = kernel / np.sqrt(np.outer(np.diag(kernel), np.diag(kernel))) / n
    masses = [m for m in linalg.eigvalsh(normal) if m > 1e-12]
    expected = -sum(m * math.log(m) for m in masses) / math.log(n)
    assert value(KernelLanguageEntropy(made.table), made) == pytest.approx(expected, abs=1e-9)


@seeds
def test_products_and_densities(seed: int) -> None:
    """CoCoA is the answer's own uncertainty times the mean dissimilarity; density weighs distinct texts by likelihood;
    SAR helps each sample by those like it."""
    made = case(seed)
    dissimilarity = (1 - made.to_answer).mean()
    for own in (MeanLogprob(), SequenceNLL(), TokenEntropy()):
        assert value(CoCoA(made.table, own=own), made) == pytest.approx(value(own, made) * dissimilarity)

    likeliest: dict[str, float] = {}
    for sample in (made.evidence.answer, *made.evidence.samples):
        p = float(np.exp(np.mean(sample.token_logprobs or ())))
        likeliest[sample.text] = max(p, likeliest.get(sample.text, 0.0))
    near = made.table.similarity([(made.evidence.answer.text, text) for text in likeliest], question="")
    density = np.dot(list(likeliest.values()), near) / sum(likeliest.values())
    assert value(SemanticDensity(made.table), made) == pytest.approx(1 - density)

    p = np.exp([sum(own) for own in made.logprobs])
    helped = p + (made.w @ p - p) / 0.001
    assert value(SAR(made.table, tokens=False), made) == pytest.approx(-np.log(helped).mean())


def test_sar_weighs_tokens_by_their_relevance() -> None:
    """Of "It is Paris" only the last word tells samples apart under this table, so only its logprob counts."""
    table = Table(
        {
            frozenset(("It is Paris", "Paris")): 1.0,
            frozenset(("It is Paris", " is Paris")): 1.0,
            frozenset(("It is Paris", "It Paris")): 1.0,
            frozenset(("It is Paris", "It is")): 0.0,
            frozenset(("Lyon", "")): 0.0,
            frozenset(("It is Paris", "Lyon")): 0.0,
        }
    )
    paris = Sample(text="It is Paris", tokens=("It", " is", " Paris"), token_logprobs=(-5.0, -7.0, -1.0))
    lyon = Sample(text="Lyon", tokens=("Lyon",), token_logprobs=(-3.0,))
    assert SAR(table).score(paris, [paris, lyon]) == pytest.approx(2.0)


def clustered(counts: Sequence[int], rng: random.Random) -> tuple[Evidence, list[list[float]]]:
    """Samples of as many meanings as counts, and the mean logprobs in each."""
    logs = [[-rng.expovariate(0.5) for _ in range(count)] for count in counts]
    samples = tuple(says(f"meaning{i}", log) for i, own in enumerate(logs) for log in own)
    return Evidence(question="", answer=says("meaning0", -1.0), samples=samples), logs


@seeds
def test_semantic_entropies(seed: int) -> None:
    """Discrete, likelihood-weighted and eq. 2's mean over clusters, from the clusters' masses; shifting all logprobs by
    anything changes none; merging two clusters raises neither of the first two."""
    rng = random.Random(seed)
    counts = [rng.randint(1, 4) for _ in range(rng.randint(2, 5))]
    evidence, logs = clustered(counts, rng)
    shares = np.array(counts) / sum(counts)
    mass = np.array([np.exp(own).sum() for own in logs])
    p = mass / mass.sum()
    expected = {"discrete": -(shares * np.log(shares)).sum(), "likelihood": -(p * np.log(p)).sum()}
    expected["cluster_mean"] = -np.log(p).mean()
    merged = Evidence(
        question="",
        answer=evidence.answer,
        samples=tuple(
            says("meaning0" if sample.text == "meaning1" else sample.text, *(sample.token_logprobs or ()))
            for sample in evidence.samples
        ),
    )
    for weighting, entropy in expected.items():
        estimator = SemanticEntropy(weighting=weighting)  # type: ignore[arg-type]
        made = estimator.estimate(evidence)
        assert made.uncertainty == pytest.approx(entropy)
        assert made.clusters == len(counts)
        for shift in (-800.0, 3.0):
            shifted = tuple(says(s.text, *(x + shift for x in s.token_logprobs or ())) for s in evidence.samples)
            moved = estimator.estimate(Evidence(question="", answer=evidence.answer, samples=shifted))
            assert moved.uncertainty == pytest.approx(entropy)
        if weighting != "cluster_mean":
            assert estimator.estimate(merged).uncertainty <= made.uncertainty + 1e-12
    assert 0 <= expected["discrete"] <= math.log(sum(counts)) + 1e-12


@pytest.mark.parametrize(
    "make",
    [
        lambda: LogprobQuantile(q=1.5),
        lambda: TokenEntropy(k=1),
        lambda: SAR(t=0.0),
        lambda: CoCoA(own=Disagreement()),
        lambda: LogisticCombination((Disagreement(),), weights=(), bias=0.0),
        lambda: SemanticEntropy(weighting="votes"),  # type: ignore[arg-type]
    ],
)
def test_settings_that_mean_nothing(make: Any) -> None:
    """Each is refused when it is made, not when it is asked."""
    with pytest.raises(ConfigurationError):
        make()
