"""A scripted server of Ollama's own API on loopback, for the frameworks' own Ollama classes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from confroute.edge.probing import PROBE
from tests.edge.scripted_server import running


class ScriptedOllama(ThreadingHTTPServer):
    """Answers each chat with *text*, a token, and these *tool_calls*; remembers what it was asked. Two answers to the
    prompt of a trial are not the same."""

    daemon_threads = True

    def __init__(self, text: str, tool_calls: Sequence[dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.message = {"role": "assistant", "content": text, "tool_calls": list(tool_calls)}
        self.chats: list[dict[str, Any]] = []
        self.teams: list[str | None] = []
        self.trials = itertools.count()
        self.keeps_connections = False
        self.prompt_tokens = 7

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def sampling(self) -> list[dict[str, Any]]:
        """What each chat was asked for, by seed, but for the size of the context."""
        options = [{name: value for name, value in chat["options"].items() if name != "num_ctx"} for chat in self.chats]
        return sorted(options, key=lambda each: each["seed"])


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedOllama  # pyright: ignore[reportIncompatibleVariableOverride]

    def setup(self) -> None:
        super().setup()
        if self.server.keeps_connections:
            self.protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/api/show":
            self._send({"model_info": {"llama.context_length": 4096}, "details": {}})
            return
        said: dict[str, Any] = {
            "model": asked["model"],
            "created_at": "2026-11-26T00:00:00Z",
            "message": self.server.message,
        }
        if asked["messages"][-1]["content"] == PROBE[0]["content"]:
            said["message"] = {"role": "assistant", "content": f"boat {next(self.server.trials)}"}
        else:
            self.server.chats.append(asked)
            self.server.teams.append(self.headers.get("team"))
        if asked.get("logprobs"):
            said["logprobs"] = [{"token": self.server.message["content"], "logprob": -0.25}]
        # A stream of one piece, or the whole: the same.
        counts = {"prompt_eval_count": self.server.prompt_tokens, "eval_count": 1}
        self._send({**said, "done": True, "done_reason": "length", **counts})

    def _send(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def ollama(
    text: str = "Lima", *, tool_calls: Sequence[dict[str, Any]] = (), keeps_connections: bool = False
) -> Generator[ScriptedOllama]:
    with running(ScriptedOllama(text, tool_calls)) as server:
        server.keeps_connections = keeps_connections
        yield server
