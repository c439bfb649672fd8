"""Hooks see each request once, also those that end without an answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from confroute import ConfidenceRecord, ConfigurationError, Router
from confroute.contract import Request
from confroute.steps import arun, astream, run, stream
from tests.scripted import ASK, SECRET, SURE, UNSURE, ScriptedCloud, engine
from tests.test_delivery import Deliver, delivers


@delivers
@pytest.mark.parametrize("begins", [True, False])
def test_a_cloud_that_fails_is_told(deliver: Deliver, begins: bool) -> None:
    """What the edge took is spent, and the request was escalated: rates and costs would be wrong without it."""
    seen: list[ConfidenceRecord] = []
    router = Router(engine(UNSURE), samples=4, hooks=[seen.append])
    cloud = ScriptedCloud(chunks=("Stone", " Town") if begins else (), error=TimeoutError("busy"))
    with pytest.raises(TimeoutError, match="busy"):
        deliver(router, Request(messages=ASK), cloud)
    (record,) = seen
    assert (record.route, record.reason, record.error) == ("cloud", "uncertain", "TimeoutError")
    assert record.edge is not None
    assert record.edge.output_tokens
    assert record.cloud is not None
    assert record.cloud.model == "scripted-cloud"


@pytest.mark.parametrize("on_loop", [False, True])
@pytest.mark.parametrize(("answers", "pieces"), [(UNSURE, 1), (UNSURE, 2), (SURE, 1)])
def test_a_stream_that_is_given_up_is_told(answers: tuple[str, Sequence[str]], pieces: int, on_loop: bool) -> None:
    """Once, whoever answered and however much of it was taken."""
    seen: list[ConfidenceRecord] = []
    router = Router(engine(answers), samples=4, hooks=[seen.append])
    flow = router.stream(Request(messages=ASK), ScriptedCloud())
    if on_loop:

        async def take() -> None:
            source = astream(flow)
            for _ in range(pieces):
                await anext(source)
            await source.aclose()

        asyncio.run(take())
    else:
        source = stream(flow)
        for _ in range(pieces):
            next(source)
        source.close()
    (record,) = seen
    assert (record.route, record.error) == (("cloud", "GeneratorExit") if answers is UNSURE else ("edge", None))


def test_a_cancelled_answer_is_told() -> None:
    """A task that is cancelled while the cloud answers was escalated, too."""
    from confroute.steps import Call

    class Slow(ScriptedCloud):
        def invoke(self) -> Call:
            return Call(lambda: "never", lambda: asyncio.sleep(60))

    seen: list[ConfidenceRecord] = []
    router = Router(engine(UNSURE), samples=4, hooks=[seen.append], on_cloud_error="edge")

    async def drive() -> None:
        await asyncio.wait_for(arun(router.answer(Request(messages=ASK), Slow())), 0.2)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(drive())
    assert [record.route for record in seen] == ["cloud"]


def test_a_hook_that_would_have_to_be_awaited_is_refused() -> None:
    """It would never run: neither as a function nor as an object that is called."""

    async def hook(_: ConfidenceRecord) -> None: ...

    class Hook:
        async def __call__(self, _: ConfidenceRecord) -> None: ...

    for each in (hook, Hook()):
        with pytest.raises(ConfigurationError, match="not awaited"):
            Router(engine(SURE), hooks=[each])


class QuotingError(Exception):
    """As a cloud's client raises it, which quotes what it was sent."""


@delivers
@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("on_cloud_error", ["raise", "edge"])
def test_a_hook_that_fails_is_named_and_nothing_else_is(
    deliver: Deliver, begins: bool, on_cloud_error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Its error may quote the record, and has the cloud's as its context, which may quote prompt and key."""

    def hook(record: ConfidenceRecord) -> None:
        raise ValueError(f"no room for {SECRET}")

    router = Router(engine(UNSURE), samples=4, hooks=[hook], on_cloud_error=on_cloud_error)
    error = QuotingError(f"401: sk-key may not ask {SECRET}")
    with suppress(QuotingError):
        deliver(router, Request(messages=ASK), ScriptedCloud(chunks=("Stone",) if begins else (), error=error))
    (told,) = [record for record in caplog.records if "hook" in record.getMessage()]
    written = logging.Formatter().format(told)
    line = hook.__code__.co_firstlineno + 1
    assert f"ValueError at {__file__}:{line}" in written
    assert "sk-key" not in caplog.text
    assert SECRET not in caplog.text


def test_a_hook_that_is_not_python_is_named_by_its_type(caplog: pytest.LogCaptureFixture) -> None:
    """It has no line."""
    run(Router(engine(SURE), samples=4, hooks=[len]).answer(Request(messages=ASK), ScriptedCloud()))  # type: ignore[list-item]
    assert "TypeError in builtin_function_or_method" in caplog.text


@pytest.mark.parametrize("hooks", [3, print, ["print"], [print, None]])
def test_what_is_no_list_of_functions_is_refused(hooks: Any) -> None:
    """When the router is made, in words that show the right form."""
    with pytest.raises(ConfigurationError, match=r"hooks=\[function\]"):
        Router(engine(SURE), hooks=hooks)
