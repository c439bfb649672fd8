"""Laws that all estimators obey."""

from __future__ import annotations

import inspect
import math
import random

import pytest

from confroute import Disagreement, Estimator, Evidence, MeanLogprob, Sample, SemanticEntropy
from confroute.equivalence import ExactEquivalence, TextEquivalence
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
    OptionProbability,
    PTrue,
    SemanticDensity,
    SequenceNLL,
    TokenEntropy,
    Verbalized,
    VoteShare,
)
from confroute.testing import check_estimator, random_evidence, says

ESTIMATORS: dict[str, Estimator] = {
    "mean_logprob@1": MeanLogprob(),
    "sequence_nll@1": SequenceNLL(),
    "logprob_quantile@1": LogprobQuantile(),
    "logprob_quantile@1(q=0.25)": LogprobQuantile(q=0.25),
    "token_entropy@1": TokenEntropy(),
    "margin@1": Margin(),
    "option_probability@2(options=e814d2ba)": OptionProbability(("yes", "no", "True", "False")),
    "disagreement@1(structured@2(text@6))": Disagreement(),
    "vote_share@1(structured@2(text@6))": VoteShare(),
    "semantic_entropy@2(structured@2(text@6))": SemanticEntropy(),
    "semantic_entropy@2(exact@2)": SemanticEntropy(equivalence=ExactEquivalence()),
    "semantic_entropy@2(weighting=likelihood,structured@2(text@6))": SemanticEntropy(weighting="likelihood"),
    "semantic_entropy@2(weighting=cluster_mean,structured@2(text@6))": SemanticEntropy(weighting="cluster_mean"),
    "lexical_similarity@1(rouge_l@1)": LexicalSimilarity(),
    "deg_mat@1(structured@2(text@6))": DegreeMatrix(),
    "eig_v@1(structured@2(text@6))": EigenvalueSum(),
    "eccentricity@1(structured@2(text@6))": Eccentricity(),
    "kernel_entropy@1(structured@2(text@6))": KernelLanguageEntropy(),
    "cocoa@1(structured@2(text@6),mean_logprob@1)": CoCoA(),
    "cocoa@1(structured@2(text@6),sequence_nll@1)": CoCoA(own=SequenceNLL()),
    "cocoa@1(structured@2(text@6),token_entropy@1)": CoCoA(own=TokenEntropy()),
    "semantic_density@1(structured@2(text@6))": SemanticDensity(),
    "sar@1(rouge_l@1)": SAR(),
    "sar@1(rouge_l@1,tokens=False)": SAR(tokens=False),
    "p_true@1": PTrue(),
    "verbalized@2": Verbalized(),
    "logistic_combination@1(estimators=cocoa@1(structured@2(text@6),mean_logprob@1)+margin@1,weights=db3d72a6,"
    "bias=0.5)": LogisticCombination((CoCoA(), Margin()), weights=(1.5, -0.5), bias=0.5),
}
each = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=list(ESTIMATORS))


def test_identities_are_pinned() -> None:
    """A threshold belongs to one identity: who changes what an estimator measures changes its version, and this."""
    assert [estimator.identity for estimator in ESTIMATORS.values()] == list(ESTIMATORS)


@each
def test_battery(estimator: Estimator) -> None:
    """The laws that confroute.testing offers to everyone, on many random answers."""
    check_estimator(estimator, draws=200)


@each
def test_confidence_of_extremes(estimator: Estimator) -> None:
    """No signal stays no signal, and infinite uncertainty is no confidence."""
    assert math.isnan(estimator.confidence(math.nan))
    assert estimator.confidence(math.inf) == 0
    assert estimator.confidence(-math.inf) == 1


@pytest.mark.parametrize(
    ("estimator", "confidence"),
    [
        (Disagreement(), 0.75),
        (MeanLogprob(), math.exp(-0.25)),
        (EigenvalueSum(), 1.0),
        (SAR(), 1 / (1 + math.exp(0.25))),
    ],
)
def test_confidence_by_unit(estimator: Estimator, confidence: float) -> None:
    """1 - u of a share, exp(-u) of nats, 1/u of a count from 1, the logistic of a score."""
    assert estimator.confidence(0.25) == pytest.approx(confidence)


PARIS = says("Paris", -0.1)
NO_SIGNAL: list[tuple[Sample, tuple[Sample, ...]]] = [
    (says("", -0.01), (PARIS, PARIS)),
    (says(" \n", -0.01), (PARIS, PARIS)),
    (PARIS, ()),
    (PARIS, (PARIS,)),
    (PARIS, (says(""), says("  "))),
    (PARIS, (PARIS, says("Paris"))),
    (says("Paris"), (PARIS, PARIS)),
    (PARIS, (says("Paris", -math.inf), says("Lyon", -math.inf))),
]
SINGLE_PASS, SHARES, GRAPHS = {2, 3, 4, 5, 7}, {3, 4, 5, 6, 7}, {5, 6, 7}
_MEASURED = {
    # What each can do without: the cases' numbers in the list above.
    "mean_logprob@1": SINGLE_PASS,
    "sequence_nll@1": SINGLE_PASS,
    "logprob_quantile@1": SINGLE_PASS,
    "disagreement@1(structured@2(text@6))": SHARES,
    "vote_share@1(structured@2(text@6))": SHARES,
    "semantic_entropy@2(structured@2(text@6))": GRAPHS,
    "semantic_entropy@2(weighting=likelihood,structured@2(text@6))": {6},
    "semantic_entropy@2(weighting=cluster_mean,structured@2(text@6))": {6},
    "lexical_similarity@1(rouge_l@1)": GRAPHS,
    "deg_mat@1(structured@2(text@6))": GRAPHS,
    "eig_v@1(structured@2(text@6))": GRAPHS,
    "eccentricity@1(structured@2(text@6))": GRAPHS,
    "kernel_entropy@1(structured@2(text@6))": GRAPHS,
    "cocoa@1(structured@2(text@6),mean_logprob@1)": {3, 4, 5, 7},
    "semantic_density@1(structured@2(text@6))": {3, 7},
    "sar@1(rouge_l@1,tokens=False)": {6},
    "token_entropy@1": set[int](),
    "margin@1": set[int](),
    "p_true@1": set[int](),
    "verbalized@2": set[int](),
}


@pytest.mark.parametrize("i", range(len(NO_SIGNAL)))
@pytest.mark.parametrize("identity", _MEASURED)
def test_what_cannot_be_measured_is_nan(i: int, identity: str) -> None:
    """Empty answer, no or one sample, empty samples, missing or impossible logprobs: NaN where the docstring says."""
    answer, samples = NO_SIGNAL[i]
    uncertainty = ESTIMATORS[identity].estimate(Evidence(question="", answer=answer, samples=samples)).uncertainty
    assert math.isnan(uncertainty) == (i not in _MEASURED[identity])


BOUNDED = [
    identity
    for identity, estimator in ESTIMATORS.items()
    # A combination's bounds are those of its parts, which need not be reached at once.
    if estimator.needs_samples
    and estimator.name != "logistic_combination"
    and estimator.bounds(random_evidence(random.Random(0)), 3)
]


@pytest.mark.parametrize("estimator", [ESTIMATORS[i] for i in BOUNDED], ids=BOUNDED)
def test_bounds_are_reached(estimator: Estimator) -> None:
    """Bounds that are never reached would draw samples for nothing: the like and the unlike rest come to them."""
    rng = random.Random(1)
    reached = set[int]()
    for _ in range(100):
        evidence = random_evidence(rng)
        first = evidence.samples[0]
        bounds = estimator.bounds(Evidence(question="", answer=first, samples=(first,)), 3)
        assert bounds is not None
        for rest in ((first,) * 3, tuple(says(f"other{i}") for i in range(3))):
            whole = Evidence(question="", answer=first, samples=(first, *rest))
            value = estimator.estimate(whole).uncertainty
            reached |= {i for i, bound in enumerate(bounds) if abs(bound - value) < 1e-9}
    assert reached == {0, 1}


@each
def test_docstring_says_direction_cost_and_undefined(estimator: Estimator) -> None:
    """Each docstring has its equation, range, direction, cost and when it is NaN."""
    text = inspect.cleandoc(type(estimator).__doc__ or "")
    for part in ("u = ", "higher is more uncertain", "Cost:", "NaN", ">>> "):
        assert part in text


SPREADS = [
    identity
    for identity, estimator in ESTIMATORS.items()
    if estimator.needs_samples and estimator.name not in ("sar", "logistic_combination", "kernel_entropy")
]


@pytest.mark.parametrize("estimator", [ESTIMATORS[i] for i in SPREADS], ids=SPREADS)
@pytest.mark.parametrize("k", [2, 5, 10])
def test_equal_texts_are_one_meaning_for_all(estimator: Estimator, k: int) -> None:
    """Where all samples say what is served, every measure of spread is at its least."""
    sample = says("Paris", -0.1)
    uncertainty = estimator.estimate(Evidence(question="", answer=sample, samples=(sample,) * k)).uncertainty
    if estimator.identity == "cocoa@1(structured@2(text@6),token_entropy@1)":
        assert math.isnan(uncertainty)  # a sample without alternatives
    else:
        assert uncertainty == pytest.approx(1.0 if estimator.unit == "count" else 0.0, abs=1e-9)


def test_transitive_equivalences_agree() -> None:
    """Over an equivalence that is transitive, votes are agreements, and EigV counts the clusters of entropy."""
    exact = ExactEquivalence()
    rng = random.Random(2)
    for _ in range(200):
        evidence = random_evidence(rng)
        share = VoteShare(equivalence=exact).estimate(evidence)
        assert share.uncertainty == Disagreement(equivalence=exact).estimate(evidence).uncertainty
        count = EigenvalueSum(equivalence=exact).estimate(evidence).uncertainty
        clusters = SemanticEntropy(equivalence=exact).estimate(evidence).clusters
        assert count == pytest.approx(clusters)
        assert share.clusters == clusters


def test_intransitive_order_is_drawn_order() -> None:
    """Entropy clusters in the order drawn, as published, so that samples to come never move those that came."""
    overlap = TextEquivalence(overlap=0.5)
    a, b, c = says("red green"), says("green blue"), says("blue yellow")
    forward = SemanticEntropy(equivalence=overlap).score(PARIS, (a, b, c))
    middle_first = SemanticEntropy(equivalence=overlap).score(PARIS, (b, a, c))
    assert forward == pytest.approx(-(2 / 3) * math.log(2 / 3) - (1 / 3) * math.log(1 / 3))
    assert middle_first == 0
