"""What is read of the tokens that a LlamaIndex LLM's answer took."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.llms import MockLLM

from confroute_llamaindex.cloud import LlamaIndexCloud

USER = ChatMessage(role="user", content="Hello?")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"usage": {"prompt_tokens": 3, "completion_tokens": 0}}, (3, 0)),
        (SimpleNamespace(usage=SimpleNamespace(prompt_tokens=3, completion_tokens=4)), (3, 4)),
        ({"usage": SimpleNamespace(input_tokens=3, output_tokens=4)}, (3, 4)),
        ({"usage": {"inputTokens": 3, "outputTokens": 4}}, (3, 4)),
        ({"usage": {"inputTokens": 3, "cacheReadInputTokens": 20, "outputTokens": 4}}, (23, 4)),
        (
            {
                "usage": SimpleNamespace(
                    input_tokens=3, cache_read_input_tokens=20, cache_creation_input_tokens=100, output_tokens=4
                )
            },
            (123, 4),
        ),
        ({"usage": {"input_tokens": 3, "cache_read_input_tokens": None, "output_tokens": 4}}, (3, 4)),
        ({"usage": {"prompt_tokens": 23, "cache_read_input_tokens": 20, "completion_tokens": 4}}, (23, 4)),
        ({"usage": {"prompt_tokens": 3, "cache_read_input_tokens": 20, "completion_tokens": 4}}, (23, 4)),
        ({"usage": {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 20}}}, (23, None)),
        ({"usage": {"prompt_tokens": 23, "prompt_tokens_details": {"cached_tokens": 20}}}, (23, None)),
        ({"usage_metadata": {"prompt_token_count": 3, "candidates_token_count": 4}}, (3, 4)),
        (
            {"usage_metadata": {"prompt_token_count": 3, "candidates_token_count": 4, "thoughts_token_count": 5}},
            (3, 9),
        ),
        (
            {"usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 12}},
            (3, 9),
        ),  # thoughts are counted so
        ({"usage": {"prompt_tokens": 3, "completion_tokens": None, "total_tokens": 12}}, (3, 9)),
        ({"usage": {"completion_tokens": 4, "total_tokens": 12}}, (None, 4)),
        ({"usage": {"prompt_tokens": 23, "completion_tokens": 4, "total_tokens": 4}}, (23, 4)),
        ({"usage": {"inputTokens": 3, "cacheReadInputTokens": 20, "outputTokens": 4, "totalTokens": 27}}, (23, 4)),
        (
            {
                "usage_metadata": {
                    "prompt_token_count": 3,
                    "candidates_token_count": 4,
                    "thoughts_token_count": 5,
                    "total_token_count": 12,
                }
            },
            (3, 9),
        ),
        (  # Gemini's tools read pages, which are paid as input
            {
                "usage_metadata": {
                    "prompt_token_count": 3,
                    "candidates_token_count": 4,
                    "thoughts_token_count": 5,
                    "tool_use_prompt_token_count": 900,
                    "total_token_count": 912,
                }
            },
            (903, 9),
        ),
        (
            {
                "usage_metadata": {
                    "prompt_token_count": 3,
                    "candidates_token_count": None,
                    "thoughts_token_count": 5,
                    "total_token_count": 912,
                }
            },
            (3, 5),
        ),
        (
            {
                "usage_metadata": {
                    "prompt_token_count": 3,
                    "candidates_token_count": 4,
                    "thoughts_token_count": None,
                    "tool_use_prompt_token_count": 900,
                    "total_token_count": 907,
                }
            },
            (903, 4),
        ),
        (  # a cache may be counted apart, whatever else is told
            {
                "usage": {
                    "prompt_tokens": 23,
                    "completion_tokens": 4,
                    "total_tokens": 47,
                    "prompt_tokens_details": {"cached_tokens": 20},
                }
            },
            (23, 4),
        ),
        (
            {
                "usage": {
                    "input_tokens": 23,
                    "output_tokens": 4,
                    "total_tokens": 47,
                    "input_tokens_details": {"cached_tokens": 20},
                }
            },
            (23, 4),
        ),
        (  # LiteLLM tells the same twice
            {
                "usage": {
                    "prompt_tokens": 23,
                    "completion_tokens": 4,
                    "cache_read_input_tokens": 20,
                    "prompt_tokens_details": {"cached_tokens": 20},
                }
            },
            (23, 4),
        ),
        (  # thoughts are told, and are in the output
            {
                "usage": {
                    "prompt_tokens": 3,
                    "completion_tokens": 4,
                    "total_tokens": 907,
                    "completion_tokens_details": {"reasoning_tokens": 2},
                }
            },
            (3, 4),
        ),
        (
            {
                "usage": {
                    "prompt_tokens": 3,
                    "completion_tokens": 4,
                    "total_tokens": 12,
                    "completion_tokens_details": {"reasoning_tokens": 5},
                }
            },
            (3, 9),
        ),
        ({"usage": None}, (None, None)),
        (SimpleNamespace(), (None, None)),
        ("text", (None, None)),
        (None, (None, None)),
    ],
)
def test_tokens(raw: Any, expected: tuple[int | None, int | None]) -> None:
    """Usage is read from objects and mappings, and unknown is None, never 0 and never an error."""
    response = ChatResponse(message=USER, raw=raw)
    assert LlamaIndexCloud(MockLLM(), [USER], {}).tokens(response) == expected


def test_tokens_that_the_integration_tells() -> None:
    """Beside the raw response, where that has none."""
    told = {"prompt_tokens": 3, "completion_tokens": 4}
    cloud = LlamaIndexCloud(MockLLM(), [USER], {})
    assert cloud.tokens(ChatResponse(message=USER, raw={}, additional_kwargs=told)) == (3, 4)
    assert cloud.tokens(CompletionResponse(text="", additional_kwargs=told)) == (3, 4)
    assert cloud.tokens(CompletionResponse(text="", raw={"usage": {"prompt_tokens": 5}})) == (5, None)
