"""Estimators against the numbers that lm-polygraph gives for the same samples, grades and logprobs.

GOLDEN was recorded with lm-polygraph 0.7.0 (PyPI), numpy 2.4.6 and scipy 1.17.1 by `recorded`: each is
``lm_polygraph.estimators.<class>(<arguments>)(STATS | <changes>)[0]``. Where lm-polygraph is installed the numbers are
computed again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from confroute import Estimator, Evidence, MeanLogprob, Sample, SemanticEntropy
from confroute.estimators import (
    SAR,
    CoCoA,
    DegreeMatrix,
    Eccentricity,
    EigenvalueSum,
    KernelLanguageEntropy,
    LexicalSimilarity,
    SemanticDensity,
    SequenceNLL,
    TokenEntropy,
    VoteShare,
)
from tests.table import Table


def sample(*tokens: str, logprobs: tuple[float, ...]) -> Sample:
    return Sample(text="".join(tokens), tokens=tokens, token_logprobs=logprobs)


SAMPLES = (
    sample("Paris", logprobs=(-0.4,)),
    sample("It", " is", " Paris", logprobs=(-1.1, -0.2, -0.3)),
    sample("Lyon", logprobs=(-1.9,)),
    sample("It", " is", " Lyon", logprobs=(-1.1, -0.2, -2.4)),
    sample("Par", "is", logprobs=(-2.5, -0.1)),
    sample("Rome", logprobs=(-2.2,)),
)
PLACES = (  # a vocabulary of four words, so that the alternatives are the whole distribution
    (("Paris", math.log(0.6)), ("Lyon", math.log(0.2)), ("Rome", math.log(0.15)), (" in", math.log(0.05))),
    ((" in", math.log(0.5)), ("Paris", math.log(0.3)), ("Rome", math.log(0.1)), ("Lyon", math.log(0.1))),
    (("Rome", math.log(0.7)), (" in", math.log(0.1)), ("Paris", math.log(0.1)), ("Lyon", math.log(0.1))),
)
ANSWER = Sample(
    text="Paris in France", token_logprobs=(math.log(0.6), math.log(0.5), math.log(0.7)), alternatives=PLACES
)
EVIDENCE = Evidence(question="", answer=ANSWER, samples=SAMPLES)

# The probabilities of entailment and of contradiction, the same both ways. "It is Paris" goes with two texts that do
# not go with each other.
NLI = {
    frozenset(pair): grades
    for *pair, grades in [
        ("Paris", "It is Paris", (0.90, 0.02)),
        ("Paris", "Lyon", (0.05, 0.85)),
        ("Paris", "It is Lyon", (0.10, 0.80)),
        ("Paris", "Rome", (0.04, 0.70)),
        ("It is Paris", "Lyon", (0.15, 0.60)),
        ("It is Paris", "It is Lyon", (0.55, 0.30)),
        ("It is Paris", "Rome", (0.06, 0.75)),
        ("Lyon", "It is Lyon", (0.80, 0.05)),
        ("Lyon", "Rome", (0.12, 0.64)),
        ("It is Lyon", "Rome", (0.08, 0.66)),
        ("Paris in France", "Paris", (0.75, 0.05)),
        ("Paris in France", "It is Paris", (0.65, 0.10)),
        ("Paris in France", "Lyon", (0.10, 0.70)),
        ("Paris in France", "It is Lyon", (0.20, 0.50)),
        ("Paris in France", "Rome", (0.02, 0.90)),
    ]
}
WITHOUT = {  # similarities of a sample to itself without one token, for SAR
    frozenset(("Paris", "")): 0.1,
    frozenset(("It is Paris", " is Paris")): 0.9,
    frozenset(("It is Paris", "It Paris")): 0.8,
    frozenset(("It is Paris", "It is")): 0.2,
    frozenset(("Lyon", "")): 0.1,
    frozenset(("It is Lyon", " is Lyon")): 0.95,
    frozenset(("It is Lyon", "It Lyon")): 0.85,
    frozenset(("It is Lyon", "It is")): 0.3,
    frozenset(("Paris", "is")): 0.05,
    frozenset(("Paris", "Par")): 0.4,
    frozenset(("Rome", "")): 0.15,
}
ENTAIL = Table({pair: entail for pair, (entail, _) in NLI.items()} | WITHOUT)
NOT_CONTRA = Table({pair: 1 - contra for pair, (_, contra) in NLI.items()})
BOTH = Table({pair: entail + (1 - entail - contra) / 2 for pair, (entail, contra) in NLI.items()})


def matrix(table: Table, a: Sequence[Sample], b: Sequence[Sample]) -> Any:
    return np.array([table.similarity([(x.text, y.text) for y in b], question="") for x in a])


def stats(samples: Sequence[Sample] = SAMPLES, answer: Sample = ANSWER) -> dict[str, Any]:
    """The evidence as lm-polygraph's estimators take it: a batch of one."""
    entail, contra = matrix(ENTAIL, samples, samples), 1 - matrix(NOT_CONTRA, samples, samples)
    to_contra = 1 - matrix(NOT_CONTRA, [answer], samples)[0]
    return {
        "sample_texts": [[one.text for one in samples]],
        "sample_tokens": [[list(one.tokens or ()) for one in samples]],
        "sample_log_likelihoods": [[list(one.token_logprobs or ()) for one in samples]],
        "sample_log_probs": [[sum(one.token_logprobs or ()) for one in samples]],
        "semantic_matrix_entail": entail[None],
        "semantic_matrix_contra": contra[None],
        # 2 entailment, else not: the likeliest of three
        "semantic_matrix_classes": np.where(entail >= 0.5, 2, 0)[None],
        "entailment_id": 2,
        "sample_sentence_similarity": entail[None],
        "sample_token_similarity": [[np.array(without(one)) for one in samples]],
        "greedy_sentence_similarity": matrix(ENTAIL, [answer], samples),
        "greedy_log_likelihoods": [list(answer.token_logprobs or ())],
        "greedy_semantic_matrix_contra_forward": to_contra[None],
        "greedy_semantic_matrix_neutral_forward": 1 - to_contra[None] - matrix(ENTAIL, [answer], samples),
        "entropy": [[-sum(math.exp(p) * p for _, p in place) for place in PLACES]],
    }


def without(one: Sample) -> list[float]:
    tokens = one.tokens or ()
    rests = ["".join(tokens[:k] + tokens[k + 1 :]) for k in range(len(tokens))]
    return ENTAIL.similarity([(one.text, rest) for rest in rests], question="")


def normalised(samples: Sequence[Sample] = SAMPLES, *, minus: float = 0.0) -> dict[str, Any]:
    """With a mean logprob for each sample instead of a sum, less a constant."""
    return stats(samples) | {"sample_log_probs": [[one.mean_logprob - minus for one in samples]]}


def log_total(samples: Sequence[Sample]) -> float:
    return math.log(sum(math.exp(one.mean_logprob) for one in samples))


# "It is Paris" is the first seed here, and takes "It is Lyon", which otherwise goes with "Lyon".
MIXED = tuple(SAMPLES[i] for i in (1, 3, 0, 2, 4, 5))
PAIRED, APART = SAMPLES[:4], (SAMPLES[0], SAMPLES[2], SAMPLES[5])
TEXTS = ["It is Paris", "It is Lyon", "Paris is a city in France", "a city", "city in Italy"]
SERVED_AMONG = Sample(text="Paris", token_logprobs=(-0.4,))

CALLS: dict[str, tuple[str, dict[str, Any], Callable[[], dict[str, Any]]]] = {
    "msp": ("MaximumSequenceProbability", {}, stats),
    "perplexity": ("Perplexity", {}, stats),
    "mean token entropy": ("MeanTokenEntropy", {}, stats),
    "deg_mat entail": ("DegMat", {"affinity": "entail"}, stats),
    "deg_mat contra": ("DegMat", {"affinity": "contra"}, stats),
    "eig_v entail": ("EigValLaplacian", {"affinity": "entail"}, stats),
    "eig_v contra": ("EigValLaplacian", {"affinity": "contra"}, stats),
    "ecc entail": ("Eccentricity", {"affinity": "entail"}, stats),
    "ecc contra": ("Eccentricity", {"affinity": "contra"}, stats),
    "ecc cutoff .5": ("Eccentricity", {"affinity": "entail", "thres": 0.5}, stats),
    "kle": ("KernelLanguageEntropy", {}, stats),
    "kle t 1": ("KernelLanguageEntropy", {"t": 1.0}, stats),
    "cocoa ppl": ("CocoaPPL", {}, stats),
    "cocoa msp": ("CocoaMSP", {}, stats),
    "cocoa mte": ("CocoaMTE", {}, stats),
    "sar": ("SAR", {}, stats),
    "sentence sar": ("SentenceSAR", {}, stats),
    "density": ("SemanticDensity", {"concat_input": False}, stats),
    "density, served among the samples": (
        "SemanticDensity",
        {"concat_input": False},
        lambda: stats(answer=SERVED_AMONG),
    ),
    "rouge": ("LexicalSimilarity", {"metric": "rougeL"}, lambda: {"sample_texts": [TEXTS]}),
    "rouge, a plural": ("LexicalSimilarity", {"metric": "rougeL"}, lambda: {"sample_texts": [["a city", "a cities"]]}),
    "se discrete": ("SemanticEntropy", {"class_probability_estimation": "frequency"}, stats),
    "se discrete, seeds in another order": (
        "SemanticEntropy",
        {"class_probability_estimation": "frequency"},
        lambda: stats(MIXED),
    ),
    "se": ("SemanticEntropy", {}, normalised),
    "se, clusters of one size": ("SemanticEntropy", {}, lambda: normalised(PAIRED)),
    "se direct, clusters of one": (
        "SemanticEntropy",
        {"entropy_estimation": "direct"},
        lambda: normalised(APART, minus=log_total(APART)),
    ),
    "label prob": ("LabelProb", {}, stats),
}
GOLDEN: dict[str, float] = {
    "msp": 1.5606477482646683,
    "perplexity": 0.5202159160882228,
    "mean token entropy": 1.0571560023296283,
    "deg_mat entail": 0.5588888888888888,
    "deg_mat contra": 0.43,
    "eig_v entail": 2.543936193332041,
    "eig_v contra": 1.850434054517982,
    "ecc entail": 1.7321633747932401,
    "ecc contra": 1.4145829020139162,
    "ecc cutoff .5": 1.4147196999846896,
    "kle": 0.8402749018966177,
    "kle t 1": 0.30883190657334847,
    "cocoa ppl": 0.3060603639652377,
    "cocoa msp": 0.9181810918957131,
    "cocoa mte": 0.6219601147039312,
    "sar": -6.240186220545014,
    "sentence sar": -5.570723724404651,
    "density": -0.7312951603327347,
    "density, served among the samples": -0.7945124710976393,
    "rouge": -0.24555555555555553,
    "rouge, a plural": -1.0,
    "se discrete": 1.0114042647073518,
    "se discrete, seeds in another order": 0.8675632284814613,
    "se": 0.4271846078482346,
    "se, clusters of one size": 0.29513107725400084,
    "se direct, clusters of one": 0.7835316215855808,
    "label prob": 0.5,
}


def recorded(name: str) -> float:
    """lm-polygraph's number, from lm-polygraph."""
    estimator, arguments, make = CALLS[name]
    given = make()
    if "semantic_matrix_classes" in given:
        calculator = import_module("lm_polygraph.stat_calculators.semantic_classes").SemanticClassesCalculator()
        given |= calculator(given, [""], None)
    made = getattr(import_module("lm_polygraph.estimators"), estimator)(**arguments)
    return float(np.asarray(made(given))[0])


def ours(estimator: Estimator, samples: Sequence[Sample] = SAMPLES, answer: Sample = ANSWER) -> float:
    return estimator.estimate(Evidence(question="", answer=answer, samples=tuple(samples))).uncertainty


def says_all(texts: Sequence[str]) -> list[Sample]:
    return [Sample(text=text) for text in texts]


SAME: dict[str, Callable[[], float]] = {
    "msp": lambda: ours(SequenceNLL()),
    "perplexity": lambda: ours(MeanLogprob()),
    "mean token entropy": lambda: ours(TokenEntropy(k=4)),
    "deg_mat entail": lambda: ours(DegreeMatrix(ENTAIL)),
    "deg_mat contra": lambda: ours(DegreeMatrix(NOT_CONTRA)),
    "eig_v entail": lambda: ours(EigenvalueSum(ENTAIL)),
    "eig_v contra": lambda: ours(EigenvalueSum(NOT_CONTRA)),
    "ecc entail": lambda: ours(Eccentricity(ENTAIL)),
    "ecc contra": lambda: ours(Eccentricity(NOT_CONTRA)),
    "ecc cutoff .5": lambda: ours(Eccentricity(ENTAIL, cutoff=0.5)),
    "kle": lambda: ours(KernelLanguageEntropy(BOTH)),
    "kle t 1": lambda: ours(KernelLanguageEntropy(BOTH, t=1.0)),
    "cocoa ppl": lambda: ours(CoCoA(ENTAIL)),
    "cocoa msp": lambda: ours(CoCoA(ENTAIL, own=SequenceNLL())),
    "cocoa mte": lambda: ours(CoCoA(ENTAIL, own=TokenEntropy(k=4))),
    "sar": lambda: ours(SAR(ENTAIL)),
    "sentence sar": lambda: ours(SAR(ENTAIL, tokens=False)),
    "se discrete": lambda: ours(SemanticEntropy(equivalence=ENTAIL)),
    "se discrete, seeds in another order": lambda: ours(SemanticEntropy(equivalence=ENTAIL), MIXED),
    # A density and a similarity there, one less it here.
    "density": lambda: ours(SemanticDensity(BOTH)) - 1,
    "rouge": lambda: ours(LexicalSimilarity(), says_all(TEXTS)) - 1,
    # Un-normalised masses there: what their sum is apart, and where the clusters are of one size, its mean over the
    # samples is that over the clusters.
    "se, clusters of one size": lambda: ours(SemanticEntropy("cluster_mean", ENTAIL), PAIRED) - log_total(PAIRED),
    "se direct, clusters of one": lambda: ours(SemanticEntropy("likelihood", ENTAIL), APART),
}


@pytest.mark.parametrize("name", SAME)
def test_same_number(name: str) -> None:
    """Where the definitions agree, up to a sign, a one or a constant factor of all masses, the numbers do."""
    assert SAME[name]() == pytest.approx(GOLDEN[name], rel=1e-9)


def test_their_likelihood_entropy_is_a_cross_entropy() -> None:
    """There -(1/N) sum over samples of ln(mass of its cluster), un-normalised. Normalised, that is the cross entropy of
    the shares of samples and of likelihood, so it exceeds the entropy of the shares by their divergence."""
    shares = {"Paris": 3 / 6, "Lyon": 2 / 6, "Rome": 1 / 6}
    mass = {
        "Paris": math.exp(-0.4) + math.exp(-1.6 / 3) + math.exp(-1.3),
        "Lyon": math.exp(-1.9) + math.exp(-3.7 / 3),
        "Rome": math.exp(-2.2),
    }
    total = sum(mass.values())
    divergence = sum(share * math.log(share * total / mass[name]) for name, share in shares.items())
    cross_entropy = GOLDEN["se"] + math.log(total)
    assert cross_entropy == pytest.approx(ours(SemanticEntropy(equivalence=ENTAIL)) + divergence, rel=1e-9)
    assert divergence > 0
    assert ours(SemanticEntropy("likelihood", ENTAIL)) == pytest.approx(
        -sum(m / total * math.log(m / total) for m in mass.values())
    )


def test_density_counts_the_served_text_once() -> None:
    """There the served answer is weighed again where a sample says the same; here each distinct text counts once, so
    that the density is less by as much as that repetition adds."""
    theirs = -GOLDEN["density, served among the samples"]
    uncertainty = ours(SemanticDensity(BOTH), answer=SERVED_AMONG)
    masses = [math.exp(x) for x in (-0.4, -1.6 / 3, -1.9, -3.7 / 3, -2.2)]  # the five distinct texts
    assert (theirs * (sum(masses) + masses[0]) - masses[0]) / sum(masses) == pytest.approx(1 - uncertainty, rel=1e-9)
    assert 1 - uncertainty < theirs


def test_words_are_not_stemmed() -> None:
    """There "cities" is "city"; here it is another word."""
    assert GOLDEN["rouge, a plural"] == -1.0
    assert ours(LexicalSimilarity(), says_all(["a city", "a cities"])) == pytest.approx(0.5)


def test_votes_are_for_the_served_answer() -> None:
    """There the largest cluster's share counts, whatever is served; here that of the served answer's, which is as large
    only where the largest cluster is the served answer's."""
    votes = {text: ours(VoteShare(ENTAIL), answer=Sample(text=text)) for text in ("Paris", "Lyon", "Rome")}
    assert votes["Paris"] == pytest.approx(GOLDEN["label prob"])
    assert min(votes.values()) == votes["Paris"] < votes["Lyon"] < votes["Rome"]


def test_sar_of_samples_in_which_no_token_matters() -> None:
    """There 0/0, hence NaN; here all tokens weigh alike: the mean logprobs are combined."""
    alike = Table(dict.fromkeys(NLI.keys() | WITHOUT.keys(), 1.0))
    means = np.exp([one.mean_logprob for one in SAMPLES])
    helped = means + (means.sum() - means) / 0.001
    assert ours(SAR(alike)) == pytest.approx(-np.log(helped).mean())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_recorded_numbers_are_lm_polygraph_s(name: str) -> None:
    """The numbers above come out again."""
    pytest.importorskip("lm_polygraph.estimators", reason="lm-polygraph is not installed", exc_type=ImportError)
    assert recorded(name) == pytest.approx(GOLDEN[name], rel=1e-9)
