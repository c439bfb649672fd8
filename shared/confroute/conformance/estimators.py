"""What every estimator must do."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from confroute.estimators import Estimator
from confroute.records import Evidence, Sample

Draw: TypeAlias = Callable[[random.Random], Evidence]
Law: TypeAlias = Callable[[Estimator, Evidence, random.Random], None]

_TEXTS: Final = ("Paris", "It is Paris.", "Lyon", "Rome", "1969", "True", "yes")


def random_evidence(rng: random.Random) -> Evidence:
    """An answer and two to ten samples with logprobs, tokens and alternatives, and a reply to every question."""
    samples = tuple(_random_sample(rng) for _ in range(rng.randint(2, 10)))
    replies = _Replies({"": _random_sample(rng, text=rng.choice(("True", "False", "80", "no idea")))})
    return Evidence(question="Where and when?", answer=_random_sample(rng), samples=samples, replies=replies)


class _Replies(dict[str, Sample]):
    """The same reply to whatever was asked."""

    def get(self, key: str, default: object = None, /) -> Sample:  # noqa: ARG002
        return self[""]

    def __missing__(self, key: str) -> Sample:
        return self[""]

    def __contains__(self, key: object) -> bool:
        return True


def _random_sample(rng: random.Random, *, text: str | None = None) -> Sample:
    text = text or rng.choice(_TEXTS)
    tokens = tuple(word if i == 0 else " " + word for i, word in enumerate(text.split()))
    places = [sorted((-rng.expovariate(0.7) for _ in range(20)), reverse=True) for _ in tokens]
    others = ("True", "False", "yes", "no", *map(str, range(15)))
    return Sample(
        text=text,
        tokens=tokens,
        token_logprobs=tuple(place[0] for place in places),
        alternatives=tuple(
            tuple(zip((token, *others), place, strict=True)) for token, place in zip(tokens, places, strict=True)
        ),
        output_tokens=len(tokens),
    )


def check_estimator(estimator: Estimator, *, draw: Draw = random_evidence, draws: int = 100, seed: int = 0) -> None:
    """Try each of `ESTIMATOR_LAWS` on as many random pieces of evidence; AssertionError with the law that is broken.

    *draw* makes the evidence, where an estimator needs answers of its own kind to say anything. It must say something
    about at least one of them. Meant for tests: ``check_estimator(MyEstimator())``.
    """
    rng = random.Random(seed)  # noqa: S311
    drawn = [draw(rng) for _ in range(draws)]
    if not any(math.isfinite(estimator.estimate(evidence).uncertainty) for evidence in drawn):
        raise AssertionError(
            f"{estimator.identity} measured none of {draws} random answers; give it a draw of its own."
        )
    for name, law in ESTIMATOR_LAWS.items():
        for evidence in drawn:
            try:
                law(estimator, evidence, rng)
            except AssertionError as broken:
                raise AssertionError(f"{estimator.identity} breaks the law '{name}'. {broken}") from broken


def _in_range(estimator: Estimator, evidence: Evidence, _: random.Random) -> None:
    low, high = {"share": (0, 1), "nats": (0, math.inf), "count": (1, math.inf), "score": (-math.inf, math.inf)}[
        estimator.unit
    ]
    value = _value(estimator, evidence)
    assert math.isnan(value) or low <= value <= high, f"Its unit is {estimator.unit}, its number {value}."


def _pure(estimator: Estimator, evidence: Evidence, _: random.Random) -> None:
    first, second = _value(estimator, evidence), _value(estimator, evidence)
    assert _same(first, second, tolerance=0), f"Asked twice about one answer, it said {first} and {second}."
    (batched,) = estimator.estimate_all([evidence])
    assert _same(first, batched.uncertainty), f"Alone it said {first}, in a batch {batched.uncertainty}."


def _blank_answer(estimator: Estimator, evidence: Evidence, _: random.Random) -> None:
    for text in ("", " \n"):
        value = _value(estimator, replace(evidence, answer=replace(evidence.answer, text=text)))
        assert math.isnan(value), f"It said {value}."


def _order(estimator: Estimator, evidence: Evidence, rng: random.Random) -> None:
    shuffled = tuple(rng.sample(evidence.samples, len(evidence.samples)))
    first, second = _value(estimator, evidence), _value(estimator, replace(evidence, samples=shuffled))
    assert _same(first, second), f"The same samples in another order give {second}, not {first}."


def _samples_needed(estimator: Estimator, evidence: Evidence, _: random.Random) -> None:
    without = _value(estimator, replace(evidence, samples=()))
    if estimator.needs_samples:
        assert math.isnan(without), f"Without the samples that it needs it said {without}."
    else:
        value = _value(estimator, evidence)
        assert _same(value, without), f"It needs no samples, but says {value} with and {without} without them."


def _missing_parts(estimator: Estimator, evidence: Evidence, _: random.Random) -> None:
    value = _value(estimator, evidence)
    for missing in ("token_logprobs", "tokens", "alternatives"):
        bare = replace(
            evidence,
            answer=replace(evidence.answer, **{missing: None}),
            samples=tuple(replace(sample, **{missing: None}) for sample in evidence.samples),
        )
        without = _value(estimator, bare)
        assert math.isnan(without) or _same(value, without), f"Without {missing} it said {without} instead of {value}."
    unknown = _value(estimator, replace(evidence, answer=_unknown(evidence.answer)))
    assert math.isnan(unknown) or _same(value, unknown), f"With NaN for logprobs it said {unknown} instead of {value}."
    if estimator.follow_ups(evidence):
        silent = _value(estimator, replace(evidence, replies={}))
        assert math.isnan(silent), f"Without the replies that it asks for it said {silent}."


def _unknown(sample: Sample) -> Sample:
    """With NaN for each logprob but the first, which is where a comparison does not see it."""
    logprobs = sample.token_logprobs or ()
    places = [
        [(name, p if not j else math.nan) for j, (name, p) in enumerate(place)] for place in sample.alternatives or ()
    ]
    return replace(
        sample,
        token_logprobs=(*logprobs[:1], *[math.nan] * len(logprobs)),
        alternatives=tuple(map(tuple, places)),
    )


def _improbable(estimator: Estimator, evidence: Evidence, _: random.Random) -> None:
    def lowered(sample: Sample) -> Sample:
        return replace(sample, token_logprobs=tuple(p - 800.0 for p in sample.token_logprobs or ()))

    low = replace(evidence, answer=lowered(evidence.answer), samples=tuple(map(lowered, evidence.samples)))
    before, value = _value(estimator, evidence), _value(estimator, low)
    assert math.isfinite(value) or not math.isfinite(before), f"With logprobs around -800 it said {value}."


def _bounded(estimator: Estimator, evidence: Evidence, rng: random.Random) -> None:
    drawn = rng.randint(0, len(evidence.samples) if estimator.needs_samples else 0)
    rest = len(evidence.samples) - drawn
    bounds = estimator.bounds(replace(evidence, samples=evidence.samples[:drawn]), rest)
    if bounds is not None:
        value = _value(estimator, evidence)
        assert bounds[0] - 1e-9 <= value <= bounds[1] + 1e-9, (
            f"After {drawn} samples {bounds}, after {rest} more {value}."
        )


def _confidence(estimator: Estimator, evidence: Evidence, rng: random.Random) -> None:
    value = _value(estimator, evidence)
    other = value + rng.random()
    assert math.isnan(estimator.confidence(math.nan)), "NaN has a confidence."
    if not math.isnan(value):
        surer, less_sure = estimator.confidence(value), estimator.confidence(other)
        assert 0 <= less_sure <= surer <= 1, f"Uncertainties {value} and {other} have confidences {surer}, {less_sure}."


def _identity(estimator: Estimator, _evidence: Evidence, _: random.Random) -> None:
    again = copy.deepcopy(estimator)
    assert again.identity == estimator.identity, f"A copy's identity is {again.identity}."
    assert estimator.identity.startswith(f"{estimator.name}@{estimator.version}"), f"It is {estimator.identity}."


ESTIMATOR_LAWS: Final[Mapping[str, Law]] = {
    "its number is in the range of its unit": _in_range,
    "the same evidence gives the same number": _pure,
    "a blank answer has no uncertainty": _blank_answer,
    "the order of the samples does not matter": _order,
    "samples are needed or not looked at": _samples_needed,
    "what is missing is never taken for confidence": _missing_parts,
    "logprobs around -800 still give a number": _improbable,
    "bounds hold whatever the rest of the samples says": _bounded,
    "confidence falls as uncertainty rises": _confidence,
    "a copy has the same identity": _identity,
}
"""By the law in words."""


def _value(estimator: Estimator, evidence: Evidence) -> float:
    return estimator.estimate(evidence).uncertainty


def _same(a: float, b: float, *, tolerance: float = 1e-9) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b)) or abs(a - b) <= tolerance
