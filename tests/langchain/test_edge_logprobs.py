"""Token logprobs of a LangChain chat model that is the edge are taken where they are given, and never needed."""

from __future__ import annotations

import time
from collections.abc import Callable
from json import JSONDecodeError
from types import SimpleNamespace
from typing import Any

import pytest
from openai import APIStatusError

from confroute import Generation, ModelError, SamplingOptions
from confroute.edge import objections
from confroute.errors import UnsupportedRequestError
from confroute_langchain.edge import ChatModelEdge
from tests.edge.scripted_server import Reply, Request, completion, serving
from tests.langchain.test_edge import chat
from tests.langchain.test_edge_samples import GREEDY, Scripted, asked, awaited

ways = pytest.mark.parametrize("ask", [asked, awaited])
Ask = Callable[..., Generation]


def refuses_logprobs(request: Request) -> Reply:
    if request.get("logprobs") or request.get("top_logprobs"):
        return 400, {"error": {"message": "logprobs are not supported"}}
    return completion(["Lima"], logprob=None)


@ways
@pytest.mark.parametrize(("given", "bound"), [({}, {}), ({"logprobs": True}, {}), ({}, {"logprobs": True})])
def test_a_server_that_refuses_them_is_asked_without(ask: Ask, given: dict[str, Any], bound: dict[str, Any]) -> None:
    """After one refusal, which is remembered: no later request is made in vain."""
    with serving(refuses_logprobs) as server:
        edge = ChatModelEdge(chat(server.url, **given).bind(**bound))
        for n in (1, 2):
            samples = ask(edge, n, GREEDY).samples
            assert [(sample.text, sample.token_logprobs) for sample in samples] == [("Lima", None)] * n
        assert [request.get("logprobs") for request in server.asked] == [True, None, None, None]


@pytest.mark.parametrize(("given", "bound"), [({"logprobs": False}, {}), ({}, {"logprobs": False})])
def test_turned_off_they_are_not_asked_for(given: dict[str, Any], bound: dict[str, Any]) -> None:
    """On the model or bound to it: nothing is said of them."""
    with serving(refuses_logprobs) as server:
        asked(ChatModelEdge(chat(server.url, **given).bind(**bound)), 1, GREEDY)
        assert [name for name in server.asked[0] if "logprobs" in name] == []


def test_a_request_that_is_refused_in_any_case_says_nothing_of_them() -> None:
    """The next one asks for them again."""
    refusals = [400, 400]

    def reply(request: Request) -> Reply:
        return (refusals.pop(), {}) if refusals else completion(["Lima"])

    with serving(reply) as server:
        edge = ChatModelEdge(chat(server.url))
        with pytest.raises(APIStatusError):
            asked(edge, 1, GREEDY)
        assert asked(edge, 1, GREEDY).samples[0].token_logprobs == (-0.5,)


def refuses_wordlessly(request: Request) -> Reply:
    return (400, {}) if request.get("logprobs") else completion(["Lima"], logprob=None)


@ways
def test_a_refusal_that_names_nothing_is_of_them_where_they_are_refused_again(ask: Ask) -> None:
    """Right after the same was answered without them: no later request is made in vain."""
    with serving(refuses_wordlessly) as server:
        edge = ChatModelEdge(chat(server.url))
        for n in (1, 2):
            assert [sample.text for sample in ask(edge, n, GREEDY).samples] == ["Lima"] * n
        assert [request.get("logprobs") for request in server.asked] == [True, None, True, None, None]


HICCUPS: list[Reply] = [
    (400, {"error": {"message": "Please try again later"}}),
    (403, "<html>Forbidden</html>"),
    (200, {"error": {"message": "Provider returned error", "code": 502}}),
    (200, {"choices": None}),
    (200, {"choices": []}),
]


@ways
@pytest.mark.parametrize("hiccup", HICCUPS)
def test_a_passing_failure_leaves_them_asked_for(ask: Ask, hiccup: Reply) -> None:
    """Which names nothing, and after which an answer without them says only that it has passed."""
    hiccups = [hiccup]

    def reply(request: Request) -> Reply:
        return hiccups.pop() if hiccups else completion(["Lima"])

    with serving(reply) as server:
        edge = ChatModelEdge(chat(server.url))
        for _ in range(2):
            assert ask(edge, 1, GREEDY).samples[0].token_logprobs == (-0.5,)
        assert [request.get("logprobs") for request in server.asked] == [True, None, True, True]


@ways
@pytest.mark.parametrize("status", [429, 500])
def test_an_answer_without_them_is_served_where_more_is_not_found_out(ask: Ask, status: int) -> None:
    """A server that has no time for it says nothing of them."""
    failures: list[Reply] = [(status, {}), (400, {})]

    def reply(request: Request) -> Reply:
        return failures.pop() if request.get("logprobs") and failures else completion(["Lima"])

    with serving(reply) as server:
        edge = ChatModelEdge(chat(server.url))
        assert [ask(edge, 1, GREEDY).samples[0].text for _ in range(2)] == ["Lima"] * 2
        assert [request.get("logprobs") for request in server.asked] == [True, None, True, True]


@pytest.mark.parametrize("status", [401, 404, 408, 429, 500, 503])
def test_a_failure_of_another_kind_is_not_asked_about(status: int) -> None:
    """A server that is busy, broken or locked is not asked twice for it."""
    with serving(lambda request: (status, {})) as server:
        with pytest.raises(APIStatusError):
            asked(ChatModelEdge(chat(server.url)), 1, GREEDY)
        assert len(server.asked) == 1


class Botocore(Exception):  # noqa: N818 - it stands for one
    """Has the status where Bedrock's client has it."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


class Telling(Scripted):
    """Could tell them, were it not for what it raises."""

    logprobs: bool | None = None


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (TypeError(), 2),
        (ValueError(), 2),
        (NotImplementedError(), 2),
        (Botocore(400), 2),
        (Botocore(503), 1),
        (TimeoutError(), 1),
        (ConnectionError(), 1),
        (ModelError(), 1),
        (UnsupportedRequestError(), 1),
    ],
)
def test_what_a_client_raises_may_be_about_them(error: Exception, calls: int) -> None:
    """Not so that it is out of reach or in a hurry, nor what was found wrong with the request by ourselves."""

    def failing(call: int) -> str:
        raise error

    model = Telling(answer=failing)
    with pytest.raises(type(error)):
        asked(ChatModelEdge(model), 1, GREEDY)
    assert len(model.seen) == calls


def test_a_model_that_is_not_asked_for_them_is_asked_once() -> None:
    """Its refusals have other reasons."""

    def refusing(call: int) -> str:
        raise ValueError

    model = Scripted(answer=refusing)
    with pytest.raises(ValueError, match=r"^$"):
        asked(ChatModelEdge(model), 1, GREEDY)
    assert len(model.seen) == 1


def responses(request: Request) -> Reply:
    """As OpenAI's Responses API."""
    said = {"type": "output_text", "text": "Lima", "annotations": []}
    message = {"type": "message", "id": "m", "status": "completed", "role": "assistant", "content": [said]}
    thought = {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Peru?"}]}
    head = {"id": "1", "object": "response", "created_at": 1, "model": "small", "status": "completed"}
    usage = {
        "input_tokens": 7,
        "output_tokens": 2,
        "total_tokens": 9,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    options = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    return 200, {**head, **options, "output": [thought, message], "usage": usage}


@ways
@pytest.mark.parametrize(
    "settings",
    [
        {"use_responses_api": True},
        {"reasoning": {"effort": "low"}},
        {"output_version": "responses/v1"},
        {"use_responses_api": True, "logprobs": False},
    ],
)
def test_the_responses_api_is_asked_without(ask: Ask, settings: dict[str, Any]) -> None:
    """Its client knows no such parameter, and would send nothing."""
    with serving(responses, draws=False) as server:
        options = SamplingOptions(max_tokens=8, stop=("END",))
        generation = ask(ChatModelEdge(chat(server.url, **settings)), 2, options)
        assert [sample.text for sample in generation.samples] == ["Lima"] * 2
        assert (generation.input_tokens, generation.output_tokens) == (7, 4)
        assert [request["max_output_tokens"] for request in server.asked] == [8, 8]


def test_one_reply_that_is_no_json_says_nothing_of_them() -> None:
    """A proxy's page comes and goes."""

    def failing(call: int) -> str:
        raise JSONDecodeError("a page", "<html>", 0)

    model = Telling(answer=failing)
    edge = ChatModelEdge(model)
    with pytest.raises(JSONDecodeError):
        asked(edge, 1, GREEDY)
    assert len(model.seen) == 1


def test_a_server_that_refused_them_is_asked_for_them_again_some_time_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another may stand there by now."""
    refusing = [True]

    def reply(request: Request) -> Reply:
        return refuses_logprobs(request) if refusing else completion(["Lima"])

    with serving(reply) as server:
        edge = ChatModelEdge(chat(server.url))
        asked(edge, 1, GREEDY)
        refusing.clear()
        asked(edge, 1, GREEDY)
        later = time.monotonic() + 2 * objections.ANEW_SECONDS
        monkeypatch.setattr(objections, "time", SimpleNamespace(monotonic=lambda: later))
        assert asked(edge, 1, GREEDY).samples[0].token_logprobs == (-0.5,)
        assert [request.get("logprobs") for request in server.asked] == [True, None, None, True]
