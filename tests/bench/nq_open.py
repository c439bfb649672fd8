"""Every estimator on NQ-open with the real default edge model: how well it tells wrong answers, and what it costs.

Prints, and writes into docs/estimators.md, the table. Asking the edge takes one to two hours; what it said is kept in
the folder --work (by default .benchmarks/nq_open), and a second run goes on from there.

    python tests/bench/nq_open.py [--questions 1800] [--threads N] [--work FOLDER]
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.progress import track

from confroute import Disagreement, Estimator, Evidence, MeanLogprob, SamplingOptions, SemanticEntropy
from confroute.calibration.collection import Collected, Collection, read_sample
from confroute.calibration.journal import Journal
from confroute.calibration.prompts import Prompt
from confroute.demo.questions import SYSTEM
from confroute.edge import EdgeEngine, resolve_edge
from confroute.edge.llamacpp import LlamaCppEngine
from confroute.equivalence import EmbeddingEquivalence, ExactEquivalence, RougeL
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
    PTrue,
    SemanticDensity,
    SequenceNLL,
    TokenEntropy,
    Verbalized,
    VoteShare,
)
from confroute.evaluation import auroc, bootstrap_interval, prr
from confroute.grading import contains_answer

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("CONFROUTE_DATA") or ROOT.parent / "shared/data")
DOCUMENT = ROOT / "docs/estimators.md"
SELF_REPORTS = 600
"""Questions whose answers the edge is asked about; two more requests for each make the run half as long again."""
REPLAYED = 600
RESAMPLES = 500
OPTIONS = SamplingOptions(max_tokens=16, seed=7)
SAMPLES, WAVE = 10, 2
ALTERNATIVES = TokenEntropy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One estimator's numbers: an uncertainty for each question, and the seconds that computing it took."""

    name: str
    estimator: Estimator | None
    uncertainties: list[float]
    seconds: float = math.nan
    passes: int = 0


def estimators() -> list[Estimator]:
    exact, embedding = ExactEquivalence(), EmbeddingEquivalence()
    return [
        MeanLogprob(),
        SequenceNLL(),
        LogprobQuantile(),
        LogprobQuantile(q=0.25),
        TokenEntropy(),
        Margin(),
        Disagreement(),
        Disagreement(equivalence=exact),
        Disagreement(equivalence=embedding),
        VoteShare(),
        SemanticEntropy(),
        SemanticEntropy(equivalence=exact),
        SemanticEntropy(equivalence=embedding),
        SemanticEntropy(weighting="likelihood"),
        SemanticEntropy(weighting="cluster_mean"),
        LexicalSimilarity(),
        DegreeMatrix(),
        DegreeMatrix(equivalence=embedding),
        EigenvalueSum(),
        EigenvalueSum(equivalence=embedding),
        Eccentricity(),
        Eccentricity(equivalence=embedding),
        KernelLanguageEntropy(),
        KernelLanguageEntropy(equivalence=embedding),
        CoCoA(),
        CoCoA(own=SequenceNLL()),
        CoCoA(own=TokenEntropy()),
        CoCoA(equivalence=RougeL()),
        CoCoA(equivalence=embedding),
        SemanticDensity(),
        SemanticDensity(equivalence=embedding),
        SAR(),
        SAR(tokens=False),
        PTrue(),
        Verbalized(),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--questions", type=int, default=1800)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--work", type=Path, default=ROOT / ".benchmarks/nq_open")
    arguments = parser.parse_args()
    with gzip.open(DATA / "nq_open/dev_first_1800.jsonl.gz", "rt", encoding="utf-8") as file:
        items = [json.loads(line) for line in file][: arguments.questions]
    prompts = [
        Prompt(
            messages=({"role": "system", "content": SYSTEM}, {"role": "user", "content": item["question"]}),
            references=tuple(item["answer"]),
        )
        for item in items
    ]
    edge = resolve_edge("smollm2-135m", engine="llamacpp")
    if arguments.threads is not None and isinstance(edge, LlamaCppEngine):
        edge = LlamaCppEngine(edge.path, name=edge.model, threads=arguments.threads)
    sampled = Collection(edge=edge, estimators=[Disagreement(), ALTERNATIVES], samples=SAMPLES, options=OPTIONS)
    gathering = sampled.gather(prompts, arguments.work / "samples.jsonl")
    answers = list(track(gathering, "asking for samples", total=len(prompts)))
    reporting = _self_reports(edge, answers, arguments.work / "self_reports.jsonl")
    evidence = list(track(reporting, "asking for self-reports", total=len(prompts)))
    wrong = [
        item is None or not contains_answer(item.answer.text, prompt.references or ())
        for prompt, item in zip(prompts, evidence, strict=True)
    ]
    timing = _timing(edge, prompts[:40])
    lines = _scored(evidence)
    lines.append(_combination(evidence, wrong))
    DOCUMENT.write_text(_document(lines, evidence, wrong, timing, edge.model), encoding="utf-8")
    print(DOCUMENT.read_text(encoding="utf-8"))


def _self_reports(edge: EdgeEngine, answers: Sequence[Collected], path: Path) -> Iterator[Evidence | None]:
    """The evidence with the edge's replies about each of its answers."""
    parts = (PTrue(), Verbalized())
    settings = {"edge": edge.model, "estimators": [part.identity for part in parts]}
    with Journal(path, settings=settings) as journal:
        for i, item in enumerate(answers):
            if item.evidence is None or i >= SELF_REPORTS:
                yield item.evidence
                continue
            questions = {name: ask for part in parts for name, ask in part.follow_ups(item.evidence).items()}
            if item.key not in journal.results:
                replies = {
                    name: asdict(edge.generate(ask.messages, n=1, options=ask.options).samples[0])
                    for name, ask in questions.items()
                }
                journal.add(item.key, replies)
            known = journal.results[item.key]
            yield replace(item.evidence, replies={name: read_sample(known[name]) for name in questions})


def _scored(evidence: Sequence[Evidence | None]) -> list[Line]:
    """A line for each estimator; the seconds are those of 20 questions scored by it alone."""
    parts = estimators()
    values: list[list[float]] = [[] for _ in parts]
    # Question by question, so that an embedding made for one estimator is still remembered for the next.
    for item in track(evidence, "scoring"):
        for part, own in zip(parts, values, strict=True):
            own.append(part.estimate(item).uncertainty if item else math.nan)
    known = [item for item in evidence if item]
    lines: list[Line] = []
    for i, (part, own) in enumerate(zip(parts, values, strict=True)):
        alone = estimators()[i]
        alone.estimate(known[-1])  # loads what it needs
        started = time.perf_counter()
        alone.estimate_all(known[:20])
        seconds = (time.perf_counter() - started) / len(known[:20])
        passes = len(part.follow_ups(known[0]))
        lines.append(Line(name=part.identity, estimator=part, uncertainties=own, seconds=seconds, passes=passes))
    return lines


def _combination(evidence: Sequence[Evidence | None], wrong: Sequence[bool]) -> Line:
    """Fitted on four fifths at a time, and judged on the rest."""
    parts = (MeanLogprob(), SequenceNLL(), LogprobQuantile(), TokenEntropy(), Disagreement(), SemanticEntropy())
    values = [math.nan] * len(evidence)
    for fold in range(5):
        rest = [i for i, item in enumerate(evidence) if item and i % 5 != fold]
        fitted = LogisticCombination.fit(parts, [e for i in rest if (e := evidence[i])], [wrong[i] for i in rest])
        for i in range(fold, len(evidence), 5):
            if (item := evidence[i]) is not None:
                values[i] = fitted.estimate(item).uncertainty
    names = ", ".join(part.name for part in parts)
    return Line(name=f"logistic_combination of {names}; cross-fitted, 5 folds", estimator=None, uncertainties=values)


def _timing(edge: EdgeEngine, prompts: Sequence[Prompt]) -> dict[str, float]:
    """Median seconds of a served answer, of ten samples of it and of a follow-up, measured afresh."""
    took: dict[str, list[float]] = {"answer": [], "samples": [], "follow-up": []}
    for prompt in prompts:
        for name, parts, n in (("answer", [MeanLogprob()], 2), ("samples", [Disagreement()], SAMPLES)):
            collection = Collection(edge=edge, estimators=parts, samples=n, options=OPTIONS)
            started = time.perf_counter()
            collection.ask(prompt)
            took[name].append(time.perf_counter() - started)
        started = time.perf_counter()
        Collection(edge=edge, estimators=[PTrue()], options=OPTIONS).ask(prompt)
        took["follow-up"].append(time.perf_counter() - started)
    served = statistics.median(took["answer"])
    return {"answer": served} | {name: statistics.median(took[name]) - served for name in ("samples", "follow-up")}


def _document(
    lines: Sequence[Line],
    evidence: Sequence[Evidence | None],
    wrong: Sequence[bool],
    timing: dict[str, float],
    model: str,
) -> str:
    n, right = len(wrong), len(wrong) - sum(wrong)
    low, high = bootstrap_interval(lambda chosen: sum(not wrong[i] for i in chosen) / n, n)
    text = [
        "# Estimators on NQ-open",
        "",
        f"The first {n} questions of NQ-open's dev set, {model} (SmolLM2-135M-Instruct, Q4_1) on llama.cpp,",
        f"at most {OPTIONS.max_tokens} tokens an answer, {SAMPLES} samples at temperature 0.7 and top-p 0.9.",
        "An answer is right if an accepted one stands in it as whole words:",
        f"{right} of {n}, {right / n:.1%} (95 %: {low:.1%} to {high:.1%}).",
        "So few are right that the intervals are wide: estimators whose intervals overlap are not told apart here.",
        "Repeat with `python tests/bench/nq_open.py`.",
        "",
        "AUROC is that of “the answer is wrong”, 0.5 is chance. PRR is how much of an oracle's gain is gained by",
        "giving up the most uncertain answers first, 0 is chance. Brackets: 95 % intervals from 500 bootstrap",
        "samples of the questions, the same for all lines. *Silent* is the share of answers without a number, which",
        "count as the most uncertain. Costs are beyond the served answer itself: samples drawn, further requests to",
        "the edge, and the milliseconds that computing the number takes (equivalence models included, sampling not).",
        "",
        "| estimator | AUROC | PRR | silent | samples | requests | scoring, ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for line in lines:
        asked = min(SELF_REPORTS, n) if line.passes else n
        v = line.uncertainties[:asked]
        silent = sum(map(math.isnan, v)) / len(v)
        area = _with_interval(lambda chosen, v=v: auroc([v[i] for i in chosen], [wrong[i] for i in chosen]), len(v))
        ratio = _with_interval(lambda chosen, v=v: prr([v[i] for i in chosen], [not wrong[i] for i in chosen]), len(v))
        samples = SAMPLES if line.estimator is None or line.estimator.needs_samples else 0
        scoring = "" if math.isnan(line.seconds) else f"{1000 * line.seconds:.2f}"
        name = f"`{line.name}`" + (f", first {asked} questions" if asked < n else "")
        text.append(f"| {name} | {area} | {ratio} | {silent:.1%} | {samples} | {line.passes} | {scoring} |")
    text += [
        "",
        f"On this machine, medians of 40 questions: a served answer {timing['answer']:.2f} s, its {SAMPLES} samples",
        f"{timing['samples']:.2f} s more, one further request {timing['follow-up']:.2f} s more.",
        "",
        "## No sample that cannot change the decision",
        "",
        f"The first {min(REPLAYED, n)} answers replayed in waves of {WAVE}: samples drawn on average of {SAMPLES},",
        "at thresholds that escalate about a quarter, half and three quarters. The decisions are compared one by one",
        "with those of all samples.",
        "",
        "| estimator | threshold on confidence | escalated | samples drawn, mean | decisions that differ |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for estimator in (Disagreement(), SemanticEntropy(), CoCoA(), CoCoA(own=SequenceNLL())):
        text += _curtailed(estimator, [item for item in evidence if item][:REPLAYED])
    return "\n".join([*text, ""])


def _with_interval(statistic: Callable[[Sequence[int]], float], n: int) -> str:
    low, high = bootstrap_interval(statistic, n, resamples=RESAMPLES)
    return f"{statistic(range(n)):.3f} ({low:.2f} to {high:.2f})"


def _curtailed(estimator: Estimator, evidence: Sequence[Evidence]) -> list[str]:
    confidences = [estimator.confidence(estimator.estimate(item).uncertainty) for item in evidence]
    known = [value for value in confidences if not math.isnan(value)]
    rows: list[str] = []
    for quarter in (1, 2, 3):
        wanted = quarter / 4 * len(known)
        threshold = min(sorted(set(known)), key=lambda cut, wanted=wanted: abs(sum(c < cut for c in known) - wanted))
        drawn, different, escalated = 0, 0, 0
        for item, confidence in zip(evidence, confidences, strict=True):
            keeps, used = _replayed(estimator, item, threshold)
            drawn += used
            different += keeps != (confidence >= threshold)
            escalated += not confidence >= threshold
        n = len(evidence)
        rows.append(
            f"| `{estimator.identity}` | {threshold:.3g} | {escalated / n:.0%} | {drawn / n:.1f} | {different} of {n} |"
        )
    return rows


def _replayed(estimator: Estimator, item: Evidence, threshold: float) -> tuple[bool, int]:
    """Whether the answer is kept, and after how many samples that was settled."""
    used = 0
    while used < len(item.samples):
        bounds = estimator.bounds(replace(item, samples=item.samples[:used]), len(item.samples) - used)
        verdicts = {estimator.confidence(bound) >= threshold for bound in bounds} if bounds else set[bool]()
        if len(verdicts) == 1:
            return verdicts.pop(), used
        used = min(len(item.samples), used + WAVE)
    return estimator.confidence(estimator.estimate(item).uncertainty) >= threshold, used


if __name__ == "__main__":
    main()
