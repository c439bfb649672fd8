"""How well an uncertainty tells wrong answers from right ones, how far a confidence can be believed, and what routing
by it buys.

NaN is no signal: in `auroc`, `prr`, `aurc` and `risk_coverage` it counts as infinite uncertainty, in `cost_quality` as
the least confident of all, and where a confidence is read as a probability it is left out. Ties are never broken by the
order of the items. All but the bootstrap cost O(n log n), and need only the standard library.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from statistics import NormalDist, variance

from confroute.errors import CalibrationError, ConfigurationError


def auroc(uncertainties: Sequence[float], wrong: Sequence[bool]) -> float:
    """The probability that a wrong answer is more uncertain than a right one, ties counted half.

    1 is perfect, 0.5 is chance; NaN if all answers are right or all are wrong. An uncertainty of NaN, no signal, counts
    as the greatest. Equals the Mann-Whitney U statistic over the number of pairs.

    >>> auroc([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    0.75
    """
    check_labels(uncertainties, wrong)
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
"""Wrong answers, and right ones, below which too little is known for an interval of the AUROC."""


def auroc_interval(
    uncertainties: Sequence[float], wrong: Sequence[bool], *, level: float = 0.95
) -> tuple[float, float]:
    """The interval of `auroc`; NaN with fewer than `FEWEST` answers of either kind. Takes O(n log n).

    All t that the AUROC A is within z standard errors of, those that it would have were t the truth (a score interval):
    (A - t)^2 <= z^2 V(t). V is the greater of two variances. Hanley and McNeil's, of exponential uncertainties, with
    the sizes averaged (Newcombe 2006, method 5), is known where A is 0 or 1, too:

    t (1 - t) (1 + h ((1 - t) / (2 - t) + t / (1 + t))) / (w r), with h = (w + r) / 2 - 1 of w wrong, r right answers.

    That is too small where the rarer kind varies more than the other. DeLong's (1988), of the answers as they are, is
    not: S^2 t (1 - t) / (A (1 - A)), with Student's t for z and Welch's degrees of freedom, as it is estimated.

    Simulated at 95 % with normal uncertainties of 5 to 20 wrong and 50 or 200 right answers (600 runs each), it misses
    1 to 4 % where both kinds vary alike, up to 7 % where the wrong ones vary twice as much, and up to 13 % thrice.

    >>> [round(bound, 2) for bound in auroc_interval([0.1] * 9 + [0.2] * 6, [False] * 9 + [True] * 6)]
    [0.73, 1.0]
    """
    _check_level(level)
    value = auroc(uncertainties, wrong)
    positives = sum(wrong)
    negatives = len(wrong) - positives
    if min(positives, negatives) < FEWEST:
        return math.nan, math.nan
    z = NormalDist().inv_cdf((1 + level) / 2)
    placed = _placements(uncertainties, wrong)
    parts = [(variance(values) / len(values), len(values) - 1) for values in placed]
    delong = sum(part for part, _ in parts)
    scaled = 0.0
    # Both are 0 where all are in perfect order.
    if delong and 0 < value < 1:
        freedom = delong**2 / sum(part**2 / degrees for part, degrees in parts)
        scaled = delong * (_student(z, freedom) / z) ** 2 / (value * (1 - value))
    h = (positives + negatives) / 2 - 1

    def lowest(value: float) -> float:
        outside, inside = 0.0, value
        # Down to the last bit of a double.
        for _ in range(60):
            t = (outside + inside) / 2
            assumed = (1 + h * ((1 - t) / (2 - t) + t / (1 + t))) / (positives * negatives)
            if value - t > z * math.sqrt(t * (1 - t) * max(assumed, scaled)):
                outside = t
            else:
                inside = t
        return inside

    # V is symmetric.
    return lowest(value), 1 - lowest(1 - value)


def _placements(uncertainties: Sequence[float], wrong: Sequence[bool]) -> tuple[list[float], list[float]]:
    """For each wrong answer the share of right ones below it, and for each right one that of wrong ones above it, ties
    counted half. The mean of either is the AUROC."""
    ranks = [math.inf if math.isnan(uncertainty) else uncertainty for uncertainty in uncertainties]
    bad = sorted(rank for rank, is_wrong in zip(ranks, wrong, strict=True) if is_wrong)
    good = sorted(rank for rank, is_wrong in zip(ranks, wrong, strict=True) if not is_wrong)

    def below(rank: float, others: list[float]) -> float:
        return (bisect_left(others, rank) + bisect_right(others, rank)) / 2 / len(others)

    return [below(rank, good) for rank in bad], [1 - below(rank, bad) for rank in good]


def _student(z: float, freedom: float) -> float:
    """The quantile of Student's t where the normal distribution's is *z*, by the first terms of its expansion
    (Abramowitz and Stegun 26.7.5); 2 % too small at 4 degrees of freedom and 95 %."""
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def bootstrap_interval(
    statistic: Callable[[Sequence[int]], float], n: int, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap interval of *statistic*, which is given the indices of n items drawn with replacement.

    Resamples where it is NaN are left out. The seed makes the interval reproducible.
    """
    _check_level(level)
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
    # NumPy's arrays are neither true nor false, and its truth values have no minus.
    losses = [-float(grade) for grade in quality]
    if not losses or math.isclose(min(losses), max(losses)):
        return math.nan
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
    gains = [float(cloud) - float(edge) for edge, cloud in zip(edge_right, cloud_right, strict=True)]
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
    check_labels(confidences, acceptable)
    check_confidences(confidences)
    return [pair for pair in zip(confidences, acceptable, strict=True) if not math.isnan(pair[0])]


def _check_lengths(a: Sequence[float], b: Sequence[float]) -> None:
    if len(a) != len(b):
        raise CalibrationError(
            f"There are {len(a)} values on one side but {len(b)} on the other; give one for each item."
        )


def check_labels(values: Sequence[float], labels: Sequence[bool]) -> None:
    """Raises CalibrationError unless there is one label for each of the *values*, and each says yes or no."""
    _check_lengths(values, labels)
    if any(label not in (0, 1) for label in labels):
        raise CalibrationError("A label must be True or False, or 1 or 0; one is neither. Turn grades into such first.")


def check_confidences(confidences: Sequence[float]) -> None:
    """Raises CalibrationError unless they are probabilities, or NaN for no signal."""
    if any(confidence < 0 or confidence > 1 for confidence in confidences):
        raise CalibrationError(
            "A confidence must be in [0, 1], or NaN for no signal; one is not. Uncertainties become confidences by "
            "the estimator's `confidence` or by a calibrator's."
        )


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ConfigurationError(f"level must be between 0 and 1, such as 0.95, not {level!r}.")
