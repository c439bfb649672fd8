"""What every edge engine must do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from confroute.conformance import company, forms, logprobs, texts
from confroute.conformance.subject import Law, Subject
from confroute.edge import EdgeEngine
from confroute.errors import ConfrouteError

FACTS: Final[Mapping[str, str]] = {
    "What is the capital of Japan?": "Tokyo",
    "What is the capital of Egypt?": "Cairo",
    "What is the capital of England?": "London",
}


def check_engine(engine: EdgeEngine, *, facts: Mapping[str, str] = FACTS, context_tokens: int | None = None) -> None:
    """Try each of `ENGINE_LAWS`; AssertionError with the law that is broken. Some sixty short requests, and
    one of 6,000 words to a server.

    *facts* are questions whose answers the model knows, with a word that stands in them: they tell answers of
    concurrent requests apart. With the model's *context_tokens*, a prompt that is too long is tried as well. Meant for
    tests: ``check_engine(MyEngine(), context_tokens=2048)``.

    Raises:
        AssertionError: a law is broken, or a request of it fails; an error of the engine's is its cause.
        ConfigurationError: there are no *facts*.
    """
    subject = Subject(engine=engine, facts=facts, context_tokens=context_tokens)
    for name, law in ENGINE_LAWS.items():
        try:
            attempt(law, subject)
        except AssertionError as broken:
            cause = broken.__cause__ or broken
            raise AssertionError(f"{type(engine).__name__} breaks the law '{name}'. {broken}") from cause


def attempt(law: Law, subject: Subject) -> str | None:
    """What *law* gives; AssertionError where it is broken, by an error of any kind, too."""
    try:
        return law(subject)
    except AssertionError:
        raise
    except ConfrouteError as error:
        raise AssertionError(str(error)) from error
    except Exception as error:
        # What it says may quote the prompt.
        raise AssertionError(f"A request fails with {type(error).__name__}, which is no ModelError.") from error


ENGINE_LAWS: Final[Mapping[str, Law]] = {
    "it has a name and generates": texts.is_named,
    "it gives as many samples as asked for, and counts the prompt once": texts.are_counted,
    "samples are drawn, not copied": texts.are_drawn,
    "there is a logprob for each token, or for none": logprobs.are_for_each_token,
    "temperature 0 is the likeliest answer": texts.is_likeliest,
    "logprobs are those before the temperature": logprobs.are_untempered,
    "max_tokens cuts an answer and that is told": texts.is_cut,
    "a stop string ends an answer": texts.is_stopped,
    "an answer asked for as JSON of a schema is of it": forms.is_of_its_schema,
    "any text can be asked": texts.is_any,
    "all turns of a conversation count": texts.are_turns,
    "a tool that has to be called is called by its schema": forms.calls_tools,
    "requests at the same time get their own answers": company.are_apart,
    "awaited, it answers the same": company.is_awaited,
    "samples asked for together with an answer are at most as long as that lets them be": company.are_drawn_at_once,
    "too long a prompt is told with its numbers, and the next request works": company.is_too_long,
}
"""By the law in words."""
