"""The one decision procedure: ask the edge, measure its uncertainty, serve or escalate.

It is written as generators (see `steps`), so that sync and async, invoke and stream, LangChain and LlamaIndex all
run these lines.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from confroute.contract import Answer, Cloud, Decision, Native, Request, Tokens
from confroute.edge import EdgeEngine, resolve_edge
from confroute.edge.weights import weights_of
from confroute.errors import ConfigurationError, InputError, UnsupportedRequestError, told_without_prompt
from confroute.estimators import Disagreement, Estimator
from confroute.hooks import Hook, checked_hooks, tell
from confroute.inquiry import Inquiry
from confroute.parts import check_parts
from confroute.policies import Policy, Threshold
from confroute.records import (
    ConfidenceRecord,
    Estimate,
    Evidence,
    FollowUp,
    Message,
    ModelUsage,
    Price,
    Sample,
    SamplingOptions,
)
from confroute.steps import END, Emit, Flow, Source, arun, run

if TYPE_CHECKING:
    from confroute.calibration import Calibrator, Certificate

logger = logging.getLogger("confroute")


class Router:
    """Answers on the edge what the edge is sure of, and says when to escalate the rest.

    Args:
        edge: an engine, or a model's name; see `resolve_edge`.
        threshold: the least confidence with which the edge's answer is served, in [0, 1]; shorthand for
            ``policy=Threshold(threshold)``.
        estimator: how uncertainty is measured. By default `Disagreement`, the best of those measured on the default
            edge model (docs/threshold.md).
        samples: how many answers are sampled for the estimator besides the served one, at most, if it needs any. Each
            may have twice the served answer's tokens, or 32, within the request's own limit.
        curtail: leave out the samples that cannot change the decision any more (exact: it is the one that all samples
            would have led to). The record's uncertainty is then that of the samples drawn, or the bound that settled
            the decision if there were none. Turn it off to record what all samples say.
        wave: how many samples are drawn between two looks at that; by default what the engine prefers, or all.
        sampling_temperature, sampling_top_p: of these samples. The served answer has the request's own. A tail cut at
            0.9 matters for small models: without it, most of their samples are noise.
        policy: instead of *threshold*.
        calibrator: turns the uncertainty into P(acceptable), instead of the estimator's own confidence.
        certificate: a `Certificate` or its file; brings its own threshold and calibrator. Everything else here must be
            as it was made with, and a request with other system messages, max_tokens, temperature, top_p or stop
            strings is escalated (``reason="uncertified"``).
        task: the kind of question, which a certificate made for one is to be checked against.
        on_cloud_error: "raise" the cloud's error, or serve the "edge" answer with ``reason="cloud_error"``.
        edge_price, cloud_price: for the record's ``cost_usd``.
        hooks: called with each final record, also where the cloud failed or its stream was given up (``error`` is the
            class of what ended it then). An exception in a hook is logged by its class and line, not raised.
    """

    def __init__(
        self,
        edge: str | Path | EdgeEngine = "smollm2-135m",
        *,
        threshold: float | None = None,
        estimator: Estimator | None = None,
        samples: int = 10,
        curtail: bool = True,
        wave: int | None = None,
        sampling_temperature: float = 0.7,
        sampling_top_p: float = 0.9,
        policy: Policy | None = None,
        calibrator: Calibrator | None = None,
        certificate: Certificate | str | Path | None = None,
        task: str | None = None,
        on_cloud_error: Literal["raise", "edge"] = "raise",
        edge_price: Price | None = None,
        cloud_price: Price | None = None,
        hooks: Iterable[Hook] = (),
    ) -> None:
        if threshold is not None and policy is not None:
            raise ConfigurationError("Give either threshold or policy, not both: the policy holds its own threshold.")
        if certificate is not None and (threshold, policy, calibrator) != (None, None, None):
            raise ConfigurationError(
                "Give either a certificate or threshold, policy and calibrator: a certificate brings its own."
            )
        if samples < 2:
            raise ConfigurationError(f"samples must be at least 2, not {samples}: one has nothing to agree with.")
        if wave is not None and wave < 2:
            raise ConfigurationError(f"wave must be at least 2, not {wave}; leave it out to let the engine choose.")
        if not sampling_temperature > 0:
            raise ConfigurationError(
                f"sampling_temperature must be above 0, not {sampling_temperature}: greedy samples are all the same."
            )
        if not 0 < sampling_top_p <= 1:
            raise ConfigurationError(f"sampling_top_p must be above 0 and at most 1, not {sampling_top_p}.")
        if on_cloud_error not in ("raise", "edge"):
            raise ConfigurationError(f'on_cloud_error must be "raise" or "edge", not {on_cloud_error!r}.')
        check_parts(estimator=estimator, policy=policy, calibrator=calibrator, certificate=certificate)
        self.edge = resolve_edge(edge)
        self.estimator = estimator or Disagreement()
        self._identified: tuple[Estimator, str] | None = None
        self.samples = samples
        self.curtail = curtail
        self.wave = wave or getattr(self.edge, "wave", None) or samples
        self.sampling_temperature = sampling_temperature
        self.sampling_top_p = sampling_top_p
        self.policy = policy or Threshold(DEFAULT_THRESHOLD if threshold is None else threshold)
        self.calibrator = calibrator
        self.task = task
        self.certificate = None if certificate is None else self._adopted(certificate, task)
        self._objections: set[str] = set()  # those logged; every request would have them again
        self.on_cloud_error = on_cloud_error
        self.edge_price = edge_price
        self.cloud_price = cloud_price
        self.hooks = checked_hooks(hooks)

    def _adopted(self, certificate: Certificate | str | Path, task: str | None) -> Certificate:
        """The certificate, its threshold taken over, if this is the setup that it is for."""
        from confroute.calibration import Certificate, calibrator_from_dict

        certificate = certificate if isinstance(certificate, Certificate) else Certificate.load(certificate)
        certificate.check(
            edge=self.edge.model,
            engine=type(self.edge).__name__,
            estimator=self.estimator.identity,
            samples=self.samples if self.estimator.needs_samples else 0,
            sampling={"temperature": self.sampling_temperature, "top_p": self.sampling_top_p},
            task=task,
            weights=weights_of(self.edge),
        )
        if not certificate.certified:
            logger.warning("Certificate %s could not certify its target. %s", certificate.id, certificate.advice or "")
        if certificate.calibrator is not None:
            self.calibrator = calibrator_from_dict(certificate.calibrator)
        if certificate.threshold is not None:
            self.policy = Threshold(certificate.threshold)
        return certificate

    @property
    def estimator_identity(self) -> str:
        """``estimator.identity``, which takes 10 µs to put together."""
        if self._identified is None or self._identified[0] is not self.estimator:
            self._identified = self.estimator, self.estimator.identity
        return self._identified[1]

    def confidence(self, uncertainty: float) -> float:
        """What the threshold is compared with: the calibrator's probability, else the estimator's own confidence."""
        return (self.calibrator or self.estimator).confidence(uncertainty)

    def decide(self, messages: Sequence[Message], options: SamplingOptions | None = None) -> Decision:
        """Ask the edge and decide, without calling any cloud. Messages are OpenAI-style dicts."""
        return run(self.decision(Request(messages=messages, options=options or SamplingOptions())))

    async def adecide(self, messages: Sequence[Message], options: SamplingOptions | None = None) -> Decision:
        """`decide` on an event loop."""
        return await arun(self.decision(Request(messages=messages, options=options or SamplingOptions())))

    def decision(self, request: Request) -> Flow[Decision]:
        """The procedure behind `decide`."""
        if not request.messages:
            raise InputError("There are no messages to answer. Pass at least one user message.")
        if request.unsupported is not None:
            return _UNSUPPORTED

        if uncertified := self._uncertified(request):
            return uncertified
        inquiry = Inquiry(
            self.edge,
            request.messages,
            request.options,
            price=self.edge_price,
            whole=not request.limited,
            read=request.read,
        )
        try:
            settled = yield from self._inquire(inquiry)
        except ConfigurationError:
            # Another request would fail, too; it is for the caller to mend, not for the cloud to pay.
            raise
        except UnsupportedRequestError:
            return _UNSUPPORTED
        except Exception as error:
            logger.warning("The edge model %s failed (%s); escalating.", self.edge.model, told_without_prompt(error))
            record = ConfidenceRecord(
                route="cloud", reason="edge_error", error=type(error).__name__, edge=inquiry.usage
            )
            return Decision(record=record, answer=inquiry.answer, prompt_tokens=inquiry.prompt_tokens)

        error_name: str | None = None
        try:
            estimate: Estimate = yield inquiry.judged(self.estimator, self.estimator.estimate)
            if settled is not None:
                estimate = replace(estimate, uncertainty=self._within(*settled, estimate.uncertainty))
            confidence = self.confidence(estimate.uncertainty)
            signal = math.isfinite(estimate.uncertainty) and math.isfinite(confidence)
            serves = signal and self.policy.serves(confidence)
        except Exception as error:
            error_name = type(error).__name__
            logger.warning("The estimator %s failed (%s); escalating.", self.estimator.identity, error_name)
            estimate, confidence, signal, serves = Estimate(uncertainty=math.nan), math.nan, False, False
        record = ConfidenceRecord(
            route="edge" if serves else "cloud",
            reason="confident" if serves else "uncertain" if signal else "no_signal",
            confidence=confidence if signal else None,
            uncertainty=estimate.uncertainty if signal else None,
            estimator=self.estimator_identity,
            threshold=self.policy.threshold,
            calibrated=self.calibrator is not None,
            certificate=self.certificate and self.certificate.id,
            samples=len(inquiry.samples),
            samples_planned=self.samples if self.estimator.needs_samples else 0,
            clusters=estimate.clusters,
            error=error_name,
            edge=inquiry.usage,
        )
        return Decision(record=record, answer=inquiry.answer, prompt_tokens=inquiry.prompt_tokens)

    def _uncertified(self, request: Request) -> Decision | None:
        """To the cloud, if the certificate is for requests that are asked otherwise."""
        certificate = self.certificate
        objection = certificate and certificate.objection(request.messages, request.options)
        if certificate is None or not objection:
            return None
        if objection not in self._objections:
            self._objections.add(objection)
            logger.warning("Certificate %s: %s; escalating all such requests.", certificate.id, objection)
        record = ConfidenceRecord(route="cloud", reason="uncertified", certificate=certificate.id)
        return Decision(record=record, answer=None)

    def _inquire(self, inquiry: Inquiry) -> Flow[tuple[float, float] | None]:
        """Ask the edge for as much as the decision needs, the cheapest first; the bounds that settled it early."""
        estimator = self.estimator
        planned = self.samples if estimator.needs_samples else 0
        sampling: Any = {"temperature": self.sampling_temperature, "top_p": self.sampling_top_p}
        beside = self._wave(planned) if inquiry.draws_at_once and self._is_to_draw(planned) else 0
        answer = yield from inquiry.serve(alternatives=estimator.needs_alternatives, beside=beside, **sampling)
        if answer.is_empty:
            return None
        questions = self._follow_ups(inquiry.evidence)
        if questions:
            if settled := (yield inquiry.judged(estimator, lambda said: self._settled(said, planned))):
                return settled
            yield from inquiry.follow_up(questions)
        while remaining := planned - len(inquiry.samples):
            if settled := (yield inquiry.judged(estimator, lambda said, left=remaining: self._settled(said, left))):
                return settled
            yield from inquiry.draw(self._wave(remaining), **sampling)
        return None

    def _wave(self, remaining: int) -> int:
        # Never a single one, neither now nor at the end: a batch of two costs hardly more.
        return remaining if remaining <= self.wave + 1 else self.wave

    def _is_to_draw(self, planned: int) -> bool:
        """Whether samples will be drawn whatever the served answer is."""
        if not planned or not self.curtail or self.policy.threshold is None:
            return planned > 0
        return not self.estimator.settles_alone and self._settled(_SOME_ANSWER, planned) is None

    def _settled(self, evidence: Evidence, remaining: int) -> tuple[float, float] | None:
        """The bounds of the uncertainty, if the decision is the same whatever the *remaining* samples will say."""
        threshold = self.policy.threshold
        if not self.curtail or threshold is None:
            return None
        try:
            bounds = self.estimator.bounds(evidence, remaining)
            if bounds is None or len({self.confidence(bound) >= threshold for bound in bounds}) == 2:
                return None
        except Exception:
            # Its estimate will fail, too, which is where failures are told.
            return None
        return bounds

    def _within(self, low: float, high: float, uncertainty: float) -> float:
        """The uncertainty of part of the evidence; where that says nothing yet, the bound nearer the threshold."""
        if math.isnan(uncertainty):
            return high if self.confidence(high) >= (self.policy.threshold or 0.0) else low
        return min(max(uncertainty, low), high)

    def _follow_ups(self, evidence: Evidence) -> Mapping[str, FollowUp]:
        try:
            return self.estimator.follow_ups(evidence)
        except Exception as error:
            logger.warning("The estimator %s failed (%s).", self.estimator.identity, type(error).__name__)
            return {}

    def answer(self, request: Request, cloud: Cloud[Native]) -> Flow[Answer[Native]]:
        """Decide, and have the cloud answer if it is to."""
        decision = yield from self.decision(request)
        if decision.record.route == "edge":
            return (yield from self._serve(request, decision))
        started = time.perf_counter()
        try:
            native: Native = yield cloud.invoke()
        except BaseException as error:
            return (yield from self._after_cloud_error(request, decision, cloud, error, started))
        record = self._escalated(decision, cloud, cloud.tokens(native), started)
        return Answer(record=(yield from self._finish(request, record)), native=native)

    def stream(self, request: Request, cloud: Cloud[Native]) -> Flow[None]:
        """As `answer`, emitting pieces. Nothing is emitted before the decision, since no framework can take a token
        back; then the edge's answer comes as one piece, or the cloud's as they come. If the cloud fails after its
        first piece, its error is raised whatever *on_cloud_error* says."""
        decision = yield from self.decision(request)
        if decision.record.route == "edge":
            yield Emit((yield from self._serve(request, decision)))
            return
        started = time.perf_counter()
        counts: Tokens = (None, None)
        begun = False
        try:
            source: Source = yield cloud.stream()
            while (chunk := (yield source.next())) is not END:
                counts = cloud.tokens(chunk, counts)
                begun = True
                yield Emit(Answer(record=None, native=chunk))
        except BaseException as error:
            if begun:
                self._tell(self._escalated(decision, cloud, counts, started), error)
                raise
            yield Emit((yield from self._after_cloud_error(request, decision, cloud, error, started)))
            return
        record = yield from self._finish(request, self._escalated(decision, cloud, counts, started))
        last: Answer[Native] = Answer(record=record)
        yield Emit(last)

    def _escalated(self, decision: Decision, cloud: Cloud[Native], counts: Tokens, started: float) -> ConfidenceRecord:
        input_tokens, output_tokens = counts
        cost_usd = None
        if self.cloud_price is not None and input_tokens is not None and output_tokens is not None:
            cost_usd = self.cloud_price.cost_usd(input_tokens, output_tokens)
        usage = ModelUsage(
            model=cloud.model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            seconds=time.perf_counter() - started,
            cost_usd=cost_usd,
        )
        return replace(decision.record, cloud=usage)

    def _after_cloud_error(
        self, request: Request, decision: Decision, cloud: Cloud[Native], error: BaseException, started: float
    ) -> Flow[Answer[Native]]:
        """The edge's answer, flagged, where the caller chose it and there is one; else *error* is raised."""
        rescued = self.on_cloud_error == "edge" and isinstance(error, Exception)
        if not rescued or decision.answer is None or decision.answer.is_empty:
            self._tell(self._escalated(decision, cloud, (None, None), started), error)
            raise error
        logger.warning("The cloud model failed (%s); serving the edge's answer.", type(error).__name__)
        usage = ModelUsage(model=cloud.model, seconds=time.perf_counter() - started)
        record = replace(decision.record, route="edge", reason="cloud_error", error=type(error).__name__, cloud=usage)
        return (yield from self._serve(request, replace(decision, record=record)))

    def _serve(self, request: Request, decision: Decision) -> Flow[Answer[Any]]:
        record = yield from self._finish(request, decision.record)
        return Answer(record=record, sample=decision.answer, prompt_tokens=decision.prompt_tokens)

    def _finish(self, request: Request, record: ConfidenceRecord) -> Flow[ConfidenceRecord]:
        self._tell(record)
        if request.announce is not None:
            yield request.announce(record)
        return record

    def _tell(self, record: ConfidenceRecord, error: BaseException | None = None) -> None:
        """Have the hooks see the record, with the class of the *error* that ended the request."""
        tell(self.hooks, record if error is None else replace(record, error=type(error).__name__))


DEFAULT_THRESHOLD = 0.3
"""Least agreement of the served answer with its samples. Fixed on the calibration questions (docs/threshold.md), never
on the demo's: the highest tenth that escalates at most 55 % of them."""

_SOME_ANSWER = Evidence(question="", answer=Sample(text="?"))

_UNSUPPORTED = Decision(record=ConfidenceRecord(route="cloud", reason="unsupported"), answer=None)
