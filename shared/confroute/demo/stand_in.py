"""A stand-in for the cloud: an OpenAI-compatible server on loopback that knows some questions' answers.

It lets the demo run the whole path, HTTP included, without a key. It is no model and does not pretend to be one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

MODEL = "stand-in"


@contextmanager
def stand_in_cloud(answers: Mapping[str, str]) -> Generator[str]:
    """Serve *answers* (by question) for the length of the block; gives the base URL for an OpenAI client."""
    server = _Server(dict(answers))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answers: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/v1/chat/completions":
            self._reply(404, _error(f"There is only POST /v1/chat/completions here, not {self.path}."))
            return
        try:
            request = cast("dict[str, Any]", json.loads(body))
            question = next(str(m["content"]) for m in reversed(request["messages"]) if m["role"] == "user")
        except (ValueError, KeyError, TypeError, StopIteration):
            self._reply(400, _error("The body must be a chat completion request with a user message."))
            return
        answer = cast("_Server", self.server).answers.get(question)
        if answer is None:
            self._reply(
                404, _error("The stand-in knows only the demo's questions. Set OPENAI_API_KEY for a real cloud.")
            )
        elif request.get("stream"):
            self._stream(answer)
        else:
            prompt_tokens = sum(len(str(m["content"]).split()) for m in request["messages"])
            self._reply(200, _completion(answer, prompt_tokens))

    def _reply(self, status: int, payload: dict[str, Any]) -> None:
        content = json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, answer: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        words = answer.split(" ")
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": words[0]}]
        deltas += [{"content": f" {word}"} for word in words[1:]]
        for delta in [*deltas, {}]:
            choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
            chunk = {"id": "stand-in", "object": "chat.completion.chunk", "created": 0, "model": MODEL}
            self.wfile.write(f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Requests are not logged: the log line would go into the demo's table."""


def _completion(answer: str, prompt_tokens: int) -> dict[str, Any]:
    # Words stand for tokens; the stand-in has no tokenizer.
    completion_tokens = len(answer.split())
    return {
        "id": "stand-in",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": None}}
