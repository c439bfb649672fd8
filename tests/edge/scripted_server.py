"""A scripted OpenAI-compatible server on loopback: replies as a test says, and remembers what it was asked."""

from __future__ import annotations

import json
import select
import socket
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar, cast

import httpx

from confroute.edge.probing import CALLED, PROBE

TOOL_PROBE = list(CALLED["messages"])

Server = TypeVar("Server", bound=ThreadingHTTPServer)

Request = dict[str, Any]
Reply = tuple[int, Any]
"""The status, and what the body is in JSON; a body that is a str is sent as it is."""


def choice(text: str, *, logprob: float | None = -0.5, alternatives: int = 20) -> dict[str, Any]:
    others = [{"token": f"{text}{i}", "logprob": -9.0 - i} for i in range(1, alternatives)]
    token = {"token": text, "logprob": logprob, "top_logprobs": [{"token": text, "logprob": logprob}, *others]}
    return {
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
        "logprobs": None if logprob is None else {"content": [token]},
    }


def completion(texts: list[str], *, logprob: float | None = -0.5) -> Reply:
    usage = {"prompt_tokens": 7, "completion_tokens": 2 * len(texts)}
    return 200, {"choices": [choice(text, logprob=logprob) for text in texts], "usage": usage}


def takes_all(request: Request) -> Reply:
    """As vLLM: n samples, with logprobs where asked for."""
    logprob = -0.5 if request.get("logprobs") else None
    return completion([f"answer {i}" for i in range(request.get("n", 1))], logprob=logprob)


def holds_schema(request: Request) -> Reply:
    """As vLLM where it is asked for JSON of a schema: this one can do no others than an enum, or objects of them."""
    if "response_format" not in request:
        return takes_all(request)
    schema = request["response_format"]["json_schema"]["schema"]
    held = {name: each["enum"][0] for name, each in schema.get("properties", {}).items()} or schema["enum"][0]
    return completion([json.dumps(held)] * request.get("n", 1))


class ScriptedServer(ThreadingHTTPServer):
    """Replies with what *reply* makes of the request; to a probe no two texts are the same unless *draws* is False.
    *hanging* is set when a client waits in vain, *broken_off* when it leaves."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, reply: Callable[[Request], Reply], *, draws: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.draws = draws
        self.asked: list[Request] = []
        self.headers: list[dict[str, str]] = []
        self.hanging = threading.Event()
        self.broken_off = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # a client that left is none

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def answered(self) -> list[Request]:
        """The requests that are no probes."""
        return [request for request in self.asked if request["messages"] not in (list(PROBE), TOOL_PROBE)]


class Hang(Exception):  # noqa: N818 - no error: it tells the handler what to do
    """Raised by a reply: say nothing until the client leaves."""


class BreakOff(Exception):  # noqa: N818
    """Raised by a reply: close the connection in the middle of the answer."""


class Trickle(Exception):  # noqa: N818
    """Raised by a reply: send white space, a little at a time, until the client leaves."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": "other-model", "object": "model"}]})

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True  # the client left while it asked
            return
        request = cast("Request", json.loads(body))
        self.server.asked.append(request)
        self.server.headers.append(dict(self.headers))
        try:
            status, body = self.server.reply(request)
            if status == 200 and self.server.draws and request["messages"] == list(PROBE):
                for i, told in enumerate(body.get("choices", ())):
                    told["message"]["content"] += f" {len(self.server.asked)}.{i}"
            self._send(status, body)
        except Hang:
            self.server.hanging.set()
            while not (select.select([self.connection], [], [], 0.02)[0] and not self._peek()):
                pass
            self.server.broken_off.set()
            self.close_connection = True
        except Trickle:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            while not (select.select([self.connection], [], [], 0.02)[0] and not self._peek()):
                self.wfile.write(b" ")
            self.server.broken_off.set()
            self.close_connection = True
        except BreakOff:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"choices": [')
            self.close_connection = True

    def _peek(self) -> bytes:
        try:
            return self.connection.recv(1, socket.MSG_PEEK)
        except ConnectionError:
            return b""

    def _send(self, status: int, body: Any) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


def ask_to_wait(server: ScriptedServer, wait: str, header: str = "Retry-After") -> None:
    """With each reply from now on."""
    handler: Any = server.RequestHandlerClass

    def end_headers(self: Any) -> None:
        self.send_header(header, wait)
        handler.end_headers(self)

    asking: Any = type("Asking", (handler,), {"end_headers": end_headers})
    server.RequestHandlerClass = asking


def closing_client() -> httpx.AsyncClient:
    """A client that keeps no connection open: the frameworks' own keep theirs beyond the loop that they belong to."""
    return httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0))


@contextmanager
def running(server: Server) -> Generator[Server]:
    """The server in a thread of its own."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def serving(reply: Callable[[Request], Reply] = takes_all, *, draws: bool = True) -> Generator[ScriptedServer]:
    with running(ScriptedServer(reply, draws=draws)) as server:
        yield server
