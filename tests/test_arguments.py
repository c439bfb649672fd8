"""A call's keyword arguments, as the edge is asked them or stays unasked because of them."""

from __future__ import annotations

from typing import Any

import pytest

from confroute.arguments import obstacle, options_of


def test_both_names_of_the_limit_are_known() -> None:
    """OpenAI's newer one is what LangChain sends it."""
    assert options_of({"max_completion_tokens": 5})["max_tokens"] == 5


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_tokens": -1},
        {"max_completion_tokens": 0},
        {"temperature": "0.5"},
        {"top_p": 2},
        {"stop": 5},
        {"n": 2},
        {"logprobs": True},
        {"response_format": {"type": "json_object"}},
        {"response_format": "json"},
        {"candidate_count": 2},
        {"audio": True},
        {"modalities": ["text", "audio"]},
        {"extra_body": {"tools": [{"type": "web_search"}]}},
        {"extra_body": {"response_format": {"type": "json_object"}}, "response_format": None},
        {"options": {"stop": 5}},
        {"format": "json"},
    ],
)
def test_what_no_edge_can_do_is_an_obstacle(arguments: dict[str, Any]) -> None:
    """Whether it is right is for the cloud to say: -1 is no limit to many servers."""
    assert obstacle(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"max_tokens": 5, "temperature": 0.5, "top_p": 1, "stop": ["a"], "seed": 3},
        {"stop": "a", "n": 1, "logprobs": False, "user": "me"},
        {"max_tokens": None, "temperature": None, "n": None, "logprobs": None},
        {"response_format": {"type": "text"}},
        {"modalities": "text", "response_modalities": ["TEXT"], "audio": {}},
        {"extra_body": {"temperature": -1}, "text": "a", "format": "", "generation_config": None},
    ],
)
def test_what_an_edge_can_do_is_none(arguments: dict[str, Any]) -> None:
    """What is usual or not set included."""
    assert obstacle(arguments) is None
