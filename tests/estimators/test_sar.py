"""How improbable the samples are, their tokens weighed by relevance, each helped by those that resemble it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import MeanLogprob, Sample
from confroute.equivalence import RougeL
from confroute.estimators import SAR, SequenceNLL
from confroute.testing import says

SENTENCE = SAR(tokens=False)


def spoken(tokens: Sequence[str], logprobs: Sequence[float]) -> Sample:
    return Sample(text="".join(tokens), tokens=tuple(tokens), token_logprobs=tuple(logprobs))


drawn = st.lists(
    st.tuples(st.sampled_from(["It is Paris", "It is Lyon", "Paris", "Rome"]), st.floats(-30, 0)),
    min_size=2,
    max_size=6,
)


def test_samples_that_are_all_unlike() -> None:
    """Each stands alone: the mean of their negative logprobs, 1, 3 and 5."""
    assert SENTENCE.score("x", [says("Paris", -1.0), says("Lyon", -1.0, -2.0), says("Rome", -5.0)]) == pytest.approx(3)


def test_two_samples_by_hand() -> None:
    """p = 1/2 and 1/4 of similarity 2/3 and t = 1/3: 1/2 + 2 (1/4) = 1 and 1/4 + 2 (1/2) = 5/4."""
    samples = [says("It is Paris", math.log(1 / 2)), says("It is Lyon", math.log(1 / 4))]
    assert SAR(tokens=False, t=1 / 3).score("x", samples) == pytest.approx(-(math.log(1) + math.log(5 / 4)) / 2)


@given(drawn)
def test_equation(samples: list[tuple[str, float]]) -> None:
    """-(1/N) sum_i ln(p_i + (1/t) sum_{j != i} sim_ij p_j)."""
    helped = [
        math.exp(p) + sum(RougeL().similarity([(a, b)], question="")[0] * math.exp(q) for b, q in others) / 0.001
        for i, (a, p) in enumerate(samples)
        for others in [samples[:i] + samples[i + 1 :]]
    ]
    expected = -sum(map(math.log, helped)) / len(helped)
    assert SENTENCE.score("x", [says(text, p) for text, p in samples]) == pytest.approx(expected, abs=1e-9)


@given(drawn, st.floats(-900, 0))
def test_shift_moves_it_by_as_much(samples: list[tuple[str, float]], shift: float) -> None:
    """All samples e^shift times as likely are as much surer, also where their probabilities underflow."""
    plain = SENTENCE.score("x", [says(text, p) for text, p in samples])
    moved = SENTENCE.score("x", [says(text, p + shift) for text, p in samples])
    assert moved == pytest.approx(plain - shift, abs=1e-6)


@given(drawn)
def test_help_never_raises_it(samples: list[tuple[str, float]]) -> None:
    """Samples that resemble others are at most as uncertain as they are alone, and a smaller t helps more."""
    said = [says(text, p) for text, p in samples]
    alone = sum(SequenceNLL().score(one) for one in said) / len(said)
    scores = [SAR(tokens=False, t=t).score("x", said) for t in (0.001, 0.1, 10.0)]
    assert scores == sorted(scores)
    assert scores[-1] <= alone + 1e-9


def test_tokens_that_matter_alike_weigh_alike() -> None:
    """Without any one word of three, ROUGE-L is 4/5: the mean logprob, not the sum, is the sample's."""
    paris = spoken(("It", " is", " Paris"), (-1.0, -2.0, -6.0))
    rome = spoken(("Ro", "me"), (-2.0, -4.0))  # without either half nothing is alike
    assert SAR().score("x", [paris, rome]) == pytest.approx((3 + 3) / 2)
    assert SAR().score("x", [paris, rome]) == pytest.approx(-(paris.mean_logprob + rome.mean_logprob) / 2)


def test_a_token_that_does_not_matter_weighs_nothing() -> None:
    """The full stop is no word, so that leaving it out changes nothing, and its improbability does not count."""
    stopped = spoken(("Paris", "."), (-1.0, -50.0))
    rome = spoken(("Rome",), (-3.0,))
    assert SAR().score("x", [stopped, rome]) == pytest.approx(2.0)


def test_where_no_token_matters_all_weigh_alike() -> None:
    """Each relevance is 0; the published quotient would be 0/0."""
    dots = spoken(("!", "!"), (-1.0, -3.0))
    rome = spoken(("Rome",), (-3.0,))
    expected = (MeanLogprob().score(dots) + 3) / 2
    assert SAR().score("x", [dots, rome]) == pytest.approx(expected)


def test_repeated_texts_help_each_other() -> None:
    """Two equal samples of p = e^-1 are 1 + 1/t times as likely as one: negative, so its unit is a score."""
    paris = spoken(("Paris",), (-1.0,))
    assert SAR().score("x", [paris, paris]) == pytest.approx(1 - math.log(1001))


def test_tokens_are_needed_only_where_they_are_weighed() -> None:
    """Without the tokens' texts there is sentence-SAR."""
    samples = [says("Paris", -1.0), says("Rome", -3.0)]
    assert math.isnan(SAR().score("x", samples))
    assert SENTENCE.score("x", samples) == pytest.approx(2.0)
