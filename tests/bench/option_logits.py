"""Whether certified thresholds keep their promise on real models, and what that costs.

Prints, and writes into docs/certificates.md, how often each rule breaks its target and how much it keeps, on next-token
logits of four edge models and a cloud model that are read from ``$CONFROUTE_DATA/option_logits``, by default
``../shared/data`` beside the project. Takes about a minute; the same numbers on every run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track
from scipy.stats import beta

from confroute.calibration import harm_cut
from confroute.evaluation import auroc

DATA = Path(os.environ.get("CONFROUTE_DATA") or Path(__file__).parents[3] / "shared" / "data") / "option_logits"
DOCUMENT = Path(__file__).parents[2] / "docs/certificates.md"

EDGES = ("Qwen-7B", "Mistral-7B-v0.1", "Qwen-1_8B", "mpt-7b")
CLOUD = "Qwen-72B"
TASKS = {"mmlu": "MMLU", "cosmosqa": "CosmosQA", "hellaswag": "HellaSwag"}
RULES = {"naive": "naive", "crc": "CRC", "rcps": "RCPS"}
TARGETS = (0.05, 0.10)
DELTA = 0.1
REPEATS = 200
LABELS = 500
ENOUGH = 0.85
TRANSFER_LABELS = 1000

Array = Any


@dataclass(frozen=True, slots=True)
class Questions:
    """One edge model on one task: the answers sorted by confidence, the surest first."""

    confidences: Array
    losses: Array
    """Whether the edge's option is another than the cloud's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one calibration led to on the items that it did not see."""

    risk: float
    """P(kept and lossy)."""
    kept: float
    oracle: float
    """The share kept by the lowest threshold that meets the target on these very items."""


def load(edge: str, task: str) -> Questions:
    with np.load(DATA / f"{task}_10k.npz") as logits:
        own, cloud = logits[edge].astype(float), logits[CLOUD]
    shares = np.exp(own - own.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    order = np.argsort(-shares.max(axis=1), kind="stable")
    return Questions(shares.max(axis=1)[order], (own.argmax(axis=1) != cloud.argmax(axis=1))[order])


def risks(confidences: Array, losses: Array) -> tuple[Array, Array, Array]:
    """Each distinct confidence from the highest on, with the risk and the kept share of keeping it and all above."""
    last = np.flatnonzero(np.append(confidences[1:] != confidences[:-1], True))
    return confidences[last], losses.cumsum()[last] / len(losses), (last + 1) / len(losses)


def threshold(rule: str, confidences: Array, losses: Array, target: float) -> float:
    """The rule's threshold; infinite where it escalates everything."""
    if rule == "naive":
        values, risk, _ = risks(confidences, losses)
        fitting = values[risk <= target]
        return float(fitting[-1]) if len(fitting) else np.inf
    cut = harm_cut(confidences.tolist(), losses.tolist(), target, DELTA, "crc" if rule == "crc" else "rcps")
    return np.inf if cut.threshold is None else cut.threshold


def calibrate(questions: Questions, target: float, repeats: int, labels: int, seed: int) -> dict[str, list[Outcome]]:
    """*repeats* times each rule on *labels* items drawn at random, tried on all others."""
    rng = np.random.default_rng(seed)
    outcomes: dict[str, list[Outcome]] = {rule: [] for rule in RULES}
    total = len(questions.losses)
    for _ in range(repeats):
        seen = np.zeros(total, dtype=bool)
        seen[rng.choice(total, labels, replace=False)] = True
        unseen, lossy = questions.confidences[~seen], questions.losses[~seen]
        _, risk, share = risks(unseen, lossy)
        oracle = share[risk <= target].max(initial=0.0)
        for rule in RULES:
            kept = unseen >= threshold(rule, questions.confidences[seen], questions.losses[seen], target)
            outcomes[rule].append(Outcome(risk=(kept & lossy).mean(), kept=kept.mean(), oracle=oracle))
    return outcomes


def interval(count: int, n: int) -> tuple[float, float]:
    """The exact 95 % interval of a share (Clopper-Pearson)."""
    low = float(beta.ppf(0.025, count, n - count + 1)) if count else 0.0
    return low, float(beta.ppf(0.975, count + 1, n - count)) if count < n else 1.0


def main() -> None:
    questions = {(edge, task): load(edge, task) for edge in EDGES for task in TASKS}
    results = {
        (target, *key): calibrate(questions[key], target, REPEATS, LABELS, seed)
        for target in TARGETS
        for seed, key in enumerate(track(questions, f"target {target}"))
    }
    parts = [INTRODUCTION, "", *_signals(questions)]
    for target in TARGETS:
        parts += ["", f"## At most {target:.0%} of all requests kept and lossy", "", *_promises(results, target)]
    parts += ["", TRANSFER, "", *_transfers(questions), ""]
    DOCUMENT.write_text("\n".join(parts), encoding="utf-8")
    print(DOCUMENT.read_text(encoding="utf-8"))


def _signals(questions: dict[tuple[str, str], Questions]) -> list[str]:
    lines = ["| edge model | " + " | ".join(f"{task}: lossy, AUROC" for task in TASKS.values()) + " |"]
    lines.append("| --- |" + " ---: |" * len(TASKS))
    for edge in EDGES:
        own = [questions[edge, task] for task in TASKS]
        cells = [f"{q.losses.mean():.3f}, {auroc((-q.confidences).tolist(), q.losses.tolist()):.2f}" for q in own]
        lines.append(f"| {edge} | " + " | ".join(cells) + " |")
    return lines


def _promises(results: dict[Any, dict[str, list[Outcome]]], target: float) -> list[str]:
    lines = [
        "| edge model, task | kept by the oracle | " + " | ".join(f"{name}: broken" for name in RULES.values()) + " | "
        "CRC: mean risk | " + " | ".join(f"{name}: kept, of the oracle's" for name in RULES.values()) + " |",
        "| --- |" + " ---: |" * (2 + 2 * len(RULES)),
    ]
    pools = {
        **{f"{edge}, {TASKS[task]}": [(edge, task)] for edge in EDGES for task in TASKS},
        "**all**": [(edge, task) for edge in EDGES for task in TASKS],
        f"**all but {EDGES[-1]}**": [(edge, task) for edge in EDGES[:-1] for task in TASKS],
    }
    most_broken: list[str] = []
    little_kept: list[str] = []
    for name, keys in pools.items():
        pooled = {rule: [o for key in keys for o in results[(target, *key)][rule]] for rule in RULES}
        oracle = _mean([o.oracle for o in pooled["rcps"]])
        cells = [f"{oracle:.3f}"]
        for outcomes in pooled.values():
            broken = sum(o.risk > target for o in outcomes)
            low, high = interval(broken, len(outcomes))
            cells.append(f"{broken / len(outcomes):.3f} ({low:.2f} to {high:.2f})")
        cells.append(f"{_mean([o.risk for o in pooled['crc']]):.3f}")
        for outcomes in pooled.values():
            kept = _mean([o.kept for o in outcomes])
            cells.append(f"{kept:.3f}, {kept / oracle:.2f}" if oracle else f"{kept:.3f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
        broken, share = (
            _mean([o.risk > target for o in pooled["rcps"]]),
            _mean([o.kept for o in pooled["rcps"]]) / oracle,
        )
        most_broken += [f"{name} ({broken:.3f})"] if broken > DELTA else []
        little_kept += [f"{name} ({share:.2f})"] if share < ENOUGH else []
    more, less = ("; ".join(names) or "nowhere" for names in (most_broken, little_kept))
    summary = f"RCPS breaks the target in more than {DELTA} of the calibrations: {more}."
    return [*lines, "", f"{summary} It keeps less than {ENOUGH} of what the oracle keeps: {less}."]


def _transfers(questions: dict[tuple[str, str], Questions]) -> list[str]:
    lines = [
        "| edge model, calibrated on | " + " | ".join(f"risk on {task}" for task in TASKS.values()) + " |",
        "| --- |" + " ---: |" * len(TASKS),
    ]
    for edge in EDGES:
        for source in TASKS:
            risk: dict[str, list[float]] = {task: [] for task in TASKS}
            own = questions[edge, source]
            rng = np.random.default_rng(0)
            for _ in range(REPEATS):
                seen = np.zeros(len(own.losses), dtype=bool)
                seen[rng.choice(len(own.losses), TRANSFER_LABELS, replace=False)] = True
                least = threshold("rcps", own.confidences[seen], own.losses[seen], TARGETS[0])
                for task in TASKS:
                    other = questions[edge, task]
                    kept = (other.confidences >= least) & (~seen if task == source else True)
                    of = len(seen) - TRANSFER_LABELS if task == source else len(seen)
                    risk[task].append(float((kept & other.losses).sum() / of))
            cells = [f"{_mean(values):.3f} ({_mean([v > TARGETS[0] for v in values]):.2f})" for values in risk.values()]
            lines.append(f"| {edge}, {TASKS[source]} | " + " | ".join(cells) + " |")
    return lines


def _mean(values: list[Any]) -> float:
    return sum(values) / len(values)


INTRODUCTION = f"""# What a certified threshold keeps, and whether it keeps its promise

Four edge models answer 10,000 questions with six options of each of three tasks; {CLOUD} is the cloud. The data are
the models' logits in LLM-Uncertainty-Bench (arXiv 2401.12794). The confidence is the highest probability of an option,
and a kept answer is lossy where the edge chooses another option than {CLOUD}: the label that shadow calls give for
free, and no statement about which of the two is right.

{REPEATS} times per model and task a threshold is set on {LABELS} questions drawn at random and tried on the other
{10_000 - LABELS:,}. "Broken" is how often the risk there, P(kept and lossy), exceeds the target, with its exact 95 %
interval. The rules: *naive*, the lowest threshold with an observed risk of at most the target; *CRC*,
`harm_cut(..., method="crc")`, which promises the target on average only; *RCPS*, `harm_cut(...)`, which promises it in
{1 - DELTA:.0%} of calibrations, so "broken" is to be at most {DELTA}. As the questions tried are those left over by the
draw, a lucky draw leaves slightly unlucky ones, so that "broken" is a little higher than on fresh traffic. The *oracle*
sees the labels of the questions that it is tried on. Repeat with `python tests/bench/option_logits.py`.

How often each edge model is lossy if all is kept, and how well its confidence tells (0.5 is no signal):"""

TRANSFER = f"""## Calibrated on one task, used on another

The mean risk of an RCPS threshold from {TRANSFER_LABELS:,} questions of one task (target {TARGETS[0]}, delta {DELTA}),
on the others, and in parentheses how often it exceeds the target. A certificate is for one kind of question."""


if __name__ == "__main__":
    main()
