"""How well an uncertainty tells wrong answers from right ones, how far a confidence can be believed, and what routing
by it buys.

NaN is no signal: in `auroc`, `prr`, `aurc` and `risk_coverage` it counts as infinite uncertainty, in `cost_quality` as
the least confident of all, and where a confidence is read as a probability it is left out. Ties are never broken by the
order of the items. All but the bootstrap cost O(n log n), and need only the standard library.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from confroute.errors import CalibrationError, ConfigurationError


def auroc(uncertainties: Sequence[float], wrong: Sequence[bool]) -> float:
    """The probability that a wrong answer is more uncertain than a right one, ties counted half.

    1 is perfect, 0.5 is chance; NaN if all answers are right or all are wrong. An uncertainty of NaN, no signal, counts
    as the greatest. Equals the Mann-Whitney U statistic over the number of pairs.

    >>> auroc([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    0.75
    """
    _check_lengths(uncertainties, wrong)
    positives = sum(wrong)
    negatives = len(wrong) - positives
    if not positives or not negatives:
        return math.nan
    uncertainties = [math.inf if math.isnan(uncertainty) else uncertainty for uncertainty in uncertainties]
    order = sorted(range(len(wrong)), key=lambda i: uncertainties[i])
    rank_sum = 0.0
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and uncertainties[order[end]] == uncertainties[order[start]]:
            end += 1
        # Ranks start+1 ... end, all tied at their mean.
        rank_sum += (start + 1 + end) / 2 * sum(wrong[i] for i in order[start:end])
        start = end
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


FEWEST = 5
"""Wrong answers, and right ones, below which the AUROC's interval would be too narrow."""


def auroc_interval(
    uncertainties: Sequence[float], wrong: Sequence[bool], *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The interval of `auroc`, by `bootstrap_interval`; NaN with fewer than `FEWEST` answers of either kind.

    Where every wrong answer is more uncertain than every right one, all resamples are alike. As many pairs as there are
    answers of the rarer kind share no answer, so that the bound is then Clopper and Pearson's of so many successes.

    >>> [round(bound, 2) for bound in auroc_interval([0.1] * 9 + [0.2] * 6, [False] * 9 + [True] * 6)]
    [0.54, 1.0]
    """
    value, rarer = auroc(uncertainties, wrong), min(sum(wrong), len(wrong) - sum(wrong))
    if rarer < FEWEST:
        return math.nan, math.nan
    if value in (0.0, 1.0):
        bound = ((1 - level) / 2) ** (1 / rarer)
        return (bound, 1.0) if value else (0.0, 1 - bound)

    def drawn(indices: Sequence[int]) -> float:
        return auroc([uncertainties[i] for i in indices], [wrong[i] for i in indices])

    return bootstrap_interval(drawn, len(wrong), level=level, resamples=resamples, seed=seed)


def bootstrap_interval(
    statistic: Callable[[Sequence[int]], float], n: int, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap interval of *statistic*, which is given the indices of n items drawn with replacement.

    Resamples where it is NaN are left out. The seed makes the interval reproducible.
    """
    rng = random.Random(seed)  # noqa: S311
    values = sorted(value for _ in range(resamples) if not math.isnan(value := statistic(rng.choices(range(n), k=n))))
    if not values:
        return math.nan, math.nan
    tail = (1 - level) / 2
    return values[int(tail * (len(values) - 1))], values[math.ceil((1 - tail) * (len(values) - 1))]


def prr(uncertainties: Sequence[float], quality: Sequence[float]) -> float:
    """The prediction-rejection ratio: how much of what an oracle gains by rejecting answers the uncertainty gains.

    (area - random) / (oracle - random), where the area is the mean over k = 1 ... n of the mean quality of the k most
    certain answers, the oracle rejects the worst first, and random is the mean quality, exactly and not by shuffling.
    This is PRR at 1.0: all rejection shares count. *quality* may be graded, higher is better, on any scale.

    1 is the oracle, 0 is chance, below 0 is worse than chance. Tied uncertainties count as broken at random, on
    average. NaN if all answers are equally good, but for rounding, or none is given (Malinin et al. 2017; Fadeeva et
    al. 2023).

    >>> round(prr([0.1, 0.4, 0.35, 0.8], [True, True, False, False]), 3)
    0.571
    """
    _check_lengths(uncertainties, quality)
    if not quality or math.isclose(min(quality), max(quality)):
        return math.nan
    losses = [-grade for grade in quality]
    chance = sum(losses) / len(losses)
    return (chance - aurc(uncertainties, losses)) / (chance - aurc(losses, losses))


def aurc(uncertainties: Sequence[float], losses: Sequence[float]) -> float:
    """The area under the risk-coverage curve: the mean over k = 1 ... n of the mean loss of the k most certain answers.

    Lower is better. The mean loss is chance; the least reachable depends on it, so compare only on the same items, or
    by `prr`. Weighs the few most certain answers most: the first one is in all n means. Tied uncertainties count as
    broken at random, on average. NaN without items (Geifman, Uziel, El-Yaniv 2019, arXiv 1805.08206).

    >>> aurc([0.1, 0.2], [False, True])
    0.25
    """
    kept, lost, area = 0, 0.0, 0.0
    for size, loss in _tied(uncertainties, losses, silent=math.inf):
        area += sum((lost + i * loss / size) / (kept + i) for i in range(1, size + 1))
        kept, lost = kept + size, lost + loss
    return area / kept if kept else math.nan


def risk_coverage(uncertainties: Sequence[float], losses: Sequence[float]) -> list[tuple[float, float]]:
    """For each distinct uncertainty, from the lowest: the share of answers up to it, and their mean loss.

    Coverage rises to 1, where the risk is the mean loss. A threshold cannot split ties, so a share between two points
    is not reachable. The first points are of few answers and vary most.

    >>> risk_coverage([0.1, 0.1, 0.3, 0.7], [False, True, False, True])
    [(0.5, 0.5), (0.75, 0.3333333333333333), (1.0, 0.5)]
    """
    points: list[tuple[float, float]] = []
    kept, lost = 0, 0.0
    for size, loss in _tied(uncertainties, losses, silent=math.inf):
        kept, lost = kept + size, lost + loss
        points.append((kept / len(losses), lost / kept))
    return points


def brier(confidences: Sequence[float], acceptable: Sequence[bool]) -> float:
    """The mean squared difference of a confidence and the outcome, 1 for acceptable and 0 for not.

    0 is perfect, 0.25 is what a confidence of one half gets always. A proper score: best in expectation only with the
    true probabilities, so it pays both for calibration and for telling answers apart (Brier 1950). Items without a
    signal, NaN, are left out; NaN if none is left.

    >>> brier([0.5, 1.0], [False, True])
    0.125
    """
    pairs = _probabilities(confidences, acceptable)
    return sum((confidence - good) ** 2 for confidence, good in pairs) / len(pairs) if pairs else math.nan


def ece(confidences: Sequence[float], acceptable: Sequence[bool], bins: int = 15) -> float:
    """The expected calibration error: by how much mean confidence and share acceptable differ in a bin of
    `reliability`, on average over the items.

    0 is best, 1 the worst. Biased: chance alone makes it positive, the more so the more bins and the fewer items, while
    differences within a bin do not show. A confidence that is the same for all gets 0 if it is right on average. Read
    it with `brier`, and compare only at the same n and *bins* (Roelofs et al. 2022, arXiv 2012.08668). Items without a
    signal, NaN, are left out; NaN if none is left.

    >>> round(ece([0.2, 0.2, 0.9, 0.9], [False, False, True, True]), 3)
    0.15
    """
    curve = reliability(confidences, acceptable, bins)
    total = sum(size for _, _, size in curve)
    return sum(size * abs(mean - share) for mean, share, size in curve) / total if total else math.nan


def reliability(
    confidences: Sequence[float], acceptable: Sequence[bool], bins: int = 10
) -> list[tuple[float, float, int]]:
    """For each bin, from the lowest: mean confidence, share acceptable, and number of items.

    At most *bins* bins of as equal a number of items as ties allow: equal confidences are in one bin, that of their
    middle rank. Items without a signal, NaN, are left out.

    >>> reliability([0.5, 0.5, 0.5, 1.0], [True, False, False, True], bins=2)
    [(0.5, 0.3333333333333333, 3), (1.0, 1.0, 1)]
    """
    if bins < 1:
        raise ConfigurationError(f"bins must be at least 1, not {bins!r}.")
    pairs = sorted(_probabilities(confidences, acceptable))
    filled: dict[int, list[tuple[float, bool]]] = {}
    before = 0
    for _, group in groupby(pairs, key=lambda pair: pair[0]):
        tied = list(group)
        filled.setdefault(bins * (2 * before + len(tied)) // (2 * len(pairs)), []).extend(tied)
        before += len(tied)
    return [
        (
            sum(confidence for confidence, _ in items) / len(items),
            sum(good for _, good in items) / len(items),
            len(items),
        )
        for items in filled.values()
    ]


def cost_quality(
    confidences: Sequence[float], edge_right: Sequence[float], cloud_right: Sequence[float]
) -> list[tuple[float, float]]:
    """For each distinct threshold, from the lowest: the share of requests escalated, and the share answered right.

    Begins with the edge alone, (0, mean of *edge_right*), ends with the cloud alone. The least confident are escalated
    first, and before them those without a signal, NaN, which a router never keeps. Only the order of the confidences
    matters. Both may be graded. The straight line between two points is what random choice among the ties gives.

    >>> cost_quality([0.9, 0.1], [True, False], [True, True])
    [(0.0, 0.5), (0.5, 1.0), (1.0, 1.0)]
    """
    _check_lengths(edge_right, cloud_right)
    n, escalated, right = len(edge_right), 0, float(sum(edge_right))
    gains = [cloud - edge for edge, cloud in zip(edge_right, cloud_right, strict=True)]
    points: list[tuple[float, float]] = []
    for size, gain in _tied(confidences, gains, silent=-math.inf):
        points.append((escalated / n, right / n))
        escalated, right = escalated + size, right + gain
    return [*points, (1.0, right / n)] if n else []


def _tied(keys: Sequence[float], values: Sequence[float], *, silent: float) -> Iterator[tuple[int, float]]:
    """For each distinct key, rising, NaN taken for *silent*: how many items have it, and the sum of their values."""
    _check_lengths(keys, values)
    ranks = [silent if math.isnan(key) else key for key in keys]
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    for _, group in groupby(order, key=ranks.__getitem__):
        tied = [values[i] for i in group]
        yield len(tied), sum(tied)


def _probabilities(confidences: Sequence[float], acceptable: Sequence[bool]) -> list[tuple[float, bool]]:
    """The items that have a signal."""
    _check_lengths(confidences, acceptable)
    if any(confidence < 0 or confidence > 1 for confidence in confidences):
        raise CalibrationError(
            "A confidence must be in [0, 1], or NaN for no signal; one is not. Uncertainties become confidences by "
            "the estimator's `confidence` or by a calibrator's."
        )
    return [pair for pair in zip(confidences, acceptable, strict=True) if not math.isnan(pair[0])]


def _check_lengths(a: Sequence[float], b: Sequence[float]) -> None:
    if len(a) != len(b):
        raise CalibrationError(
            f"There are {len(a)} values on one side but {len(b)} on the other; give one for each item."
        )
