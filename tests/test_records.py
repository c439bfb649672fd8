"""The nouns: what they compute and what they promise as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import ConfidenceRecord, ConfigurationError, Generation, ModelUsage, Price, Sample, SamplingOptions
from confroute.records import question_of
from confroute.testing import says


@given(st.lists(st.floats(-900, 0), min_size=1, max_size=20))
def test_mean_logprob_is_the_mean(logprobs: list[float]) -> None:
    """The mean logprob is the sum over the count, between the least and the greatest."""
    mean = Sample(text="x", token_logprobs=tuple(logprobs)).mean_logprob
    assert mean == pytest.approx(sum(logprobs) / len(logprobs))
    assert min(logprobs) - 1e-9 <= mean <= max(logprobs) + 1e-9


@pytest.mark.parametrize("logprobs", [None, ()])
def test_mean_logprob_without_logprobs_is_nan(logprobs: tuple[float, ...] | None) -> None:
    """No logprobs are no signal, never a certain zero."""
    assert math.isnan(Sample(text="x", token_logprobs=logprobs).mean_logprob)


def test_generation_counts_output_of_all_samples() -> None:
    """Output tokens add up over the samples; the prompt is counted once."""
    generation = Generation(samples=(says("a b"), says("c")), input_tokens=5)
    assert (generation.input_tokens, generation.output_tokens) == (5, 3)


def test_price_is_per_million_tokens() -> None:
    """A million tokens in and half a million out cost one and a half unit prices."""
    assert Price(input_usd=2.0, output_usd=6.0).cost_usd(1_000_000, 500_000) == pytest.approx(5.0)


def test_full_record_is_strict_json() -> None:
    """A record with every field set survives a JSON round trip, its tiers nested."""
    record = ConfidenceRecord(
        route="cloud",
        reason="uncertain",
        confidence=0.5,
        uncertainty=0.5,
        estimator="disagreement@1",
        threshold=0.6,
        samples=10,
        clusters=2,
        edge=ModelUsage(model="edge", input_tokens=7, output_tokens=3, seconds=0.1, cost_usd=0.0),
        cloud=ModelUsage(model="cloud"),
    )
    document = record.to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert set(document) == {field.name for field in dataclasses.fields(ConfidenceRecord)}
    assert document["edge"]["input_tokens"] == 7
    assert document["cloud"]["cost_usd"] is None


@pytest.mark.parametrize("record", [says("a"), SamplingOptions(), ConfidenceRecord(route="edge", reason="confident")])
def test_records_are_frozen(record: object) -> None:
    """A record that was handed out cannot be changed."""
    field = dataclasses.fields(record)[0].name  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, field, "other")


@pytest.mark.parametrize(
    ("messages", "question"),
    [
        ([], ""),
        ([{"role": "user", "content": "first"}, {"role": "user", "content": "last"}], "last"),
        ([{"role": "user", "content": "asked"}, {"role": "assistant", "content": "said"}], "asked"),
        ([{"role": "system", "content": "rule"}], "rule"),
        ([{"role": "user", "content": None}], ""),
        ([{"content": "no role"}], "no role"),
    ],
)
def test_question_is_the_last_users_text(messages: list[dict[str, object]], question: str) -> None:
    """The question is what the user asked last, or the last message if no user spoke."""
    assert question_of(messages) == question


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 2.5},
        {"max_tokens": 0},
        {"alternatives": 1.5},
        {"seed": "7"},
        {"seed": 1.5},
        {"stop": "ab"},
        {"temperature": math.inf},
        {"top_p": 1.1},
    ],
    ids=str,
)
def test_what_cannot_be_sampled_by_is_told_at_once(wrong: dict[str, Any]) -> None:
    """A fraction of a token would never be used up, and one string would be as many stop strings as it has letters."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        SamplingOptions(**wrong)


def test_only_what_is_wrong_is_told() -> None:
    """With its value and what it may be; all that is wrong at once."""
    with pytest.raises(ConfigurationError) as caught:
        SamplingOptions(temperature=-1, max_tokens=0)
    told = str(caught.value)
    assert told == (
        "temperature must be a number of at least 0, not -1. max_tokens must be a whole number of at least 1, not 0."
    )
    with pytest.raises(ConfigurationError, match=r"^seed must be a whole number or None, not '7'\.$"):
        SamplingOptions(seed="7")  # type: ignore[arg-type]


def test_an_empty_stop_string_stops_nothing() -> None:
    """llama.cpp would end each answer at once."""
    assert SamplingOptions(stop=("", "end", "")).stop == ("end",)
