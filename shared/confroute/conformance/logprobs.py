"""The laws of logprobs."""

from __future__ import annotations

import math

from confroute.conformance.holding import hold
from confroute.conformance.subject import Subject, spells, user
from confroute.records import Sample


def are_for_each_token(subject: Subject) -> None:
    for options in ({}, {"temperature": 1.0, "alternatives": 5}):
        asked = subject.ask(user(subject.question), n=2, max_tokens=subject.room(6), **options)
        said = [sample for sample in asked.samples if sample.text]
        for sample in said:
            if sample.token_logprobs is None:
                hold(sample.tokens is None, "There are tokens, but no logprobs of them.")
            else:
                _hold_for_each_token(sample, sample.token_logprobs)
        # After a thought, tokens may not be told apart from it.
        known = {sample.token_logprobs is not None for sample in said}
        hold(len(known) < 2 or subject.thinks, "Some samples have logprobs, and others none.")


def _hold_for_each_token(sample: Sample, logprobs: tuple[float, ...]) -> None:
    count = len(logprobs)
    # The tokens of a thought before the answer are counted, but are none of its.
    thought = count < sample.output_tokens and sample.tokens is not None
    hold(count == sample.output_tokens or thought, f"{count} logprobs for {sample.output_tokens} tokens.")
    hold(sample.tokens is None or len(sample.tokens) == count, "Not a text for each token.")
    hold(sample.tokens is None or spells(sample), "The texts of the tokens are not the text of the answer.")
    hold(all(map(math.isfinite, logprobs)), "A logprob is no finite number.")
    hold(all(logprob <= 1e-3 for logprob in logprobs), "A logprob is above 0.")
    if sample.alternatives is None:
        return
    places = [[logprob for _, logprob in place] for place in sample.alternatives]
    hold(len(places) == count, f"Alternatives of {len(places)} tokens, logprobs of {count}.")
    for place in places:
        hold(1 <= len(place) <= 5, f"{len(place)} alternatives where 5 were asked for.")
        hold(place == sorted(place, reverse=True), "Alternatives are not in the order of their probability.")
        total = math.fsum(map(math.exp, place))
        hold(total <= 1.01, f"The probabilities of the alternatives of one token are {total:.3g} together.")


def are_untempered(subject: Subject) -> str | None:
    (greedy,) = subject.tell(12)
    if greedy.token_logprobs is None or greedy.tokens is None:
        return "It gives no logprobs, or not the tokens."
    if subject.thinks:
        return "It thinks first, and what it says is likely or not by what it thought."
    # A story: of what it is sure of, it would be as sure at any temperature.
    drawn = subject.tell(12, n=8, temperature=0.3)
    shared = max(drawn, key=lambda sample: _shared(sample, greedy))
    places = _shared(shared, greedy)
    hold(places, "Not one of 8 samples at temperature 0.3 begins as the greedy answer.")
    expected, told = (math.fsum((sample.token_logprobs or ())[:places]) for sample in (greedy, shared))
    # A quantised model's sums depend on what is decoded together.
    hold(
        abs(told - expected) < 0.4 + 0.25 * abs(expected),
        "Logprobs change with the temperature: they are to be those of the model itself.",
    )
    return None


def _shared(one: Sample, other: Sample) -> int:
    """How many tokens they have in common at the beginning."""
    pairs = list(zip(one.tokens or (), other.tokens or (), strict=False))
    return next((i for i, (mine, theirs) in enumerate(pairs) if mine != theirs), len(pairs))
