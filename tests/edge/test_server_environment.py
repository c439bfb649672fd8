"""What stands on the way to a server: proxies, certificates and what the environment says of them."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from confroute import ConfigurationError, ModelError, SamplingOptions
from confroute.edge.server import ServerEngine
from confroute.records import Message
from tests.edge.scripted_server import serving

pytest.importorskip("openai")

ASK: list[Message] = [{"role": "user", "content": "Capital of Peru?"}]
OPTIONS = SamplingOptions(max_tokens=8, temperature=0.7)


@contextmanager
def elsewhere(**settings: Any) -> Generator[ServerEngine]:
    """An engine of a server that is not on this machine, and that there is not."""
    engine = ServerEngine("m", "http://edge.invalid:9/v1", retries=0, timeout_seconds=5, **settings)
    try:
        yield engine
    finally:
        engine.close()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def test_an_engine_is_made_with_all_that_the_sdk_imports() -> None:
    """Its first request would take as long on an event loop, and a process forked meanwhile would wait for good for
    modules that another thread of its parent imports."""
    script = f"""
import sys
from confroute import SamplingOptions
from confroute.edge.server import ServerEngine
engine = ServerEngine("m", sys.argv[1])
before = set(sys.modules)
engine.generate({ASK!r}, n=1, options=SamplingOptions(max_tokens=8))
print(*(name for name in set(sys.modules) - before if name.startswith(("openai", "httpx", "httpcore", "h11"))))
"""
    with serving() as server:
        command = [sys.executable, "-c", script, server.url]
        run = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    assert run.stdout.split() == []


def test_a_server_that_does_not_speak_https_is_told_as_such(environment: pytest.MonkeyPatch) -> None:
    """It is running, and would be no other the next time."""
    with serving() as server:
        engine = ServerEngine("m", server.url.replace("http:", "https:"), retries=2)
        try:
            with pytest.raises(ModelError, match="speaks http, not https") as caught:
                engine.generate(ASK, n=1, options=OPTIONS)
        finally:
            engine.close()
        assert "running" not in str(caught.value)


def test_a_certificate_that_is_not_trusted_is_told_as_such(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And what makes it so."""
    made = shutil.which("openssl")
    if made is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    key, certificate = str(tmp_path / "key"), str(tmp_path / "certificate")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    make = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, *names]
    subprocess.run([made, *make], check=True, capture_output=True)  # noqa: S603 - of the test itself
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving() as server:
        server.handle_error = lambda *_: None  # of the handshake
        server.socket = context.wrap_socket(server.socket, server_side=True)
        engine = ServerEngine("m", server.url.replace("http:", "https:"), retries=2)
        try:
            with pytest.raises(ModelError, match=r"not trusted \(self.signed.*SSL_CERT_FILE") as caught:
                engine.generate(ASK, n=1, options=OPTIONS)
            assert "running" not in str(caught.value)
            engine.close()
            environment.setenv("SSL_CERT_FILE", certificate)
            assert engine.generate(ASK, n=1, options=OPTIONS).samples
        finally:
            engine.close()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ALL_PROXY", "socks5://me:sk-hidden@127.0.0.1:9", r"ALL_PROXY names a SOCKS proxy.*pip install 'httpx\[socks"),
        ("HTTP_PROXY", "ftp://me:sk-hidden@127.0.0.1:9", "HTTP_PROXY must name a proxy like"),
        ("https_proxy", "http://me:sk-hidden@host:99x", "https_proxy must name a proxy like"),
        ("SSL_CERT_FILE", "/nonexistent/sk-hidden", "SSL_CERT_FILE names cannot be read"),
    ],
)
def test_an_environment_that_cannot_be_used_is_told_by_its_variable(
    environment: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    """And not by its value, which may hold a password. No thread is left behind."""
    if value.startswith("socks") and find_spec("socksio"):
        pytest.skip("SOCKS proxies can be used here")
    environment.setenv(name, value)
    with elsewhere() as engine, pytest.raises(ConfigurationError, match=words) as caught:
        engine.generate(ASK, n=1, options=OPTIONS)
    link: BaseException | None = caught.value
    while link is not None:
        assert "hidden" not in str(link)
        link = link.__cause__ or link.__context__


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PROXY", "http://me:sk-hidden@127.0.0.1:9"),
        ("all_proxy", "http://127.0.0.1:9"),
        ("http_proxy", "nothing"),
        ("http_proxy", "http://me:sk-hidden@bad host:80"),
    ],
)
def test_a_proxy_that_is_not_there_is_named(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    """By the variable that has requests go through it; the server may be well."""
    environment.setenv(name, value)
    with elsewhere() as engine, pytest.raises(ModelError, match=f"through the proxy that {name} names") as caught:
        engine.generate(ASK, n=1, options=OPTIONS)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (407, "^The proxy that HTTP_PROXY names wants a login"),
        (401, "or the proxy that HTTP_PROXY names, refused the api_key or the address"),
        (403, "or the proxy that HTTP_PROXY names, refused the api_key or the address"),
        (402, "or the proxy that HTTP_PROXY names, failed on"),
        (502, "or the proxy that HTTP_PROXY names, is busy or starting"),
        (503, "or the proxy that HTTP_PROXY names, is busy or starting"),
    ],
)
def test_what_a_proxy_answers_itself_is_not_laid_to_the_server_alone(
    environment: pytest.MonkeyPatch, status: int, words: str
) -> None:
    """It is named by its variable: what it holds may be a password."""
    with serving(lambda _: (status, "<html>sk-hidden</html>")) as proxy:
        environment.setenv("HTTP_PROXY", f"http://me:sk-hidden@127.0.0.1:{proxy.server_port}")
        with elsewhere() as engine, pytest.raises((ConfigurationError, ModelError), match=words) as caught:
            engine.generate(ASK, n=1, options=OPTIONS)
        assert proxy.asked
        assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "exempt"), [("HTTPS_PROXY", "http://127.0.0.1:9", ""), ("HTTP_PROXY", "http://127.0.0.1:9", "*")]
)
def test_a_proxy_that_is_not_used_is_not_named(
    environment: pytest.MonkeyPatch, name: str, value: str, exempt: str
) -> None:
    """It is for other addresses."""
    environment.setenv(name, value)
    environment.setenv("NO_PROXY", exempt)
    with elsewhere() as engine, pytest.raises(ModelError, match="Is it running") as caught:
        engine.generate(ASK, n=1, options=OPTIONS)
    assert "proxy" not in str(caught.value)
