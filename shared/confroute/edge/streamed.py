"""A chat completion put together from the chunks that it is streamed in."""

from __future__ import annotations

import json
from typing import Any

_DATA = b"data: "
_END = b"[DONE]"
_TEXTS = ("content", "reasoning_content")


def gathered(stream: bytes) -> dict[str, Any]:
    """The completion that these server-sent events are the chunks of, as it would have come in one piece, or the error
    that came instead. Logprobs are those that came with the answer's text, not with a thought's. A choice has its own
    usage where that comes after its end. Calls of tools are not read. Raises ValueError where the stream ends early."""
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
            empty: dict[str, Any] = {"message": dict.fromkeys(_TEXTS, ""), "logprobs": {"content": []}}
            choice = choices.setdefault(part["index"], empty)
            for text in _TEXTS:
                choice["message"][text] += part["delta"].get(text) or ""
            if part["delta"].get("content") and part.get("logprobs"):
                choice["logprobs"]["content"] += part["logprobs"]["content"]
            choice["finish_reason"] = part["finish_reason"]
            if part["finish_reason"]:
                ended = choice
    if not events or events[-1] != _END:
        raise ValueError("The stream ended early.")
    return {"choices": [choice for _, choice in sorted(choices.items())], "usage": usage}
