"""Thresholds that keep a promise: at most so many escalations, or at most so many bad answers, for future traffic.

All take the confidences of *n* requests drawn like the traffic to come (independent, or exchangeable where only an
average is promised). An answer is kept on the edge if its confidence reaches the threshold; NaN never does, counts as
escalated, and so does no harm. What is promised is about requests like these only: another edge model, estimator,
system prompt or kind of question needs its own threshold.

The cost and the harm rules look at *nested* kept sets, and the only thing that they take from a confidence is its
order. A calibrator fitted on the very same items therefore costs the promise nothing: a strictly decreasing one leaves
every kept set as it is, and ties, those of isotonic steps or of a flat curve, can only make the chosen one smaller.
`error_cut` has no such licence: ties drawn by looking at the labels change what it tests first, and a flat curve, which
is what signal in the wrong direction is fitted by, gives "keep everything" a second chance. Give it confidences that
saw no label of these items, such as the estimator's own, and put the threshold through the calibrator afterwards.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import groupby
from typing import Any, Literal, TypeAlias

from confroute.errors import ConfigurationError, require
from confroute.evaluation import check_confidences, check_labels

CutMethod: TypeAlias = Literal["order_statistic", "rcps", "crc", "ltt"]

MOST_LABELS = 10**9
"""Where more than this would be needed, `Cut.labels_needed` says None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A threshold and what is known about it. It holds its promise only where `certified`."""

    threshold: float | None
    """The least confidence kept; None escalates everything."""
    bound: float
    """What the risk, or the escalated share, is at most: with probability 1 - delta, or on average where delta is
    None. Where nothing could be certified, the lowest that was reachable, which is above the target."""
    target: float
    delta: float | None
    method: CutMethod
    n: int
    """Items that the promise rests on, those without a signal included."""
    kept: float
    """The share of these items at or above the threshold."""
    labels_needed: int | None = None
    """Where nothing could be certified: how many items would do, were they like these; None if more cannot help."""

    @property
    def certified(self) -> bool:
        return self.bound <= self.target


def cost_cut(confidences: Sequence[float], budget: float, delta: float | None = 0.1) -> Cut:
    """The highest threshold that escalates at most the share *budget* of future requests. Needs no labels.

    With probability 1 - *delta* over the items given, or on average over them with ``delta=None``. The threshold is an
    order statistic: below the k-th lowest confidence of n lies a share of the traffic that is distributed as
    Beta(k, n + 1 - k), its mean k / (n + 1), and at most so where confidences are tied, since ties with the threshold
    are kept. Exact for any distribution (Wilks 1941).

    Where no k fits, because the items are too few or too many lack a signal, the threshold is 0, which escalates only
    what has no signal. It is then not `certified`.

    >>> cost_cut([i / 100 for i in range(100)], budget=0.3).threshold
    0.23
    >>> cost_cut([i / 100 for i in range(100)], budget=0.3, delta=None).threshold
    0.29
    """
    check_promise("budget", budget, delta)
    require("scipy", extra="train", wanted_by="Calibration")
    n = len(confidences)
    ordered = sorted(_ranked(confidences))
    silent = bisect_right(ordered, -math.inf)
    allowed = _allowed(n, budget, delta)
    if allowed >= silent:
        threshold = ordered[allowed]
        escalated, bound, needed = bisect_left(ordered, threshold), _bound(allowed, n, delta), None
    else:
        threshold, escalated, bound = 0.0, silent, _bound(silent, n, delta)
        needed = _labels_for(silent / n if n else 0.0, budget, delta)
    return Cut(
        threshold=threshold,
        bound=bound,
        target=budget,
        delta=delta,
        method="order_statistic",
        n=n,
        kept=(n - escalated) / n if n else 0.0,
        labels_needed=needed,
    )


def harm_cut(
    confidences: Sequence[float],
    losses: Sequence[bool],
    target: float,
    delta: float = 0.1,
    method: Literal["rcps", "crc"] = "rcps",
) -> Cut:
    """The lowest threshold at which the share of *all* requests that are kept **and** lossy is at most *target*.

    A loss is what the caller says it is: "the edge is wrong" makes the risk the harm done, P(wrong and kept); "the
    edge is wrong and the cloud is right" makes it the regret against the cloud. Either falls as the threshold rises.

    "rcps": with probability 1 - *delta* over the items given. From the strictest threshold on, each is accepted as
    long as the exact (Clopper-Pearson) upper bound of its risk is at most *target*. As the risk is monotone, looking
    at all of them costs nothing (Bates et al. 2021, arXiv 2101.02703, theorem 1).

    "crc": on average over the items given; in a single calibration the risk is above *target* about every other time.
    Accepts (n R + 1) / (n + 1) <= *target*, R the observed risk (Angelopoulos et al. 2024, arXiv 2208.02814, eq. 4).
    *delta* plays no part.

    None where even the most confident answers are too often lossy, or the items too few.

    >>> harm_cut([i / 100 for i in range(100)], [i < 60 for i in range(100)], target=0.1).threshold
    0.55
    """
    if method not in ("rcps", "crc"):
        raise ConfigurationError(f'method must be "rcps" or "crc", not {method!r}.')
    check_promise("target", target, delta)
    require("scipy", extra="train", wanted_by="Calibration")
    level = delta if method == "rcps" else None
    n, allowed = len(confidences), _allowed(len(confidences), target, level)
    # Until an answer with a signal is seen, nothing that could be kept is known.
    threshold, kept, losses_seen, strictest = None, 0, 0, n
    for i, (value, size, lossy) in enumerate(_descending(confidences, losses)):
        losses_seen += lossy
        if not i:
            strictest = losses_seen
        if losses_seen > allowed:
            break
        threshold, kept = value, kept + size
    certified = threshold is not None
    return Cut(
        threshold=threshold,
        bound=_bound(allowed if certified else strictest, n, level),
        target=target,
        delta=level,
        method=method,
        n=n,
        kept=kept / n if n else 0.0,
        labels_needed=None if certified else _labels_for(strictest / n if n else 0.0, target, level),
    )


def error_cut(
    confidences: Sequence[float],
    wrong: Sequence[bool],
    target: float,
    delta: float = 0.1,
    grid: int = 10,
    least_kept: float = 0.2,
) -> Cut:
    """A threshold at which at most the share *target* of the **kept** answers is wrong, with probability 1 - *delta*.

    This risk need not fall as the threshold rises, so thresholds are tested one after the other: *grid* of them, at
    equally spaced kept shares from *least_kept* to all, set before any label is seen; each by the exact binomial test
    of the answers above it, in turn from the most confident end, until the first that fails (fixed-sequence Learn
    then Test, Angelopoulos et al. 2021, arXiv 2110.01052, section 2.3). A finer grid, or one that starts lower,
    certifies *less*: the test of few answers has no power, and the first failure ends it.

    Exact where answers of a higher confidence are not more often wrong. The kept shares are those among these items,
    and the threshold is the least confidence that was kept and tested.

    None where not even the most confident *least_kept* can be certified, which is the honest result of an edge model
    with little signal: at an error rate m, at least (m - target) / (1 - target) must be escalated by anyone.
    """
    check_promise("target", target, delta)
    if grid < 1 or not 0 < least_kept <= 1:
        raise ConfigurationError(f"grid must be at least 1 and least_kept in (0, 1], not {grid!r} and {least_kept!r}.")
    require("scipy", extra="train", wanted_by="Calibration")
    n = len(confidences)
    descending = sorted(_ranked(confidences), reverse=True)
    groups = list(_descending(confidences, wrong))
    threshold, kept, bound, needed = None, 0, 1.0, None
    for share in _shares(grid, least_kept):
        # Answers tied with the first one left out are left out too: above it, all are drawn alike.
        most = math.ceil(round(share * n, 9))
        left_out = descending[most] if most < n else -math.inf
        tested = [group for group in groups if group[0] > left_out]
        size = sum(group[1] for group in tested)
        if not size:
            continue
        errors = sum(group[2] for group in tested)
        reached = _bound(errors, size, delta)
        if reached > target:
            if threshold is None:
                bound, needed = reached, _labels_for(errors / size, target, delta, of=size / n)
            break
        threshold, kept, bound = tested[-1][0], size, reached
    return Cut(
        threshold=threshold,
        bound=bound,
        target=target,
        delta=delta,
        method="ltt",
        n=n,
        kept=kept / n if n else 0.0,
        labels_needed=needed,
    )


def labels_needed(target: float, delta: float | None = 0.1) -> int:
    """The fewest items that certify *target* if not one is lossy: n >= ln(delta) / ln(1 - target), or with
    ``delta=None``, on average, n >= 1 / target - 1.

    >>> labels_needed(0.05), labels_needed(0.05, delta=0.05), labels_needed(0.05, delta=None)
    (45, 59, 19)
    """
    check_promise("target", target, delta)
    exact = 1 / target - 1 if delta is None else math.log(delta) / math.log1p(-target)
    # Rounded, so that 19.000000000000004 is not 20.
    return max(1, math.ceil(round(exact, 9)))


def _shares(grid: int, least_kept: float) -> list[float]:
    if grid == 1:
        return [least_kept]
    return [least_kept + (1 - least_kept) * i / (grid - 1) for i in range(grid)]


def _labels_for(share: float, target: float, delta: float | None, *, of: float = 1.0) -> int | None:
    """The fewest items that certify *target* at a lossy *share*, where only the part *of* them is looked at."""
    if share >= target:
        return None

    def enough(n: int) -> bool:
        return _bound(math.ceil(round(share * n, 9)), n, delta) <= target

    def most(lossy: int) -> int:
        return math.floor(round(lossy / share, 9))

    if not share:
        return math.ceil(round(labels_needed(target, delta) / of, 9))
    # The bound falls with the items as long as no more of them are lossy, and jumps where one is: more items can be
    # less. Had each number of lossy ones as many items as the share says, to the fraction, it would only fall.
    numbers = range(math.ceil(MOST_LABELS * share))
    least = bisect_left(numbers, True, key=lambda lossy: _bound(lossy, lossy / share, delta) <= target)
    lossy = next((lossy for lossy in numbers[least:] if enough(most(lossy))), None)
    if lossy is None:
        return None
    fewest = range(most(lossy - 1) + 1, most(lossy))
    return math.ceil(round((fewest.start + bisect_left(fewest, True, key=enough)) / of, 9))


def _bound(lossy: int, n: float, delta: float | None) -> float:
    """What a share is at most after *lossy* of *n*: the Clopper-Pearson bound at 1 - *delta*, or the mean bound."""
    if lossy >= n:
        return 1.0
    if delta is None:
        return (lossy + 1) / (n + 1)
    special: Any = import_module("scipy.special")
    return float(special.betaincinv(lossy + 1, n - lossy, 1 - delta))


@lru_cache(maxsize=256)
def _allowed(n: int, target: float, delta: float | None) -> int:
    """How many of *n* may be lossy for the bound to be at most *target*; -1 if not even none may."""
    return bisect_right(range(n), target, key=lambda lossy: _bound(lossy, n, delta)) - 1


def _descending(confidences: Sequence[float], losses: Sequence[bool]) -> Iterable[tuple[float, int, int]]:
    """Each distinct confidence from the highest on, how many items have it, and how many of these are lossy."""
    check_labels(confidences, losses)
    items = sorted(
        (item for item in zip(_ranked(confidences), map(int, losses), strict=True) if item[0] > -math.inf),
        reverse=True,
    )
    for value, group in groupby(items, key=lambda item: item[0]):
        tied = [loss for _, loss in group]
        yield value, len(tied), sum(tied)


def _ranked(confidences: Sequence[float]) -> list[float]:
    """The confidences, no signal below all."""
    check_confidences(confidences)
    return [-math.inf if math.isnan(confidence) else confidence for confidence in confidences]


def check_promise(name: str, target: float, delta: float | None) -> None:
    """Raises ConfigurationError unless there are such numbers to promise; *name* is what the caller calls *target*."""
    if not 0 < target < 1:
        raise ConfigurationError(f"{name} must be between 0 and 1, not {target!r}.")
    if delta is not None and not 0 < delta < 1:
        raise ConfigurationError(f"delta must be between 0 and 1, not {delta!r}.")
