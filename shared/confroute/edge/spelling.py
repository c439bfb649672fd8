"""Which of the tokens that a model wrote spell its answer, as it may have thought before it."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from itertools import accumulate

from confroute.records import Sample


def spelling(sample: Sample) -> Sample:
    """The *sample* with the tokens that spell its text, None where none do; ``output_tokens`` still counts them all."""
    tokens = sample.tokens or ()
    told = "".join(tokens)
    begins = [0, *accumulate(map(len, tokens))]
    shown = ((begin + len(token) - len(token.lstrip()), begin) for begin, token in zip(begins, tokens, strict=False))
    # The last place: it may have thought of the same answer.
    places = [(at, begin) for at, begin in shown if sample.text and told.startswith(sample.text, at)]
    at, begin = places[-1] if places else (len(told), len(told))
    # The first parts of a character have no text of their own.
    kept = slice(bisect_left(begins, begin), bisect_left(begins, at + len(sample.text)))
    return replace(
        sample,
        tokens=tokens[kept] or None,
        token_logprobs=(sample.token_logprobs or ())[kept] or None,
        alternatives=(sample.alternatives or ())[kept] or None,
    )
