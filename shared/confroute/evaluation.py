"""How well an uncertainty tells wrong answers from right ones, with intervals."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence


def auroc(uncertainties: Sequence[float], wrong: Sequence[bool]) -> float:
    """The probability that a wrong answer is more uncertain than a right one, ties counted half.

    1 is perfect, 0.5 is chance; NaN if all answers are right or all are wrong. Equals the Mann-Whitney U statistic
    over the number of pairs.

    >>> auroc([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    0.75
    """
    positives = sum(wrong)
    negatives = len(wrong) - positives
    if not positives or not negatives:
        return math.nan
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
