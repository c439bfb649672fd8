"""Who takes what is missing for confidence is found, and nobody is refused who relies on what is promised."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import pytest

from confroute import Estimate, Estimator, Evidence, SamplingOptions
from confroute.estimators import SinglePass
from confroute.estimators.base import clipped
from confroute.records import FollowUp, Sample
from confroute.testing import check_estimator, random_evidence

MISSING = "what is missing is never taken for confidence"
NO_SIGNAL = Estimate(uncertainty=math.nan)


class Asking(Estimator):
    """P(False) of the edge about its own answer. Subclasses read the reply wrongly."""

    name = "asking"
    unit = "share"
    asked = ("true?",)

    @property
    def needs_samples(self) -> bool:
        return False

    def follow_ups(self, evidence: Evidence) -> Mapping[str, FollowUp]:
        question = FollowUp(messages=({"role": "user", "content": "True?"},), options=SamplingOptions(alternatives=5))
        return dict.fromkeys(self.asked, question)

    def estimate(self, evidence: Evidence) -> Estimate:
        doubts = [self.doubt(evidence.replies.get(name)) for name in self.asked]
        return Estimate(uncertainty=sum(doubts) / len(doubts)) if evidence.answer.text.strip() else NO_SIGNAL

    def doubt(self, reply: Sample | None) -> float:
        if reply is None or not reply.alternatives:
            return math.nan
        return clipped(math.fsum(math.exp(p) for text, p in reply.alternatives[0] if text == "False"), high=1.0)


class AskingTwice(Asking):
    name = "asking_twice"
    asked = ("true?", "right?")


class WithoutAlternatives(Asking):
    """What the reply does not tell has probability 0."""

    def doubt(self, reply: Sample | None) -> float:
        return Asking.doubt(self, reply) if reply is None or reply.alternatives else 0.0


class WithoutWords(Asking):
    """A reply that says nothing does not say "False"."""

    def doubt(self, reply: Sample | None) -> float:
        return math.nan if reply is None else Asking.doubt(self, reply) if reply.text else 0.0


class OneReply(AskingTwice):
    """What was not replied is no doubt."""

    def estimate(self, evidence: Evidence) -> Estimate:
        doubts = [self.doubt(reply) for name in self.asked if (reply := evidence.replies.get(name))]
        return Estimate(uncertainty=sum(doubts) / len(doubts)) if doubts and evidence.answer.text.strip() else NO_SIGNAL


class Weighted(Estimator):
    """The share of probability that the samples unlike the answer have. A sample without logprobs has p = 1."""

    name = "weighted"
    unit = "share"

    def estimate(self, evidence: Evidence) -> Estimate:
        samples, answer = evidence.samples, evidence.answer
        if not answer.text.strip() or not samples or all(sample.token_logprobs is None for sample in samples):
            return NO_SIGNAL
        logs = [self.log(sample) for sample in samples]
        masses = [math.exp(log - max(logs)) for log in logs]
        unlike = math.fsum(mass for mass, sample in zip(masses, samples, strict=True) if sample.text != answer.text)
        return Estimate(uncertainty=clipped(unlike / math.fsum(masses), high=1.0))

    def log(self, sample: Sample) -> float:
        return math.fsum(sample.token_logprobs or ())


class KnownOnly(Weighted):
    """Logprobs that are NaN are left out, as if those tokens were certain."""

    def log(self, sample: Sample) -> float:
        known = [p for p in sample.token_logprobs or () if not math.isnan(p)]
        return math.fsum(known) if sample.token_logprobs else math.nan


@pytest.mark.parametrize(
    ("estimator", "says"),
    [
        (WithoutAlternatives(), "the reply to 'true?' without alternatives"),
        (WithoutWords(), "the reply to 'true?' saying nothing"),
        (OneReply(), "no reply to 'true?'"),
        (Weighted(), "one sample without token_logprobs"),
        (KnownOnly(), "with NaN for logprobs"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Estimator) else None,
)
def test_each_part_goes_missing_alone(estimator: Estimator, says: str) -> None:
    """A part missing from one sample or reply, or one reply of several, shows who takes it for confidence."""
    with pytest.raises(AssertionError) as caught:
        check_estimator(estimator)
    assert str(caught.value).startswith(f"{type(estimator).__name__} breaks the law '{MISSING}'. ")
    assert says in str(caught.value)


class Strict(SinglePass):
    """Relies on one logprob for each token, as `Sample` says."""

    name = "strict"
    unit = "nats"

    def estimate(self, evidence: Evidence) -> Estimate:
        tokens, logprobs = evidence.answer.tokens, evidence.answer.token_logprobs
        if not evidence.answer.text.strip() or not tokens or not logprobs:
            return NO_SIGNAL
        kept = [-p for token, p in zip(tokens, logprobs, strict=True) if token.strip() not in ("It", "is")]
        return Estimate(uncertainty=clipped(math.fsum(kept) / len(kept)) if kept else math.nan)


class Length(SinglePass):
    name = "length"
    unit = "count"

    def estimate(self, evidence: Evidence) -> Estimate:
        logprobs = evidence.answer.token_logprobs
        return Estimate(uncertainty=float(len(logprobs))) if logprobs and evidence.answer.text.strip() else NO_SIGNAL


@pytest.mark.parametrize("estimator", [Asking(), AskingTwice(), Strict(), Length()], ids=lambda made: made.name)
def test_who_keeps_the_contract_passes(estimator: Estimator) -> None:
    """The evidence that is tried is of the form that the records promise: nobody is refused for relying on it."""
    check_estimator(estimator)


def test_replies_differ_by_question_but_not_by_time() -> None:
    """Random evidence replies to whatever is asked, always the same to the same question."""
    rng = random.Random(0)
    replies = [random_evidence(rng).replies for _ in range(20)]
    assert all(reply["a"] == reply.get("a") == reply["a"] for reply in replies)
    assert any(reply["a"].text != reply["b"].text for reply in replies)
    assert len({reply["a"].text for reply in replies}) > 1
