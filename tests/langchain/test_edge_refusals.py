"""A LangChain chat model that refuses some of what it is told of sampling is an edge without it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from email.message import Message
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError

import pytest
from openai import BadRequestError, UnprocessableEntityError

from confroute import Generation, SamplingOptions
from confroute.edge import objections
from confroute_langchain.edge import ChatModelEdge
from tests.edge.scripted_server import Reply, Request, completion, serving
from tests.langchain.test_edge import chat
from tests.langchain.test_edge_samples import ASK, DRAWN, GREEDY, Scripted, asked, awaited

ways = pytest.mark.parametrize("ask", [asked, awaited])
Ask = Callable[..., Generation]

WARM = SamplingOptions(temperature=0.7, max_tokens=8)


def refused(message: str, param: str | None = None) -> Reply:
    return 400, {"error": {"message": message, "type": "invalid_request_error", "param": param}}


def as_claude(request: Request) -> Reply:
    """Takes one of them."""
    if "temperature" in request and "top_p" in request:
        return refused("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    return completion(["Lima"])


def as_gpt(request: Request) -> Reply:
    """Takes no temperature but its own."""
    if request.get("temperature", 1) != 1:
        return refused("Unsupported value. Only the default (1) value is supported.", "temperature")
    return completion(["Lima"])


def sampling(requests: list[Request]) -> list[tuple[Any, Any]]:
    return [(request.get("temperature"), request.get("top_p")) for request in requests]


@ways
def test_top_p_goes_where_both_are_refused(ask: Ask) -> None:
    """It is the temperature that samples cannot do without; one refusal is enough for all requests like it."""
    with serving(as_claude) as server:
        edge = ChatModelEdge(chat(server.url))
        for n, options in ((1, GREEDY), (1, DRAWN), (2, DRAWN)):
            assert [sample.text for sample in ask(edge, n, options).samples] == ["Lima"] * n
        assert sampling(server.answered) == [(0.0, None), (0.7, 0.9), (0.7, None), (0.7, None), (0.7, None)]


@pytest.mark.parametrize(
    ("given", "bound"),
    [
        ({"top_p": 0.1}, {}),
        ({}, {"top_p": 0.1}),
        ({"model_kwargs": {"top_p": 0.1}}, {}),
        ({"extra_body": {"top_p": 0.1, "user": "somebody"}}, {}),
        ({}, {"extra_body": {"top_p": 0.1}}),
    ],
)
@pytest.mark.filterwarnings("ignore:.*model_kwargs:UserWarning")
def test_a_top_p_of_the_models_own_never_makes_samples_alike(given: dict[str, Any], bound: dict[str, Any]) -> None:
    """Said or refused: from a tenth of the probability they would all be the same, and agree."""
    for reply in (as_claude, lambda request: completion(["Lima"])):
        with serving(reply) as server:
            edge = ChatModelEdge(chat(server.url, **given).bind(**bound))
            for options in (GREEDY, DRAWN, WARM):
                edge.generate(ASK, n=1, options=options)
            assert {top_p for _, top_p in sampling(server.answered)} <= {None, 0.9, 1.0}


def test_a_greedy_answer_is_told_no_top_p_that_nobody_set() -> None:
    """It changes nothing there, and some take only one of the two. Samples are told, for a server may have its own."""
    with serving(lambda request: completion(["Lima"])) as server:
        for given in ({}, {"top_p": 0.1}):
            edge = ChatModelEdge(chat(server.url, **given))
            asked(edge, 1, GREEDY)
            asked(edge, 1, WARM)
        assert sampling(server.answered) == [(0.0, None), (0.7, 1.0), (0.0, 1.0), (0.7, 1.0)]


@ways
def test_a_model_that_takes_its_own_temperature_alone_is_asked_without(
    ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    """Which is said once, and not what was asked: the served answer is drawn, too."""
    with serving(as_gpt) as server:
        edge = ChatModelEdge(chat(server.url, temperature=None))
        with caplog.at_level(logging.WARNING, "confroute"):
            for n, options in ((1, GREEDY), (1, GREEDY), (1, DRAWN), (2, DRAWN)):
                assert [sample.text for sample in ask(edge, n, options).samples] == ["Lima"] * n
        assert [temperature for temperature, _ in sampling(server.answered)] == [0.0, None, None, 0.7, *[None] * 3]
    assert ['"small" refuses a temperature of 0' in message for message in caplog.messages] == [True]
    assert "Peru" not in caplog.text


@pytest.mark.parametrize("given", [{"temperature": 0.1}, {"extra_body": {"temperature": 0.1}}])
def test_a_temperature_that_is_refused_leaves_no_other_behind(given: dict[str, Any]) -> None:
    """The model's own would be refused as well."""
    with serving(as_gpt) as server:
        asked(ChatModelEdge(chat(server.url, **{"temperature": None, **given})), 1, DRAWN)
        assert sampling(server.answered) == [(0.7, 0.9), (None, 0.9)]


def test_a_temperature_above_1_is_refused_for_its_value() -> None:
    """Drawn without it, samples would be less hot than they were to be."""

    def reply(request: Request) -> Reply:
        return refused("temperature must be at most 1") if request.get("temperature", 1) > 1 else completion(["Lima"])

    with serving(reply) as server:
        edge = ChatModelEdge(chat(server.url))
        with pytest.raises(BadRequestError):
            asked(edge, 1, SamplingOptions(temperature=2.0))
        asked(edge, 1, DRAWN)
        assert {temperature for temperature, _ in sampling(server.answered)} == {2.0, 0.7}


def test_a_seed_that_is_refused_is_not_sent() -> None:
    """Answers do without."""

    def reply(request: Request) -> Reply:
        return refused("Extra inputs are not permitted", "seed") if "seed" in request else completion(["Lima"])

    with serving(reply) as server:
        edge = ChatModelEdge(chat(server.url, seed=3))
        for n in (1, 2):
            asked(edge, n, SamplingOptions(temperature=0.7, seed=5))
        assert ["seed" in request for request in server.answered] == [True, False, False, False]


def test_what_was_refused_is_said_again_some_time_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another model may stand there by now."""
    with serving(as_claude) as server:
        edge = ChatModelEdge(chat(server.url))
        asked(edge, 1, DRAWN)
        later = time.monotonic() + 2 * objections.ANEW_SECONDS
        monkeypatch.setattr(objections, "time", SimpleNamespace(monotonic=lambda: later))
        asked(edge, 1, DRAWN)
        assert [top_p for _, top_p in sampling(server.answered)] == [0.9, None, 0.9, None]


class Wrapping(Scripted):
    """As Google's: what it raises has no status, but its cause has."""

    temperature: float | None = None
    status: int = 400

    def _call(self, *args: Any, **kwargs: Any) -> str:
        if self.temperature is not None:
            message = "temperature: Only the default (1) value is supported."
            cause = HTTPError("http://server", self.status, message, Message(), None)
            raise RuntimeError(message) from cause
        return super()._call(*args, **kwargs)


@pytest.mark.parametrize("status", [400, 403, 405, 413, 415, 422])
@ways
def test_a_refusal_within_an_error_of_the_models_own_is_one(ask: Ask, status: int) -> None:
    """By whichever status servers refuse what they do not know."""
    assert len(ask(ChatModelEdge(Wrapping(answer=str, status=status)), 2, DRAWN).samples) == 2


@pytest.mark.parametrize("status", [401, 404, 429, 503])
@ways
def test_another_failure_within_an_error_of_the_models_own_is_none(ask: Ask, status: int) -> None:
    """A server that is busy, or that does not let us in, refuses no temperature."""
    with pytest.raises(RuntimeError):
        ask(ChatModelEdge(Wrapping(answer=str, status=status)), 2, DRAWN)


def test_a_refusal_that_stays_says_nothing_of_what_was_left_out() -> None:
    """It is told as it was, after each was tried; the next request says all of it."""
    with serving(lambda request: refused("temperature, top_p and seed of this prompt")) as server:
        edge = ChatModelEdge(chat(server.url))
        for _ in range(2):
            with pytest.raises(BadRequestError):
                asked(edge, 1, DRAWN)
        assert sampling(server.answered) == [(0.7, 0.9), (0.7, None), (None, None), (None, None)] * 2


def as_mistral(request: Request) -> Reply:
    """Takes the limit of an answer by its older name alone."""
    if "max_completion_tokens" in request:
        detail = [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"], "msg": "Extra inputs"}]
        return 422, {"object": "error", "message": {"detail": detail}}
    return completion(["Lima"])


@pytest.mark.parametrize("is_bound", [False, True])
@ways
def test_the_limit_has_the_name_that_the_caller_has_for_it(ask: Ask, is_bound: bool) -> None:
    """Not the client's, too, which the server may refuse."""
    own = {"extra_body": {"max_tokens": 500, "user": "somebody"}}
    with serving(as_mistral) as server:
        edge = ChatModelEdge(chat(server.url).bind(**own) if is_bound else chat(server.url, **own))
        for n in (1, 2):
            assert [sample.text for sample in ask(edge, n, DRAWN).samples] == ["Lima"] * n
        assert {(request["max_tokens"], request["user"]) for request in server.answered} == {(8, "somebody")}


@ways
def test_a_limit_whose_name_is_refused_tells_where_to_put_another(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    """Once, and not what was asked: the model answers its caller, who gives it no limit."""
    with serving(as_mistral) as server:
        edge = ChatModelEdge(chat(server.url))
        for _ in range(2):
            with pytest.raises(UnprocessableEntityError):
                ask(edge, 1, GREEDY)
    (told,) = caplog.messages
    assert '"small" refuses' in told
    assert 'extra_body={"max_tokens": 500}' in told
    assert "Peru" not in told


def test_a_limit_whose_name_is_taken_is_not_what_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    """A later refusal that names it is of its value, or of a thought that it cut."""
    with serving(lambda request: refused("max_tokens") if server.asked[1:] else completion(["Lima"])) as server:
        edge = ChatModelEdge(chat(server.url))
        asked(edge, 1, GREEDY)
        with pytest.raises(BadRequestError):
            asked(edge, 1, GREEDY)
    assert caplog.messages == []


@pytest.mark.parametrize("own", [{"max_tokens": 99}, {"extra_body": {"options": {"num_predict": 99}}}])
def test_a_limit_that_the_server_may_know_by_the_clients_name_alone_is_told_so(own: dict[str, Any]) -> None:
    """The caller has it there as well, or where the server may overlook it: samples would go on and on."""
    with serving(lambda request: completion(["Lima"])) as server:
        asked(ChatModelEdge(chat(server.url, **{"extra_body": {"max_tokens": 500}, **own})), 1, DRAWN)
        assert [request["max_completion_tokens"] for request in server.answered] == [8]
        assert all(request.get("max_tokens", 8) == 8 for request in server.answered)


@pytest.mark.parametrize("bound", [{"chat_template_kwargs": {"enable_thinking": False}}, None])
def test_a_limit_among_what_is_bound_over_is_told_elsewhere(bound: Any) -> None:
    """LangChain sends the bound further parameters in place of the model's own: samples would go on and on."""
    with serving(lambda request: completion(["Lima"])) as server:
        model = chat(server.url, extra_body={"max_tokens": 500}).bind(extra_body=bound)
        asked(ChatModelEdge(model), 1, DRAWN)
        assert [request["max_completion_tokens"] for request in server.answered] == [8]
