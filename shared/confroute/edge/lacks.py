"""What a request is for that a server cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from confroute.edge.probing import LONGEST, MOST_ALTERNATIVES
from confroute.edge.protocol import Capabilities
from confroute.edge.refusals import DeniedError
from confroute.errors import ConfigurationError, ConfrouteError, ModelError, UnsupportedRequestError
from confroute.records import Message, SamplingOptions
from confroute.tools import are_wanted


def lack_of(
    can: Capabilities,
    could: Capabilities,
    messages: Sequence[Message],
    n: int,
    options: SamplingOptions,
    *,
    model: str,
    host: str,
) -> ConfrouteError | None:
    """The error of a request that the server on this *host* cannot answer at all. What it *could* at some time is no
    wrong setting now: such a request escalates."""
    if options.temperature < can.least_temperature:
        return (DeniedError if options.temperature >= could.least_temperature else ConfigurationError)(
            f'"{model}" on the server at {host} takes no temperature below {can.least_temperature:g}, and '
            f"{options.temperature:g} was asked for. Set the request's temperature, and a router's "
            "sampling_temperature, to at least that, or have another model at the edge."
        )
    several = n > 1 and options.temperature > 0
    if several and can.draws is None:
        return ModelError(
            f'"{model}" on the server at {host} said nothing in {LONGEST} tokens, so that it is not known whether its '
            "samples differ. If it is a reasoning model, have its server show the thoughts, or turn them off."
        )
    if several and not can.draws:
        return (DeniedError if could.draws else ConfigurationError)(
            f'The server at {host} answers "{model}" with the same text however high the temperature: samples would '
            "agree whatever the model knows. Have it draw, without a seed of its own and a cache before it; "
            "docs/scale.md tells how for some servers."
        )
    if options.json_schema is not None and not can.json_schema:
        return UnsupportedRequestError(f"The server at {host} does not hold answers to a JSON schema.")
    if are_wanted(messages, options) and not can.tools:
        return UnsupportedRequestError(f'The server at {host} does not call tools with "{model}".')
    return None


def ever(could: Capabilities | None, can: Capabilities) -> Capabilities:
    """What a server *can* of what makes it an edge at all, or *could* before."""
    if could is None:
        return can
    least = min(could.least_temperature, can.least_temperature)
    return replace(can, draws=could.draws or can.draws, least_temperature=least)


def wants_more(can: Capabilities, n: int, options: SamplingOptions) -> bool:
    """Whether the request is better served by a server that can what this one cannot."""
    return not can.logprobs or can.alternatives < min(options.alternatives, MOST_ALTERNATIVES) or (n > 1 and not can.n)
