"""From collected answers and their labels to a certificate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Literal, TypeAlias

from confroute.calibration.certificate import Certificate, Kind, answer_settings, auroc_advice, template_hash
from confroute.calibration.collection import Collected, Collection
from confroute.calibration.labels import LabelKind
from confroute.calibration.probability import Beta, BetaUnit, Calibrator, Isotonic, Platt, cross_fitted
from confroute.calibration.prompts import Prompt
from confroute.calibration.thresholds import Cut, check_promise, cost_cut, error_cut, harm_cut
from confroute.edge.weights import weights_of
from confroute.errors import CalibrationError, ConfigurationError, require
from confroute.estimators import Estimator
from confroute.evaluation import auroc, auroc_interval

CalibratorKind: TypeAlias = Literal["none", "platt", "beta", "isotonic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a threshold is to promise: the risk *kind* at most *value*, with probability 1 - *delta*, or on average
    with ``delta=None`` (for a cost, a harm and a regret)."""

    kind: Kind
    value: float
    delta: float | None = 0.1

    @property
    def needs_labels(self) -> bool:
        return self.kind != "cost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """A certificate, with what it was made from: an uncertainty and a confidence for each item, NaN where the edge
    gave no signal."""

    certificate: Certificate
    cut: Cut
    uncertainties: list[float]
    confidences: list[float]
    held_out: list[float]
    """Each confidence as a calibrator fitted on the other items gives it, which is what to judge the calibrator by; the
    same as *confidences* without one, and where the items are too few, or too much alike, to fit it without some."""


def check_plan(
    prompts: Sequence[Prompt], target: Target, *, labelled: bool, compared: bool, calibrator: CalibratorKind = "none"
) -> None:
    """Raises what `certify` would raise whatever the edge answers: ask before it works for hours.

    *labelled* is whether there will be labels of the edge's answers, *compared* whether there will be those of the
    cloud's, too.
    """
    check_promise("The target", target.value, target.delta)
    templates = {template_hash(prompt.messages) for prompt in prompts}
    if len(templates) != 1:
        raise ConfigurationError(
            f"The prompts have {len(templates)} different system prompts; a certificate is for one. Calibrate each "
            "kind of prompt on its own."
        )
    if repeated := len(prompts) - len({prompt.key for prompt in prompts}):
        raise ConfigurationError(
            f"{repeated} of the {len(prompts)} prompts repeat another. A promise counts how many different ones it "
            "rests on: give each once."
        )
    if target.needs_labels and not labelled:
        raise ConfigurationError(
            f"A target for {target.kind} needs labels: references in the prompts, or a cloud model to agree with or "
            "to judge. Only a target for cost needs none."
        )
    if target.kind == "regret" and not compared:
        raise ConfigurationError("A regret needs to know where the cloud is right: references and a cloud model.")
    if target.kind == "error" and target.delta is None:
        raise ConfigurationError("The error among kept answers cannot be promised on average; give a delta.")
    if calibrator == "none":
        return
    if not labelled:
        raise ConfigurationError("A calibrator needs labels. Give the prompts references, or leave the calibrator out.")
    if calibrator == "isotonic" and target.kind == "error":
        raise ConfigurationError(
            "An isotonic calibrator draws its steps by looking at the labels, which the test of the error among kept "
            "answers must not. Use platt or beta, or another target."
        )
    require("sklearn", extra="train", wanted_by="Fitting a calibrator")


def certify(
    collection: Collection,
    estimator: Estimator,
    prompts: Sequence[Prompt],
    collected: Sequence[Collected],
    target: Target,
    *,
    acceptable: Sequence[bool] | None = None,
    cloud_right: Sequence[bool] | None = None,
    labels: LabelKind | None = None,
    calibrator: CalibratorKind = "none",
    task: str | None = None,
) -> Certified:
    """The threshold that keeps *target*, as a certificate for this edge, estimator and system prompt.

    *acceptable* is whether each of the edge's answers is, and needed for every target but a cost; *cloud_right*
    whether the cloud's is, and needed for a regret. *calibrator* names how confidences become probabilities; it is
    fitted on the same items, which costs the promise nothing: where an error is the target, the test looks at the
    order of the uncertainties alone (see `confroute.calibration.thresholds`).

    Raises:
        ConfigurationError: labels are missing for this target, the prompts have different system messages or repeat
            each other, or an isotonic calibrator is combined with a target on the error among kept answers.
        CalibrationError: the calibrator cannot be fitted to these labels.
    """
    if not len(prompts) == len(collected) == len(acceptable if acceptable is not None else prompts):
        raise CalibrationError("There must be as many prompts as collected answers and labels.")
    labelled, compared = acceptable is not None, cloud_right is not None
    check_plan(prompts, target, labelled=labelled, compared=compared, calibrator=calibrator)
    uncertainties = [estimator.estimate(item.evidence).uncertainty if item.evidence else math.nan for item in collected]
    fit = _fit(calibrator, estimator)
    fitted = fit and fit(uncertainties, acceptable or [])
    confidences = [(fitted or estimator).confidence(uncertainty) for uncertainty in uncertainties]
    held_out = confidences
    if fit is not None:
        # Of very few answers of one kind there may be none in a fold; the promise does not rest on this.
        with suppress(CalibrationError):
            held_out = cross_fitted(fit, uncertainties, acceptable or [])
    order = _order(uncertainties) if fitted else confidences
    cut = _cut(target, confidences, order, acceptable, cloud_right)
    area, interval, advice = _signal(collection.edge.model, uncertainties, acceptable)
    measured = [pair for pair in zip(uncertainties, confidences, strict=True) if not math.isnan(pair[1])]
    if len(measured) > 1 == len({confidence for _, confidence in measured}):
        tied = "All answers have the same confidence: a threshold keeps all or none. Change the estimator"
        if calibrator != "platt" and len({uncertainty for uncertainty, _ in measured}) > 1:
            tied += " or the calibrator; platt tells uncertainties of any size apart"
        advice = f"{tied}. {advice}" if advice else f"{tied}."
    if not cut.certified:
        needed = f" About {cut.labels_needed} items would be needed." if cut.labels_needed else ""
        what = "Only answers without a signal are escalated" if cut.threshold == 0 else "Everything is escalated"
        reason = f"No threshold keeps this target on these {cut.n} items. {what}.{needed}"
        advice = f"{reason} {advice}" if advice else reason
    certificate = Certificate(
        kind=target.kind,
        method=cut.method,
        target=cut.target,
        delta=cut.delta,
        n=cut.n,
        threshold=cut.threshold,
        bound=cut.bound,
        kept=cut.kept,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        edge=collection.edge.model,
        engine=type(collection.edge).__name__,
        estimator=estimator.identity,
        samples=collection.samples if estimator.needs_samples else 0,
        sampling={"temperature": collection.sampling_temperature, "top_p": collection.sampling_top_p},
        answers=answer_settings(collection.options),
        template=template_hash(prompts[0].messages),
        task=task,
        stopping="exact curtailment",
        calibrator=fitted and fitted.to_dict(),
        labels=labels if acceptable is not None else None,
        auroc=area,
        auroc_interval=interval,
        labels_needed=cut.labels_needed,
        advice=advice,
        weights=weights_of(collection.edge),
    )
    return Certified(
        certificate=certificate,
        cut=cut,
        uncertainties=uncertainties,
        confidences=confidences,
        held_out=held_out,
    )


def _fit(kind: CalibratorKind, estimator: Estimator) -> Callable[[Sequence[float], Sequence[bool]], Calibrator] | None:
    if kind == "none":
        return None
    unit: BetaUnit = "nats" if estimator.unit == "count" else estimator.unit
    return {"platt": Platt.fit, "beta": partial(Beta.fit, unit=unit), "isotonic": Isotonic.fit}[kind]


_SEEN_APART = 5
"""Decimals by which uncertainties are told apart where a calibrator comes after; `Beta` clips at the sixth."""


def _order(uncertainties: Sequence[float]) -> list[float]:
    """Numbers in [0, 1] that fall as the uncertainties rise, and that no label had a say in."""
    seen = [round(uncertainty, _SEEN_APART) for uncertainty in uncertainties]
    distinct = sorted({value for value in seen if not math.isnan(value)}, reverse=True)
    places = {value: (place + 1) / len(distinct) for place, value in enumerate(distinct)}
    return [places.get(value, math.nan) for value in seen]


def _cut(
    target: Target,
    confidences: Sequence[float],
    order: Sequence[float],
    acceptable: Sequence[bool] | None,
    cloud_right: Sequence[bool] | None,
) -> Cut:
    if target.kind == "cost":
        return cost_cut(confidences, target.value, target.delta)
    losses = [not good for good in acceptable or ()]
    if target.kind == "error" and target.delta is not None:
        # A calibrator fitted on these labels may tie what it finds in the wrong order. Everything would then be tested
        # first, which is a second chance. So what is tested is the order as it was before.
        return _mapped(error_cut(order, losses, target.value, target.delta), order, confidences)
    if target.kind == "regret":
        losses = [lossy and right for lossy, right in zip(losses, cloud_right or (), strict=True)]
    if target.delta is None:
        return harm_cut(confidences, losses, target.value, method="crc")
    return harm_cut(confidences, losses, target.value, target.delta)


def _mapped(cut: Cut, order: Sequence[float], confidences: Sequence[float]) -> Cut:
    """The *cut* on the *order* as one on the *confidences*, which rise with it. It keeps nothing where they tie what
    was tested with what was not."""
    if cut.threshold is None:
        return cut
    least = cut.threshold
    threshold = min(confidence for place, confidence in zip(order, confidences, strict=True) if place >= least)
    if any(place < least and confidence >= threshold for place, confidence in zip(order, confidences, strict=True)):
        return replace(cut, threshold=None, bound=1.0, kept=0.0)
    return replace(cut, threshold=threshold)


def _signal(
    edge: str, uncertainties: Sequence[float], acceptable: Sequence[bool] | None
) -> tuple[float | None, tuple[float, float] | None, str | None]:
    """The AUROC for "the edge's answer is not acceptable", its 95 % interval, and what to do without a signal. None
    where there are too few answers to tell."""
    if acceptable is None:
        return None, None, None
    wrong = [not good for good in acceptable]
    area, interval = auroc(uncertainties, wrong), auroc_interval(uncertainties, wrong)
    advice = auroc_advice(edge, area, interval)
    return (None, None, advice) if math.isnan(interval[0]) else (area, interval, advice)
