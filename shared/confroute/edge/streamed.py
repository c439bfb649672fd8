"""A chat completion put together from the chunks that it is streamed in."""

from __future__ import annotations

import json
from typing import Any

_DATA = b"data: "
_END = b"[DONE]"


def gathered(stream: bytes) -> dict[str, Any]:
    """The completion that these server-sent events are the chunks of, as it would have come in one piece, or the error
    that came instead. A choice has its own usage where that comes after its end. Calls of tools are not read. Raises
    ValueError where the stream ends early."""
    choices: dict[int, dict[str, Any]] = {}
    usage: dict[str, Any] = {}
    ended: dict[str, Any] = {}
    events = [line.removeprefix(_DATA).strip() for line in stream.splitlines() if line.startswith(_DATA)]
    for chunk in (json.loads(event) for event in events if event != _END):
        if "error" in chunk:
            return chunk
        if chunk.get("usage"):
            usage = ended["usage"] = chunk["usage"]
        for part in chunk["choices"]:
            empty: dict[str, Any] = {"message": {"content": ""}, "logprobs": {"content": []}}
            choice = choices.setdefault(part["index"], empty)
            choice["message"]["content"] += part["delta"].get("content") or ""
            choice["logprobs"]["content"] += part["logprobs"]["content"] if part.get("logprobs") else ()
            choice["finish_reason"] = part["finish_reason"]
            if part["finish_reason"]:
                ended = choice
    if not events or events[-1] != _END:
        raise ValueError("The stream ended early.")
    return {"choices": [choice for _, choice in sorted(choices.items())], "usage": usage}
