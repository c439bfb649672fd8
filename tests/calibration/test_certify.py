"""From collected answers to a certificate, and from a certificate to a router."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binom

from confroute import ConfigurationError, Disagreement, Evidence, MeanLogprob, Router, Sample, SemanticEntropy
from confroute.calibration import Certificate, Platt, error_cut
from confroute.calibration.certify import (
    Target,
    _cut,  # pyright: ignore[reportPrivateUsage]
    _mapped,  # pyright: ignore[reportPrivateUsage]
    _order,  # pyright: ignore[reportPrivateUsage]
    certify,
)
from confroute.calibration.collection import Collected, Collection
from confroute.calibration.prompts import Prompt
from confroute.errors import CalibrationError
from confroute.estimators import SAR, Estimator, SequenceNLL
from confroute.records import SamplingOptions
from confroute.testing import ScriptedEngine, says

SYSTEM = {"role": "system", "content": "Be brief."}
N = 200


def prompt(i: int, *, system: bool = True) -> Prompt:
    question = {"role": "user", "content": f"question {i}"}
    return Prompt(messages=(SYSTEM, question) if system else (question,))


def item(i: int, agreeing: int) -> Collected:
    """An answer with this many of ten samples agreeing."""
    samples = tuple(says("Paris" if j < agreeing else f"other{j}") for j in range(10))
    return Collected(key=str(i), evidence=Evidence(question="", answer=says("Paris", -0.1), samples=samples))


PROMPTS = [prompt(i) for i in range(N)]
AGREEING = [i % 11 for i in range(N)]
ANSWERS = [item(i, agreeing) for i, agreeing in enumerate(AGREEING)]
# Right from seven agreeing samples on, and never below.
ACCEPTABLE = [agreeing >= 7 for agreeing in AGREEING]
ENGINE = ScriptedEngine({f"question {i}": ("Paris", ["Paris"] * i + ["x"] * (10 - i)) for i in range(1, 10)})
COLLECTION = Collection(edge=ENGINE, estimators=(Disagreement(),))


HARM = Target(kind="harm", value=0.05)


def made(target: Target = HARM, **given: Any) -> Certificate:
    settings = {"acceptable": ACCEPTABLE, "labels": "gold"} | given
    return certify(COLLECTION, Disagreement(), PROMPTS, ANSWERS, target, **settings).certificate


def test_a_certificate_says_all_it_is_for() -> None:
    """Model, engine, estimator, samples, sampling, template, labels and the signal stand in it, and it holds."""
    certificate = made(task="capitals")
    assert certificate.certified
    assert certificate.threshold == 0.7  # with six of ten, all of the 18 answers are wrong: more than 5 % of 200
    assert (certificate.edge, certificate.engine) == ("scripted-edge", "ScriptedEngine")
    assert (certificate.estimator, certificate.samples) == (Disagreement().identity, 10)
    assert certificate.sampling == {"temperature": 0.7, "top_p": 0.9}
    assert (certificate.labels, certificate.task, certificate.n) == ("gold", "capitals", N)
    assert certificate.auroc == 1.0
    assert certificate.advice is None


@pytest.mark.parametrize("kind", ["harm", "regret", "error"])
def test_targets_on_quality_keep_only_what_is_right(kind: Any) -> None:
    """With answers that are right from seven agreeing samples on, what is kept is right often enough."""
    certificate = made(Target(kind=kind, value=0.1), cloud_right=[True] * N)
    assert certificate.threshold is not None
    kept = [agreeing >= 10 * certificate.threshold - 1e-9 for agreeing in AGREEING]
    wrong = sum(keep and not good for keep, good in zip(kept, ACCEPTABLE, strict=True))
    assert wrong / (sum(kept) if kind == "error" else N) <= 0.1
    assert certificate.kept == sum(kept) / N


def test_a_regret_forgives_what_the_cloud_gets_wrong_too() -> None:
    """Where the cloud is never right there is nothing to lose, and all with a signal is kept."""
    assert made(Target(kind="regret", value=0.05), cloud_right=[False] * N).threshold == 0.0


def test_a_cost_needs_no_labels() -> None:
    """A budget is kept by confidences alone, and the certificate says nothing of quality."""
    certificate = made(Target(kind="cost", value=0.5), acceptable=None)
    assert certificate.certified
    assert (certificate.labels, certificate.auroc) == (None, None)
    assert 1 - certificate.kept <= 0.5


def test_infeasible_escalates_everything_and_says_why() -> None:
    """Answers that are never right keep nothing; how surely the edge errs says that it has no signal."""
    hopeless = [i % 2 == 0 for i in range(N)]
    certificate = made(Target(kind="error", value=0.05), acceptable=hopeless)
    assert certificate.threshold is None
    assert certificate.advice is not None
    assert "Everything is escalated" in certificate.advice
    assert "no signal" in certificate.advice


def test_too_few_labels_say_how_many() -> None:
    """Twenty right answers cannot certify one in a hundred; the certificate names the number that could."""
    few = certify(
        COLLECTION,
        Disagreement(),
        PROMPTS[:20],
        [item(i, 10) for i in range(20)],
        Target(kind="harm", value=0.01),
        acceptable=[True] * 20,
        labels="gold",
    ).certificate
    assert (few.threshold, few.labels_needed) == (None, 230)
    assert few.advice is not None
    assert "230 items" in few.advice


def test_failed_answers_count_as_escalated() -> None:
    """An answer that the edge could not give has no signal: it lowers the kept share and does no harm."""
    failed = [Collected(key="x", error="ContextLengthError")] * 50
    certificate = certify(
        COLLECTION,
        Disagreement(),
        PROMPTS,
        [*ANSWERS[:150], *failed],
        Target(kind="harm", value=0.05),
        acceptable=[*ACCEPTABLE[:150], *[False] * 50],
        labels="gold",
    ).certificate
    assert certificate.certified
    assert certificate.kept <= 0.75


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"acceptable": None}, ConfigurationError, "needs labels"),
        ({"acceptable": None, "calibrator": "platt"}, ConfigurationError, "needs labels"),
        ({"target": Target(kind="regret", value=0.1)}, ConfigurationError, "where the cloud is right"),
        ({"target": Target(kind="error", value=0.1, delta=None)}, ConfigurationError, "on average"),
        ({"target": Target(kind="error", value=0.1), "calibrator": "isotonic"}, ConfigurationError, "isotonic"),
        ({"acceptable": [True]}, CalibrationError, "as many"),
    ],
)
def test_what_cannot_be_certified(given: dict[str, Any], error: type[Exception], message: str) -> None:
    """A target that lacks what it needs is refused with what is missing."""
    with pytest.raises(error, match=message):
        made(**given)


def test_one_system_message_for_all() -> None:
    """Prompts with different system messages are different traffic."""
    with pytest.raises(ConfigurationError, match="2 different system prompts"):
        certify(
            COLLECTION,
            Disagreement(),
            [*PROMPTS[:-1], prompt(N, system=False)],
            ANSWERS,
            Target(kind="cost", value=0.5),
        )


def test_the_same_prompt_twice_is_not_two() -> None:
    """A promise counts the independent items it rests on; copies are refused, saying how many."""
    with pytest.raises(ConfigurationError, match="199 of the 200 prompts repeat another"):
        certify(COLLECTION, Disagreement(), [PROMPTS[0]] * N, ANSWERS, Target(kind="cost", value=0.5))


def test_answers_that_no_threshold_tells_apart_are_told() -> None:
    """Where all confidences are the same, the advice says so, whatever the labels are."""
    answers = [item(i, 5) for i in range(N)]
    tied = certify(COLLECTION, Disagreement(), PROMPTS, answers, Target(kind="cost", value=0.5)).certificate
    assert tied.advice is not None
    assert "the same confidence" in tied.advice


@pytest.mark.parametrize(("estimator", "low"), [(SequenceNLL(), 200), (SAR(), 4)])
def test_beta_on_uncertainties_of_any_size(estimator: Estimator, low: int) -> None:
    """With long answers, and with an estimator whose numbers are negative, what is right is kept."""

    def answer(i: int) -> Collected:
        tokens = low + i % 50
        one = -0.1 if ACCEPTABLE[i] else -0.6
        sample = Sample(text="a " * tokens, token_logprobs=(one,) * tokens, tokens=("a ",) * tokens)
        return Collected(key=str(i), evidence=Evidence(question="", answer=sample, samples=(sample,) * 3))

    collection = replace(COLLECTION, estimators=(estimator,))
    found = certify(
        collection, estimator, PROMPTS, [answer(i) for i in range(N)], HARM, acceptable=ACCEPTABLE, calibrator="beta"
    ).certificate
    assert found.auroc == 1.0
    assert found.certified
    assert found.kept >= sum(ACCEPTABLE) / N


def test_a_certificate_names_the_file_of_the_weights(tmp_path: Path) -> None:
    """Where the edge has one; two files of one name make two certificates."""
    edge = ScriptedEngine({})
    edge.path = tmp_path / "model.gguf"  # type: ignore[attr-defined]
    collection, cost = replace(COLLECTION, edge=edge), Target(kind="cost", value=0.5)
    found: set[str | None] = {made().weights}
    for content in (b"GGUF one", b"GGUF two"):
        (tmp_path / "model.gguf").write_bytes(content)
        certificate = certify(collection, Disagreement(), PROMPTS, ANSWERS, cost).certificate
        found.add(certificate.weights)
        Router(edge, certificate=certificate)
        (tmp_path / "model.gguf").write_bytes(content + b", trained on")
        with pytest.raises(ConfigurationError, match="weights"):
            Router(edge, certificate=certificate)
    assert None in found
    assert len(found) == 3


def router(certificate: Certificate | Path, **given: Any) -> Router:
    return Router(ENGINE, **{"certificate": certificate, **given})


def decide(routed: Router, i: int, *, system: bool = True) -> Any:
    return routed.decide(prompt(i, system=system).messages, SamplingOptions()).record


@pytest.mark.parametrize("calibrator", ["none", "platt", "beta", "isotonic"])
def test_the_router_keeps_what_the_certificate_keeps(tmp_path: Path, calibrator: Any) -> None:
    """Loaded from its file, with any calibrator, it serves exactly the answers at or above its threshold."""
    full = certify(
        COLLECTION,
        Disagreement(),
        PROMPTS,
        ANSWERS,
        Target(kind="harm", value=0.05),
        acceptable=ACCEPTABLE,
        labels="gold",
        calibrator=calibrator,
    )
    path = tmp_path / "certificate.json"
    full.certificate.save(path)
    routed = router(path)
    for i in range(1, 10):
        record = decide(routed, i)
        kept = full.confidences[AGREEING.index(i)] >= (full.certificate.threshold or 2)
        assert (record.route == "edge") == kept
        assert (record.certificate, record.calibrated) == (full.certificate.id, calibrator != "none")
    assert {decide(routed, i).route for i in range(1, 10)} == {"edge", "cloud"}


def test_other_system_messages_are_escalated_unasked() -> None:
    """What the certificate does not cover is not served, however sure the edge is, and costs no edge call."""
    before = len(ENGINE.requests)
    record = decide(router(made()), 9, system=False)
    assert (record.route, record.reason, record.edge) == ("cloud", "uncertified", None)
    assert len(ENGINE.requests) == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (SamplingOptions(max_tokens=16), "max_tokens=256, not 16"),
        (SamplingOptions(temperature=1.0, top_p=0.5), "temperature=0.0, not 1.0, top_p=1.0, not 0.5"),
        (SamplingOptions(stop=("\n",)), r"stop=[], not ['\n']"),
    ],
)
def test_answers_made_otherwise_are_escalated(
    options: SamplingOptions, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A request for longer or warmer answers gets others than those that were calibrated: none is served, and the log
    says why, once.
    """
    routed = router(made())
    messages = prompt(9).messages
    assert routed.decide(messages, SamplingOptions(seed=3)).record.route == "edge"
    with caplog.at_level(logging.WARNING):
        assert [routed.decide(messages, options).record.reason for _ in range(2)] == ["uncertified"] * 2
    assert [told in record.getMessage() for record in caplog.records] == [True]


def test_a_certificate_that_keeps_nothing_asks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Infeasible: everything is escalated without an edge call, and the log says so once."""
    with caplog.at_level(logging.WARNING):
        routed = router(made(Target(kind="error", value=0.05), acceptable=[i % 2 == 0 for i in range(N)]))
    assert "could not certify" in caplog.text
    before = len(ENGINE.requests)
    assert decide(routed, 9).reason == "uncertified"
    assert len(ENGINE.requests) == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"edge": ScriptedEngine({}, model="other")}, "edge model"),
        ({"estimator": SemanticEntropy()}, "estimator"),
        ({"samples": 5}, "samples 10, now 5"),
        ({"sampling_temperature": 1.0}, "sampling"),
        ({"task": "other"}, "task"),
    ],
)
def test_another_setup_is_refused(given: dict[str, Any], message: str) -> None:
    """Another model, estimator, number of samples, temperature or task: the error says which, and what to do."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        Router(**{"edge": ENGINE, "certificate": made(task="capitals"), **given})
    assert "confroute calibrate" in str(caught.value)


@pytest.mark.parametrize("given", [{"threshold": 0.5}, {"calibrator": Platt(slope=-1.0, intercept=0.0)}])
def test_a_certificate_brings_its_own_threshold(given: dict[str, Any]) -> None:
    """A threshold beside a certificate would void it."""
    with pytest.raises(ConfigurationError, match="brings its own"):
        router(made(), **given)


def test_a_calibrator_alone() -> None:
    """Without a certificate, a calibrator turns uncertainty into the confidence that the threshold is compared with."""
    routed = Router(ENGINE, calibrator=Platt(slope=-100.0, intercept=50.0), threshold=0.5)
    surer, less_sure = decide(routed, 9), decide(routed, 2)
    assert (surer.route, less_sure.route) == ("edge", "cloud")
    assert surer.calibrated
    assert surer.confidence == pytest.approx(1.0)
    assert less_sure.confidence == pytest.approx(0.0)


def test_single_pass_estimators_certify_without_samples() -> None:
    """Where no samples are looked at, none are named, and the router's number of them does not matter."""
    collection = replace(COLLECTION, estimators=(MeanLogprob(),))
    certificate = certify(collection, MeanLogprob(), PROMPTS, ANSWERS, Target(kind="cost", value=0.5)).certificate
    assert certificate.samples == 0
    assert Router(ENGINE, estimator=MeanLogprob(), samples=3, certificate=certificate).certificate is certificate


ERROR = Target(kind="error", value=0.1)


def graded(wrong: Sequence[int], *, of: int = 10) -> tuple[list[Collected], list[bool]]:
    """For 0, 1, ... of ten agreeing samples, N // 10 answers, so many of *of* of them wrong."""
    each = N // len(wrong)
    answers = [item(i, i // each + 1) for i in range(N)]
    return answers, [i % of >= wrong[i // each] for i in range(N)]


@pytest.mark.parametrize("calibrator", ["platt", "beta"])
def test_a_calibrator_changes_nothing_that_an_error_target_keeps(calibrator: Any) -> None:
    """It is the order of the uncertainties that is tested: the same answers are kept, by a threshold of its own."""
    answers, acceptable = graded([9, 8, 7, 6, 5, 1, 0, 0, 0, 0])
    plain, fitted = (
        certify(COLLECTION, Disagreement(), PROMPTS, answers, ERROR, acceptable=acceptable, calibrator=kind)
        for kind in ("none", calibrator)
    )
    assert plain.certificate.certified
    assert 0 < plain.cut.kept < 1
    assert (fitted.cut.kept, fitted.cut.bound) == (plain.cut.kept, plain.cut.bound)
    threshold = fitted.certificate.threshold
    assert threshold is not None
    assert threshold != plain.certificate.threshold
    assert sum(confidence >= threshold for confidence in fitted.confidences) == round(N * plain.cut.kept)


@pytest.mark.parametrize("calibrator", ["platt", "beta"])
def test_a_flat_calibrator_gives_an_error_target_no_second_chance(calibrator: Any) -> None:
    """The surest answers are the worst, so that the first test fails. Flat, all answers tie, and all of them would pass
    a test that was not the first: nothing is kept."""
    answers, acceptable = graded([0, 0, 0, 0, 0, 0, 0, 0, 0, 2])
    full = certify(COLLECTION, Disagreement(), PROMPTS, answers, ERROR, acceptable=acceptable, calibrator=calibrator)
    assert len(set(full.confidences)) == 1
    assert error_cut(full.confidences, [not good for good in acceptable], 0.1).certified
    assert full.certificate.threshold is None
    assert not full.certificate.certified


@pytest.mark.parametrize(("last", "kept"), [(0, 1.0), (10, 0.0)])
def test_a_flat_calibrator_keeps_all_or_nothing(last: int, kept: float) -> None:
    """All where every test up to that of everything has passed; where only some have, no threshold keeps just those."""
    order, losses = [i / 200 for i in range(1, 201)], [i < last * 3 for i in range(200)]
    plain = error_cut(order, losses, 0.1)
    assert plain.certified
    flat = _mapped(plain, order, [0.9] * 200)
    assert (flat.kept, flat.certified, flat.threshold) == (kept, bool(kept), 0.9 if kept else None)


def test_certified_error_with_a_calibrator_is_broken_as_rarely_as_promised() -> None:
    """No signal, and an error just above the target: at most 10 % of 300 calibrations certify it. 14 % did, where the
    calibrator's flat curve tied everything."""
    rng, broken = random.Random(1), 0
    for _ in range(300):
        uncertainties = [rng.random() for _ in range(390)]
        acceptable = [rng.random() >= 0.1 for _ in range(390)]
        fitted = Platt.fit(uncertainties, acceptable)
        confidences = [fitted.confidence(uncertainty) for uncertainty in uncertainties]
        target = Target(kind="error", value=0.1 - 1e-6)
        broken += _cut(target, confidences, _order(uncertainties), acceptable, None).certified
    assert broken <= int(binom.ppf(0.999, 300, 0.1))
