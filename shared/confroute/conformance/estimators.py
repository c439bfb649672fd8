"""What every estimator must do."""

from __future__ import annotations

import copy
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from confroute.conformance.holding import hold
from confroute.estimators import Estimator
from confroute.records import Alternatives, Evidence, Sample

Draw: TypeAlias = Callable[[random.Random], Evidence]
Law: TypeAlias = Callable[[Estimator, Sequence[Evidence], random.Random], None]
"""Raises AssertionError, or anything, where one of the pieces of evidence shows it broken."""

_RANGES: Final = {
    "share": (0.0, 1.0),
    "nats": (0.0, math.inf),
    "count": (1.0, math.inf),
    "score": (-math.inf, math.inf),
}
_TEXTS: Final = ("Paris", "It is Paris.", "Lyon", "Rome", "1969", "True", "yes")


def random_evidence(rng: random.Random) -> Evidence:
    """An answer and two to ten samples with logprobs, tokens and alternatives, and a reply to every question."""
    samples = tuple(_random_sample(rng) for _ in range(rng.randint(2, 10)))
    return Evidence(
        question="Where and when?", answer=_random_sample(rng), samples=samples, replies=_Replies(rng.random())
    )


class _Replies(dict[str, Sample]):
    """A reply to whatever is asked, another under each name."""

    def __init__(self, seed: float) -> None:
        super().__init__()
        self.seed = seed
        self[""] = self[""]

    def get(self, key: str, default: object = None, /) -> Sample:  # noqa: ARG002
        return self[key]

    def __missing__(self, key: str) -> Sample:
        rng = random.Random(f"{self.seed} {key}")  # noqa: S311
        return _random_sample(rng, text=rng.choice(("True", "False", "80", "no idea")))

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
    """Try each of `ESTIMATOR_LAWS` on as many random pieces of evidence; AssertionError with the law that is broken,
    also where *estimator* raises anything else.

    *draw* makes the evidence, where an estimator needs answers of its own kind to say anything. It must say something
    about at least one of them. Meant for tests: ``check_estimator(MyEstimator())``.
    """
    rng = random.Random(seed)  # noqa: S311
    drawn = [draw(rng) for _ in range(draws)]
    for name, law in ESTIMATOR_LAWS.items():
        try:
            law(estimator, drawn, rng)
        # Whatever an estimator raises is its answer to what this law tried.
        except Exception as broken:
            how = broken if isinstance(broken, AssertionError) else f"It raised {broken!r}."
            raise AssertionError(f"{type(estimator).__name__} breaks the law '{name}'. {how}") from broken


def _each(law: Callable[[Estimator, Evidence, random.Random], None]) -> Law:
    """The law of one piece of evidence, of all that were drawn."""

    def held(estimator: Estimator, drawn: Sequence[Evidence], rng: random.Random) -> None:
        for evidence in drawn:
            law(estimator, evidence, rng)

    return held


def _named(estimator: Estimator, _drawn: Sequence[Evidence], _: random.Random) -> None:
    name, unit = getattr(estimator, "name", None), getattr(estimator, "unit", None)
    example = type(estimator).__name__.lower()
    hold(name and isinstance(name, str), f'In its class set `name`, such as name = "{example}"; it is {name!r}.')
    units = '"share", "nats", "count" or "score"'
    hold(unit in tuple(_RANGES), f"In its class set `unit` to {units}; it is {unit!r}.")


def _pure(estimator: Estimator, drawn: Sequence[Evidence], _: random.Random) -> None:
    # In reverse, so that each number is asked for again after others were seen, and after an odd number of calls.
    numbers = [_value(estimator, evidence) for evidence in drawn]
    again = [_value(estimator, evidence) for evidence in reversed(drawn)]
    for first, second in zip(numbers, reversed(again), strict=True):
        hold(_same(first, second, tolerance=0), f"Asked twice about one answer, it said {first} and {second}.")
    for batch, alone in ((drawn, numbers), (drawn[::-1], numbers[::-1])):
        batched = estimator.estimate_all(batch)
        hold(len(batched) == len(batch), f"Of a batch of {len(batch)} it estimated {len(batched)}.")
        for first, estimate in zip(alone, batched, strict=True):
            second = estimate.uncertainty
            hold(_same(first, second), f"Alone it said {first}, in a batch {second}.")


def _measures(estimator: Estimator, drawn: Sequence[Evidence], _: random.Random) -> None:
    measured = any(math.isfinite(_value(estimator, evidence)) for evidence in drawn)
    hold(measured, f"It measured none of {len(drawn)} random answers; give it a draw of its own.")


@_each
def _in_range(estimator: Estimator, evidence: Evidence, _: random.Random) -> None:
    low, high = _RANGES[estimator.unit]
    value = _value(estimator, evidence)
    hold(math.isnan(value) or low <= value <= high, f"Its unit is {estimator.unit}, its number {value}.")


@_each
def _blank_answer(estimator: Estimator, evidence: Evidence, _: random.Random) -> None:
    for text in ("", " \n"):
        value = _value(estimator, replace(evidence, answer=replace(evidence.answer, text=text)))
        hold(math.isnan(value), f"It said {value}.")


@_each
def _order(estimator: Estimator, evidence: Evidence, rng: random.Random) -> None:
    shuffled = tuple(rng.sample(evidence.samples, len(evidence.samples)))
    first, second = _value(estimator, evidence), _value(estimator, replace(evidence, samples=shuffled))
    hold(_same(first, second), f"The same samples in another order give {second}, not {first}.")


@_each
def _samples_needed(estimator: Estimator, evidence: Evidence, _: random.Random) -> None:
    without = _value(estimator, replace(evidence, samples=()))
    if estimator.needs_samples:
        hold(math.isnan(without), f"Without the samples that it needs it said {without}.")
    else:
        value = _value(estimator, evidence)
        hold(_same(value, without), f"It needs no samples, but says {value} with and {without} without them.")


@_each
def _missing_parts(estimator: Estimator, evidence: Evidence, rng: random.Random) -> None:
    questions = estimator.follow_ups(evidence)
    replies = {name: evidence.replies[name] for name in questions if name in evidence.replies}
    evidence = replace(evidence, replies=replies)
    value = _value(estimator, evidence)
    for what, less in _lessened(evidence, rng):
        without = _value(estimator, less)
        hold(math.isnan(without) or _same(value, without), f"With {what} it said {without} instead of {value}.")
    if questions:
        silent = _value(estimator, replace(evidence, replies={}))
        hold(math.isnan(silent), f"Without the replies that it asks for it said {silent}.")


def _lessened(evidence: Evidence, rng: random.Random) -> Iterator[tuple[str, Evidence]]:
    """*evidence* with one thing missing, and what that is."""
    for how, lose in _LOSSES.items():
        answer, samples = lose(evidence.answer), tuple(map(lose, evidence.samples))
        yield f"answer and samples {how}", replace(evidence, answer=answer, samples=samples)
        yield f"the answer {how}", replace(evidence, answer=answer)
        yield f"the samples {how}", replace(evidence, samples=samples)
        if samples:
            i = rng.randrange(len(samples))
            one = (*evidence.samples[:i], samples[i], *evidence.samples[i + 1 :])
            yield f"one sample {how}", replace(evidence, samples=one)
    for name, reply in evidence.replies.items():
        others = {other: evidence.replies[other] for other in evidence.replies if other != name}
        yield f"no reply to {name!r}", replace(evidence, replies=others)
        for how, lose in {**_LOSSES, "saying nothing": _silent}.items():
            yield f"the reply to {name!r} {how}", replace(evidence, replies={**others, name: lose(reply)})


def _silent(_: Sample) -> Sample:
    return Sample(text="", token_logprobs=(), tokens=(), alternatives=())


def _unknown(sample: Sample) -> Sample:
    logprobs, places = sample.token_logprobs, sample.alternatives
    return replace(
        sample,
        token_logprobs=logprobs and _but_first(logprobs),
        alternatives=places and tuple(map(_unknown_place, places)),
    )


def _unknown_place(place: Alternatives) -> Alternatives:
    logprobs = _but_first([logprob for _, logprob in place])
    return tuple((name, logprob) for (name, _), logprob in zip(place, logprobs, strict=True))


def _but_first(logprobs: Sequence[float]) -> tuple[float, ...]:
    """NaN for each but the first, which is where a comparison does not see it, or for the only one."""
    kept = logprobs[:1] if len(logprobs) > 1 else ()
    return (*kept, *[math.nan] * (len(logprobs) - len(kept)))


_LOSSES: Final[Mapping[str, Callable[[Sample], Sample]]] = {
    "without token_logprobs": lambda sample: replace(sample, token_logprobs=None),
    "without tokens": lambda sample: replace(sample, tokens=None),
    "without alternatives": lambda sample: replace(sample, alternatives=None),
    "with NaN for logprobs": _unknown,
}


@_each
def _improbable(estimator: Estimator, evidence: Evidence, _: random.Random) -> None:
    def lowered(sample: Sample) -> Sample:
        logprobs = sample.token_logprobs
        return replace(sample, token_logprobs=logprobs and tuple(p - 800.0 for p in logprobs))

    low = replace(evidence, answer=lowered(evidence.answer), samples=tuple(map(lowered, evidence.samples)))
    before, value = _value(estimator, evidence), _value(estimator, low)
    hold(math.isfinite(value) or not math.isfinite(before), f"With logprobs around -800 it said {value}.")


@_each
def _bounded(estimator: Estimator, evidence: Evidence, rng: random.Random) -> None:
    drawn = rng.randint(0, len(evidence.samples) if estimator.needs_samples else 0)
    known = replace(evidence, samples=evidence.samples[:drawn])
    remaining = len(evidence.samples) - drawn
    bounds = estimator.bounds(known, remaining)
    if bounds is None:
        return
    low, high = bounds[0] - 1e-9, bounds[1] + 1e-9
    value = _value(estimator, known)
    said = f"After {drawn} samples, with {remaining} to come, its bounds are {bounds}"
    hold(math.isnan(value) or low <= value <= high, f"{said}, but so far its number is {value}.")
    for what, rest in _rests(known, evidence.samples[drawn:], rng).items():
        value = _value(estimator, replace(known, samples=(*known.samples, *rest)))
        hold(low <= value <= high, f"{said}; after a rest {what} its number is {value}.")


def _rests(known: Evidence, rest: tuple[Sample, ...], rng: random.Random) -> dict[str, tuple[Sample, ...]]:
    """What could be said instead of *rest*: what was said already, and what was not."""
    seen = known.samples or (known.answer,)
    ((commonest, _),) = Counter(sample.text for sample in seen).most_common(1)
    alike = next(sample for sample in seen if sample.text == commonest)
    return {
        "as drawn": rest,
        "all as the answer": (known.answer,) * len(rest),
        "all as the commonest sample": (alike,) * len(rest),
        "all of one other text": (_random_sample(rng, text="other"),) * len(rest),
        "all different": tuple(_random_sample(rng, text=f"other{i}") for i in range(len(rest))),
        "all empty": (Sample(text=""),) * len(rest),
    }


@_each
def _confidence(estimator: Estimator, evidence: Evidence, rng: random.Random) -> None:
    value = _value(estimator, evidence)
    other = value + rng.random()
    hold(math.isnan(estimator.confidence(math.nan)), "NaN has a confidence.")
    if not math.isnan(value):
        surer, less_sure = estimator.confidence(value), estimator.confidence(other)
        hold(0 <= less_sure <= surer <= 1, f"Uncertainties {value} and {other} have confidences {surer}, {less_sure}.")


@_each
def _identity(estimator: Estimator, _evidence: Evidence, _: random.Random) -> None:
    again = copy.deepcopy(estimator)
    hold(again.identity == estimator.identity, f"A copy's identity is {again.identity}.")
    hold(estimator.identity.startswith(f"{estimator.name}@{estimator.version}"), f"It is {estimator.identity}.")


ESTIMATOR_LAWS: Final[Mapping[str, Law]] = {
    "it has a name and a unit": _named,
    # Before any other estimate, which could be what a later one remembers.
    "the same evidence gives the same number": _pure,
    "its number is in the range of its unit": _in_range,
    "some of the random answers can be measured": _measures,
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
