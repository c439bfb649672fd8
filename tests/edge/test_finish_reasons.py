"""Why an answer ended, in the words of the servers and services that there are."""

from __future__ import annotations

from enum import IntEnum, StrEnum

import pytest

from confroute import ModelError
from confroute.edge.choices import read_choice
from confroute.edge.finish_reasons import finish_reason_of


class Google(IntEnum):
    MAX_TOKENS = 2


class GoogleText(StrEnum):
    SAFETY = "SAFETY"


CUT = (
    "length", "LENGTH", "max_tokens", "MAX_TOKENS", "max_output_tokens", "max_completion_tokens", "max_new_tokens",
    "max_length", "model_length", "model_context_window_exceeded", "token_limit", "incomplete", "Max Tokens",
    "FinishReason.MAX_TOKENS", Google.MAX_TOKENS, "max_tokens_reached", "truncated", "outputLimit",
)  # fmt: skip
FILTERED = (
    "content_filter", "SAFETY", "RECITATION", "refusal", "guardrail_intervened", "content_filtered", "BLOCKLIST",
    "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "sensitive", "ERROR_TOXIC", GoogleText.SAFETY,
    "content_filter: RECITATION", "content_filter: SAFETY", "function_call_filter: MALFORMED_FUNCTION_CALL",
    "LANGUAGE", "MODEL_ARMOR", "IMAGE_PROHIBITED_CONTENT", "FinishReason.IMAGE_RECITATION", "blocked_by_policy",
)  # fmt: skip
BROKEN = (
    "error", "Cancelled", "timeout", "insufficient_system_resource", "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS", "FinishReason.OTHER", "repetition", "pause_turn", "MISSING_THOUGHT_SIGNATURE", "timed_out",
    "in_progress", "server_error",
)  # fmt: skip
ENDED = (
    "stop", "STOP", "end_turn", "eos_token", "stop_sequence", "COMPLETE", "eos", "done", "completed", "success",
    None, "", 5, ["x"], {"a": 1},
)  # fmt: skip


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        *((told, "length") for told in CUT),
        *((told, "content_filter") for told in FILTERED),
        *((told, "stop") for told in ENDED),
        *((told, "error") for told in BROKEN),
        *((told, "abort") for told in ("abort", "request_aborted")),
        *((told, told) for told in ("tool_calls", "function_call", "tool_use", "TOOL_CALL", "Something else")),
    ],
)
def test_a_reason_is_told_in_one_word(told: object, meant: str) -> None:
    """Cut short, held back, broken off or ended, in new words, too; what says nothing of it stays as it is."""
    assert finish_reason_of(told) == meant


@pytest.mark.parametrize("told", CUT)
def test_an_answer_cut_short_says_so_in_any_words(told: object) -> None:
    """What the caller did not limit is not served as whole."""
    assert read_choice({"message": {"content": "Lima is"}, "finish_reason": told}).finish_reason == "length"


@pytest.mark.parametrize("told", FILTERED)
def test_an_answer_that_was_filtered_is_an_error_of_the_model(told: object) -> None:
    """What is left of it says nothing of what the model knows: the router escalates."""
    with pytest.raises(ModelError, match='broken off, "content_filter"'):
        read_choice({"message": {"content": "Lima is"}, "finish_reason": told})
