"""How probable the option that the edge chose is among the options that it had."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from confroute.errors import ConfigurationError
from confroute.estimators.base import SinglePass, clipped
from confroute.records import Estimate, Evidence, Sample

_ALL = 0.999
"""A probability that leaves nothing for others."""


@dataclass(frozen=True, slots=True)
class OptionProbability(SinglePass):
    """For closed answers (labels, yes or no, multiple choice, an enum's values, tool names): one less the chosen
    option's probability among the *options*.

    u = 1 - prod_t P_t(chosen) / P_t(open), over the tokens from the chosen option's first one to the one that tells it
    from all others: P_t(chosen) is the probability of the tokens at place t that go on with the chosen option,
    P_t(open) of those that go on with any option still open. For options that differ in their first token this is the
    softmax over the options. It is read from the answer, never sampled: of a distribution that can be read,
    samples are only a noisy copy.

    Case, and what stands around the option in the answer, do not matter; the first option named is the one chosen.

    In [0, 1]; higher is more uncertain. Cost: none beyond the answer itself, no samples. NaN where the answer names no
    option or the engine tells no token but the likeliest; an option missing among the *k* likeliest counts as
    improbable.

    >>> from confroute.records import Sample
    >>> place = (("yes", -0.5), (" Yes", -2.3), ("no", -1.6), ("I", -3.0))
    >>> answer = Sample(text="yes", tokens=("yes",), token_logprobs=(-0.5,), alternatives=(place,))
    >>> uncertainty = OptionProbability(("yes", "no")).estimate(Evidence(question="", answer=answer)).uncertainty
    >>> round(uncertainty, 3)  # 0.202 / (0.607 + 0.100 + 0.202)
    0.222
    """

    name = "option_probability"
    version = 2
    unit = "share"
    quick = True
    options: tuple[str, ...]
    k: int = 20

    def __post_init__(self) -> None:
        folded = {option.strip().casefold() for option in self.options}
        if self.k < 2:
            raise ConfigurationError(f"k must be at least 2, not {self.k}: one token leaves nothing to choose from.")
        if isinstance(self.options, str) or len(folded) < 2 or len(folded) < len(self.options) or "" in folded:
            raise ConfigurationError(
                f"options must be at least two different texts, case aside, in a tuple; {len(self.options)} were given."
            )

    @property
    def needs_alternatives(self) -> int:
        return self.k

    def estimate(self, evidence: Evidence) -> Estimate:
        chosen = chosen_option(evidence.answer, self.options) if evidence.answer.text.strip() else None
        return Estimate(uncertainty=math.nan if chosen is None else clipped(1.0 - chosen[1], high=1.0))


def chosen_option(answer: Sample, options: Sequence[str]) -> tuple[str, float] | None:
    """The option that *answer* names first and its probability among the *options*; None if that cannot be read."""
    if not answer.tokens or not answer.alternatives:
        return None
    names = {option.strip().casefold(): option for option in options}
    text = "".join(answer.tokens).casefold()
    # The longest first, so that "not spam" is not read as "spam".
    longest_first = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    found = re.search(rf"(?<!\w)(?:{longest_first})(?!\w)", text)
    if found is None:
        return None
    chosen, start = found.group(), found.start()
    probability, possible = 1.0, list(names)
    ends = accumulate(len(token.casefold()) for token in answer.tokens)
    for token, end, place in zip(answer.tokens, ends, answer.alternatives, strict=True):
        if end <= start:
            continue
        if len(place) < 2 and math.exp(place[0][1] if place else -math.inf) < _ALL:
            return None  # what a server that tells no other token says nothing of may be another option's
        read = max(0, end - len(token.casefold()) - start)
        masses = [(math.exp(logprob), _going_on(possible, other, read)) for other, logprob in place]
        open_mass = math.fsum(mass for mass, going_on in masses if going_on)
        if not open_mass:
            return None
        possible = _going_on(possible, token, read)
        if chosen not in possible:
            return None
        # What could still become an option that this token has ruled out does not speak for the chosen one.
        chosen_mass = math.fsum(mass for mass, going_on in masses if going_on and set(going_on) <= set(possible))
        probability *= chosen_mass / open_mass
        if len(possible) <= 1:
            return names[chosen], probability
        if end > start + len(chosen):
            break
    # The answer ended, or went on, before it told the chosen option from a longer one that begins with it.
    return None


def _going_on(names: Sequence[str], token: str, read: int) -> list[str]:
    """Those whose rest, *read* characters in, begins with *token*, or is all said by it and ends there."""
    text = token.casefold() if read else token.casefold().lstrip(" \n\t\"'(*[")
    rests = [(name, name[read:]) for name in names] if text else []
    return [
        name
        for name, rest in rests
        if rest.startswith(text) or (text.startswith(rest) and not re.match(r"\w", text[len(rest) :]))
    ]
