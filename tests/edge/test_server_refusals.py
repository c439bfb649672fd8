"""What a server or the way to it answers in place of a completion: told as what it is, and not more than once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from confroute import ConfigurationError, ContextLengthError, ModelError, Router, SamplingOptions
from confroute.edge.server import ServerEngine
from confroute.records import Message
from tests.edge.scripted_server import BreakOff, Reply, Request, ScriptedServer, serving, takes_all

pytest.importorskip("openai")

SECRET = "zanzibarland"  # noqa: S105
ASK: list[Message] = [{"role": "user", "content": f"Capital of {SECRET}?"}]
OPTIONS = SamplingOptions(max_tokens=8, temperature=0.7)

Connect = Callable[..., ServerEngine]


def always(status: int, body: Any = None) -> Callable[[Request], Reply]:
    return lambda _: (status, body or {"error": {"message": SECRET}})


def with_headers(server: ScriptedServer, **headers: str) -> None:
    """In each reply."""
    handler: Any = server.RequestHandlerClass

    def end_headers(self: Any) -> None:
        for name, value in headers.items():
            self.send_header(name, value)
        handler.end_headers(self)

    headed: Any = type("Headed", (handler,), {"end_headers": end_headers})
    server.RequestHandlerClass = headed


def with_models(server: ScriptedServer, models: Callable[[], Reply]) -> None:
    """In its list."""
    handler: Any = server.RequestHandlerClass

    def do_get(self: Any) -> None:
        self._send(*models())

    listing: Any = type("Listing", (handler,), {"do_GET": do_get})
    server.RequestHandlerClass = listing


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_of_a_server_that_answered_before_escalates(
    connect: Connect, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """A filter before it, a new key or another route must not take the application down: the cloud answers, and the
    class of the error is told. Once it is over the edge answers again."""

    def filtered(request: Request) -> Reply:
        return always(status)(request) if request["messages"] == ASK else takes_all(request)

    with serving() as server:
        engine = connect(server)
        router = Router(engine)
        engine.capabilities()
        for reply in (filtered, always(status)):
            server.reply = reply
            caplog.clear()
            for _ in range(2):
                record = router.decide(ASK).record
                assert (record.route, record.reason, record.error) == ("cloud", "edge_error", "DeniedError")
            assert "failed (DeniedError: The server at" in caplog.text
        server.reply = takes_all
        assert engine.generate(ASK, n=1, options=OPTIONS).samples


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "refused the api_key"), (403, "refused the api_key"), (404, 'no model "m"')],
)
def test_a_refusal_before_the_first_answer_is_a_wrong_setting(connect: Connect, status: int, words: str) -> None:
    """Which is for the caller to mend, not for the cloud to pay."""
    with serving(always(status)) as server, pytest.raises(ConfigurationError, match=words):
        Router(connect(server)).decide(ASK)


def test_a_wrong_route_may_have_the_status_200(connect: Connect) -> None:
    """LM Studio has nothing but words for a path that it does not know: they are those of a wrong setting before the
    first answer, and after it a reason to escalate."""
    wrong = always(200, {"error": "Unexpected endpoint or method. (POST /chat/completions). Returning 200 anyway"})
    with serving(wrong) as server:
        engine = connect(server)
        with pytest.raises(ConfigurationError, match="its API begins at another base_url"):
            engine.capabilities()
        assert len(server.asked) <= 2
        server.reply = takes_all
        engine.capabilities()
        server.reply = wrong
        assert Router(engine).decide(ASK).record.error == "DeniedError"


@pytest.mark.parametrize("before", [True, False])
def test_a_model_that_is_listed_is_not_said_to_be_absent(connect: Connect, before: bool) -> None:
    """Where nothing is found for a request all the same, as by OpenRouter where no provider may have it."""
    with serving() as server:
        with_models(server, lambda: (200, {"data": [{"id": "m"}, {"id": "other"}]}))
        engine = connect(server)
        if before:
            engine.capabilities()
        server.reply = always(404)
        with pytest.raises(ModelError if before else ConfigurationError, match='lists "m"') as caught:
            engine.generate(ASK, n=1, options=OPTIONS)
        assert "no model" not in str(caught.value)
        assert "taken away" not in str(caught.value)


def test_a_refusal_of_tools_alone_is_no_wrong_setting(connect: Connect) -> None:
    """What answers the rest can do the rest."""

    def gateway(request: Request) -> Reply:
        return always(403)(request) if "tools" in request else takes_all(request)

    with serving(gateway) as server:
        can = connect(server).capabilities()
        assert (can.tools, can.logprobs, can.n) == (False, True, True)


def test_a_server_that_answered_is_the_right_one_also_after_it_was_lost(connect: Connect) -> None:
    """And the engine closed: what is before it now is no wrong setting."""

    def away(_: Request) -> Reply:
        raise BreakOff

    with serving() as server:
        engine = connect(server)
        engine.generate(ASK, n=1, options=OPTIONS)
        server.reply = away
        with pytest.raises(ModelError, match="broke off"):
            engine.generate(ASK, n=1, options=OPTIONS)
        engine.close()
        server.reply = always(404)
        assert Router(engine).decide(ASK).record.error == "DeniedError"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(connect: Connect, status: int) -> None:
    """The prompt stays with the server that it is for. Where the API is to be found instead is told without secrets."""
    with serving() as other, serving(always(status)) as server:
        place = f"http://127.0.0.1:{other.server_port}/v1"
        with_headers(server, Location=place.replace("//", "//me:sk-hidden@") + "/chat/completions?key=sk-hidden#x")
        with pytest.raises(ConfigurationError, match=rf"status {status}\) to {place}\. That is not followed") as caught:
            connect(server).generate(ASK, n=1, options=OPTIONS)
        assert "hidden" not in str(caught.value)
        assert (len(server.asked), other.asked) == (1, [])
        server.reply = takes_all
        engine = connect(server)
        engine.capabilities()
        server.reply = always(status)
        with pytest.raises(ModelError, match="That is not followed"):
            engine.generate(ASK, n=1, options=OPTIONS)
        assert other.asked == []


def test_a_redirect_to_itself_is_asked_once(connect: Connect) -> None:
    """A loop does not end in many requests."""
    with serving(always(307)) as server:
        with_headers(server, Location=f"{server.url}/chat/completions/")
        with pytest.raises(ConfigurationError, match=r"redirects a request.*to its own address"):
            connect(server, retries=2).generate(ASK, n=1, options=OPTIONS)
        assert len(server.asked) == 1


@pytest.mark.parametrize("location", ["", "http://[::1", "http://\x7f/", "/" + 300 * "a", "mailto:me"])
def test_a_redirect_to_no_address_is_told_all_the_same(connect: Connect, location: str) -> None:
    """Without quoting it."""
    with serving(always(307)) as server:
        with_headers(server, Location=location)
        with pytest.raises(ConfigurationError, match=r"redirects a request.*to another address"):
            connect(server, retries=2).generate(ASK, n=1, options=OPTIONS)
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    "data",
    [[{"id": None}], [{"id": 5}], [{"name": "a"}], [None], None, {}, [{"id": "\x1b[31m"}], [{"id": 999 * "a"}], ["a"]],
)
def test_a_list_of_models_that_is_none_adds_nothing(connect: Connect, data: Any) -> None:
    """To what is wrong in the first place."""
    with serving(always(404)) as server:
        with_models(server, lambda: (200, {"data": data}))
        with pytest.raises(ConfigurationError, match=r"base_url\. It does not tell which models it has\."):
            connect(server).generate(ASK, n=1, options=OPTIONS)


@pytest.mark.parametrize("before", [True, False])
def test_names_are_told_within_the_time_of_the_request(connect: Connect, before: bool) -> None:
    """They only complete an error's words."""

    def late(_: Request) -> Reply:
        time.sleep(0.4)
        return always(404)(_)

    def later() -> Reply:
        time.sleep(3)
        return 200, {}

    with serving() as server:
        with_models(server, later)
        engine = connect(server, timeout_seconds=0.8)
        if before:
            engine.capabilities()
        server.reply = late
        begun = time.monotonic()
        with pytest.raises((ConfigurationError, ModelError), match="does not tell which"):
            engine.generate(ASK, n=1, options=OPTIONS)
        assert time.monotonic() - begun < 1.4


@pytest.mark.parametrize("body", ["[" * 100_000, '{"choices":' + "[" * 100_000 + "]" * 100_000 + "}"])
def test_json_without_an_end_is_no_completion(connect: Connect, body: str) -> None:
    """However deep it is."""
    with serving(always(200, body), draws=False) as server:
        with pytest.raises(ModelError, match="did not reply with a chat completion"):
            connect(server).generate(ASK, n=1, options=OPTIONS)
        server.reply = always(400, body)
        with pytest.raises(ModelError, match="status 400"):
            connect(server).generate(ASK, n=1, options=OPTIONS)


@pytest.mark.parametrize(
    ("message", "words"),
    [("Loading model", "still loads its model"), ("Overloaded by zanzibarland", "is busy or starting")],
)
def test_a_server_that_is_not_ready_says_so(connect: Connect, message: str, words: str) -> None:
    """And that it may be later."""
    with serving(always(503, {"error": {"message": message, "code": 503}})) as server:
        with pytest.raises(ModelError, match=rf"{words}.*status 503\)\. Try again later") as caught:
            connect(server).generate(ASK, n=1, options=OPTIONS)
        assert SECRET not in str(caught.value)


def test_a_page_of_a_gateway_says_nothing_about_the_model(connect: Connect) -> None:
    """Though it speaks of loading, as of itself."""
    busy = pytest.raises(ModelError, match="is busy or starting")
    with serving(always(503, "<html>This page is loading</html>")) as server, busy:
        connect(server).generate(ASK, n=1, options=OPTIONS)


def test_an_error_in_a_list_is_read(connect: Connect) -> None:
    """As Gemini's."""
    message = "This model's maximum context length is 2048 tokens. However, your request has 2100 input tokens."
    with serving() as server:
        engine = connect(server)
        engine.capabilities()
        server.reply = always(400, [{"error": {"code": 400, "message": message}}])
        with pytest.raises(ContextLengthError, match="has 2100 tokens"):
            engine.generate(ASK, n=1, options=OPTIONS)


@pytest.mark.parametrize("extra", [{"x": object()}, {"x": float("nan")}, {"x": "\ud83d"}, {"x": {1, 2}}, {"x": b"x"}])
def test_an_extra_that_is_no_json_is_told_when_the_engine_is_made(extra: dict[str, Any]) -> None:
    """Without a request."""
    with pytest.raises(ConfigurationError, match="extra must be what JSON has a form for"):
        ServerEngine("m", "http://127.0.0.1:9/v1", extra=extra)


@pytest.mark.parametrize("content", [object(), float("nan"), [float("inf")]])
def test_messages_that_are_no_json_are_told_as_such(connect: Connect, content: Any) -> None:
    """Not as half of a surrogate pair; the router escalates."""
    with serving() as server:
        engine = connect(server)
        with pytest.raises(ModelError, match="JSON has no form for") as caught:
            engine.generate([{"role": "user", "content": content}], n=1, options=OPTIONS)
        assert SECRET not in str(caught.value)
        assert server.answered == []


@pytest.mark.parametrize("model", ["m?key=sk-hidden", "m#sk-hidden", "m\nsk-hidden"])
def test_a_name_with_a_part_of_an_address_is_refused(caplog: pytest.LogCaptureFixture, model: str) -> None:
    """Without a word of it: ``http://h/v1#m?key=…`` would have its key in each record."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ConfigurationError, match="model must be the name") as caught:
        Router(f"http://127.0.0.1:9/v1#{model}")
    assert "hidden" not in f"{caught.value} {caplog.text}"


@pytest.mark.parametrize("model", ["qwen3:0.6b", "Qwen/Qwen3-4B", "accounts/me/models/m@2024", "m=1&2", "a b"])
def test_names_that_there_are_stay_as_they_are(model: str) -> None:
    """Tags, owners and versions."""
    assert ServerEngine(model, "http://127.0.0.1:9/v1").model == model
