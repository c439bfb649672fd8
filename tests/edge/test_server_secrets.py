"""Neither keys nor prompts leave an engine of a server by another way than its requests."""

from __future__ import annotations

import base64
import logging
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from confroute import ConfigurationError, ModelError, SamplingOptions
from confroute.edge.addresses import is_here
from confroute.edge.server import ServerEngine
from confroute.records import Message
from tests.edge.scripted_server import BreakOff, Reply, Request, ScriptedServer, serving, takes_all

pytest.importorskip("openai")

SECRET = "zanzibarland"  # noqa: S105
ASK: list[Message] = [{"role": "user", "content": f"Capital of {SECRET}?"}]
OPTIONS = SamplingOptions(max_tokens=8, seed=3)

Connect = Callable[..., ServerEngine]


def broken_off(_: Request) -> Reply:
    raise BreakOff


FAILING: dict[str, Callable[[Request], Reply]] = {
    "refused": lambda _: (400, {"error": {"message": f"bad prompt: {SECRET}"}}),
    "refused in plain words": lambda _: (422, f"bad prompt: {SECRET}"),
    "broken": lambda _: (500, {"error": {"message": f"bad prompt: {SECRET}"}}),
    "key": lambda _: (401, {"error": {"message": f"sk-hidden is no key for {SECRET}"}}),
    "no JSON": lambda _: (200, SECRET),
    "other JSON": lambda _: (200, {"choices": [{"message": SECRET}]}),
    "broken off": broken_off,
}


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize("schema", [None, {"enum": [SECRET]}])
def test_a_traceback_quotes_nothing(connect: Connect, name: str, schema: Any) -> None:
    """Nor does any cause or context of the error, which a log or an error tracker would show."""
    options = SamplingOptions(max_tokens=8, json_schema=schema)

    def reply(request: Request) -> Reply:
        if request["messages"] == ASK:
            return FAILING[name](request)
        return holds_any(request) if "response_format" in request else takes_all(request)

    with serving(reply) as server:
        with pytest.raises((ModelError, ConfigurationError)) as caught:
            connect(server, api_key="sk-hidden").generate(ASK, n=2, options=options)
        link: BaseException | None = caught.value
        while link is not None:
            told = f"{link!r} {vars(link)}"
            assert SECRET not in told
            assert "sk-hidden" not in told
            link = link.__cause__ or link.__context__
        assert SECRET not in "".join(traceback.format_exception_only(caught.value))


def holds_any(request: Request) -> Reply:
    status, body = takes_all(request)
    for told in body["choices"]:
        told["message"]["content"] = '"zanzibarland"'
    return status, body


def test_a_key_is_taken_as_a_file_has_it(connect: Connect) -> None:
    """With a newline at its end, which no header may have."""
    with serving() as server:
        connect(server, api_key=" sk-edge\n").generate(ASK, n=1, options=OPTIONS)
        connect(server, api_key="\n").generate(ASK, n=1, options=OPTIONS)
        assert {headers["Authorization"] for headers in server.headers} == {"Bearer sk-edge", "Bearer none"}


@pytest.mark.parametrize("key", ["sk-hidden\nsecond", "sk-hidden\x00", "sk-hiddén", "sk-hidden\u2011x"])
def test_a_key_that_no_header_can_hold_is_told_at_once(key: str) -> None:
    """Without a word of it."""
    with pytest.raises(ConfigurationError, match="api_key must be printable ASCII") as caught:
        ServerEngine("m", "http://127.0.0.1:9/v1", api_key=key)
    assert "hidd" not in "".join(traceback.format_exception_only(caught.value))


def test_the_clouds_headers_are_not_sent(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the environment has the SDK send are for OpenAI's address."""
    headers = "X-Cloud-Key: of-the-cloud\nauthorization: of-the-cloud\nAuthorization: of-the-cloud\nno header"
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", headers)
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "of-the-cloud")
    with serving() as server:
        connect(server, api_key="sk-edge").generate(ASK, n=1, options=OPTIONS)
        assert "of-the-cloud" not in str(server.headers)
        assert {headers["Authorization"] for headers in server.headers} == {"Bearer sk-edge"}


class _Login:
    """A server's address with a user and a password in it."""

    def __init__(self, server: ScriptedServer, login: str) -> None:
        self.url = server.url.replace("http://", f"http://{login}@")


HERE = "127.0.0.1 127.1 2130706433 0.0.0.0 [::1] [::] [::ffff:127.0.0.1] localhost LOCALHOST localhost. a.localhost"
ELSEWHERE = "10.0.0.1 [2001:db8::1] [::ffff:10.0.0.1] example.org localhost.example.org edge 1.2"


@pytest.mark.parametrize(
    ("host", "here"), [*((host, True) for host in HERE.split()), *((host, False) for host in ELSEWHERE.split())]
)
def test_this_machine_has_several_addresses(host: str, here: bool) -> None:
    """By which no proxy of the environment would find it."""
    assert is_here(f"https://{host}:8000/v1") is here


@dataclass(frozen=True)
class _Named:
    """A server by this address."""

    url: str


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9"])
def test_a_server_on_this_machine_is_asked_past_any_proxy(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, proxy: str, host: str
) -> None:
    """A company's proxy knows no localhost, by whatever name, and would be shown the prompts."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving() as server:
        here = _Named(server.url.replace("127.0.0.1", host))
        assert connect(here).generate(ASK, n=1, options=OPTIONS).samples


def test_a_server_on_this_machine_is_asked_by_https_past_any_proxy(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by http."""
    with socket.create_server(("127.0.0.1", 0)) as proxy, serving() as server:
        proxy.setblocking(False)
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        engine = connect(_Named(server.url.replace("http:", "https:")), timeout_seconds=2.0)
        with pytest.raises(ModelError):  # this one speaks no https
            engine.generate(ASK, n=1, options=OPTIONS)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_a_password_in_the_address_is_sent_and_not_logged(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """As a header, and as it was before it was quoted for a URL."""
    caplog.set_level(logging.INFO)
    with serving() as server:
        connect(_Login(server, "me:sk-hidden%40x")).generate(ASK, n=1, options=OPTIONS)
        sent = base64.b64encode(b"me:sk-hidden@x").decode()
        assert {headers["Authorization"] for headers in server.headers} == {f"Basic {sent}"}
        assert f"127.0.0.1:{server.server_port}" in caplog.text
        assert "sk-hidden" not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:99999/v1",
        "http://me:sk-hidden@localhost:9a/v1",
        "http://me:sk-hidden@[::1/v1",
        "http://me:sk#hidden@localhost:8000/v1",
        "http://me:sk-hidden@/v1",
        "http://me:sk-hidden@local host/v1",
        "http://me:sk-hidden@localhost/v1\x7f",
        "http://me:sk-hidden@xn--\u2011/v1",
        "ftp://me:sk-hidden@localhost/v1",
    ],
)
def test_an_address_that_is_none_is_told_without_quoting_it(url: str) -> None:
    """It may hold a password."""
    with pytest.raises(ConfigurationError, match="base_url must be like") as caught:
        ServerEngine("m", url)
    assert "hidden" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("end", ["?key=sk-hidden", "/?key=sk-hidden", "#sk-hidden", "?key=sk-hidden#m"])
def test_an_address_with_a_query_is_told_without_quoting_it(end: str) -> None:
    """The path of a request would be part of it, and the key in each line that is logged; api_key is for that."""
    with pytest.raises(ConfigurationError, match=r"must end with the path.*api_key") as caught:
        ServerEngine("m", f"http://localhost:8000/v1{end}")
    assert "hidden" not in "".join(traceback.format_exception(caught.value))


def test_an_address_may_be_of_ipv6() -> None:
    """Named in brackets, and not taken for a host and port."""
    assert repr(ServerEngine("m", " http://me:sk-hidden@[::1]:8000/v1\n")) == "ServerEngine('m' on [::1]:8000)"
