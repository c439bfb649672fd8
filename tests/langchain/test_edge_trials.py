"""What a LangChain chat model that is the edge is tried for goes on past what refuses too little room."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest
from langchain_core.messages import BaseMessage

from confroute import ModelError, SamplingOptions
from confroute_langchain.edge import ChatModelEdge
from tests.edge.scripted_server import Reply, Request, completion, serving
from tests.langchain.test_edge import chat
from tests.langchain.test_edge_drawing import TRIED, Ask, Heeding, lima, texts, ways
from tests.langchain.test_edge_samples import DRAWN, asked

REPLY = httpx.Response(400, request=httpx.Request("POST", "http://server"))
BROKEN = httpx.Response(500, request=REPLY.request)
CALL = httpx.Request("POST", "http://server")
REFUSED = openai.BadRequestError(
    "Could not finish the message because max_tokens or model output limit was reached.", response=REPLY, body=None
)
EARLY = RuntimeError("Response was terminated early: MAX_TOKENS")


class Length(Exception):  # noqa: N818 - as openai's LengthFinishReasonError
    """Has the status of what was answered, as LangChain has it told."""

    response = httpx.Response(200)


class Raising(Heeding):
    """Raises *error* where it is given fewer tokens for the trial than it *needs*."""

    needs: int
    error: Any

    def _call(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> str:
        said = super()._call(messages, *args, **kwargs)
        if messages[-1].text == TRIED and (self.max_tokens or 0) < self.needs:
            raise self.error
        return said


@ways
@pytest.mark.parametrize("error", [REFUSED, EARLY, Length()], ids=["refused", "early", "length"])
@pytest.mark.parametrize("needs", [100, 1200])
def test_a_model_that_fails_for_want_of_room_is_given_more(ask: Ask, error: Exception, needs: int) -> None:
    """As one that says nothing is: some services refuse what ends in the thought, some integrations raise."""
    model = Raising(answer=lima, needs=needs, error=error)
    edge = ChatModelEdge(model)
    ask(edge, 1, SamplingOptions(max_tokens=4096))
    assert texts(ask(edge, 3, DRAWN)) == {"Lima"}
    told = [(1.0, 64), (2.0, 512), (1.0, 4096)]
    assert [each for each in told if each in model.trials] == told[: 2 if needs == 100 else 3]


@ways
def test_room_that_was_too_little_is_not_waited_for(ask: Ask) -> None:
    """A request with more is tried at once, and the error says that more may help."""
    model = Raising(answer=lima, needs=1200, error=REFUSED)
    edge = ChatModelEdge(model)
    for _ in range(2):
        with pytest.raises(ModelError, match=r"\(BadRequestError\).*raise max_tokens above 512"):
            ask(edge, 3, DRAWN)
        assert len(model.trials) == 3
    ask(edge, 1, SamplingOptions(max_tokens=4096))
    assert texts(ask(edge, 3, DRAWN)) == {"Lima"}


@pytest.mark.parametrize(
    "error",
    [
        openai.InternalServerError("", response=BROKEN, body=None),
        openai.APIConnectionError(request=CALL),
        openai.APITimeoutError(request=CALL),
        httpx.ReadError("", request=CALL),
        TimeoutError(),
        ModelError("The small model failed."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_server_that_is_out_of_reach_is_given_no_more_room(error: Exception) -> None:
    """Nor one that is broken: longer trials would wait for it in vain, too."""
    model = Raising(answer=lima, needs=100, error=error)
    with pytest.raises(ModelError, match=rf"\({type(error).__name__}\)") as raised:
        asked(ChatModelEdge(model), 3, DRAWN)
    assert "max_tokens" not in str(raised.value)
    assert model.trials == [(1.0, 64)]


def limited(context: Callable[[], int]) -> Callable[[Request], Reply]:
    """A server that hides a thought of 700 tokens, and refuses more tokens than fit its context."""

    def reply(request: Request) -> Reply:
        if request["max_completion_tokens"] > context():
            return 400, {"error": {"message": f"This model's maximum context length is {context()} tokens."}}
        is_trial = request["messages"][-1]["content"] == TRIED
        short = is_trial and request["max_completion_tokens"] < 700
        return completion(["" if short else f"Boat {time.monotonic_ns()}" if is_trial else "Lima"], logprob=None)

    return reply


def test_tokens_that_a_request_was_refused_with_are_none_of_the_trials() -> None:
    """One caller who asks for too many would spoil it for all others."""
    with serving(limited(lambda: 8192), draws=False) as server:
        edge = ChatModelEdge(chat(server.url))
        with pytest.raises(openai.BadRequestError):
            asked(edge, 1, SamplingOptions(max_tokens=100_000))
        asked(edge, 1, SamplingOptions(max_tokens=2000))
        assert texts(asked(edge, 3, DRAWN)) == {"Lima"}


def test_tokens_that_are_refused_by_now_are_forgotten() -> None:
    """Another server may stand there, with a smaller context."""
    context = [100_000]
    with serving(limited(lambda: context[0]), draws=False) as server:
        edge = ChatModelEdge(chat(server.url))
        asked(edge, 1, SamplingOptions(max_tokens=100_000))
        context[0] = 8192
        with pytest.raises(ModelError, match="not known yet"):
            asked(edge, 3, DRAWN)
        edge._drawing._failures._at -= 5
        asked(edge, 1, SamplingOptions(max_tokens=2000))
        assert texts(asked(edge, 3, DRAWN)) == {"Lima"}


class Joining:
    """A gateway that asks its model once for equal requests that come together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, tuple[threading.Event, list[str]]] = {}

    def __call__(self, request: Request) -> Reply:
        asked_for = str(sorted(request.items()))
        with self._lock:
            is_first = asked_for not in self._under_way
            done, said = self._under_way.setdefault(asked_for, (threading.Event(), []))
        if is_first:
            time.sleep(0.3)
            said.append(f"Lima {time.monotonic_ns()}")
            with self._lock:
                del self._under_way[asked_for]
            done.set()
        done.wait()
        return completion(said, logprob=None)


@ways
def test_a_gateway_that_joins_equal_requests_is_got_around(ask: Ask) -> None:
    """That a later answer differs from the first is no proof that those that are asked for together do."""
    with serving(Joining(), draws=False) as server:
        edge = ChatModelEdge(chat(server.url))
        for _ in range(2):
            assert len(texts(ask(edge, 3, DRAWN))) == 3
