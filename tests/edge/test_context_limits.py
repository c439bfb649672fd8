"""A prompt that does not fit, in the words of the servers that there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from confroute import ContextLengthError, ModelError, SamplingOptions
from confroute.edge.context_limits import shortage
from confroute.edge.server import ServerEngine
from confroute.records import Message
from tests.edge.scripted_server import serving, takes_all

pytest.importorskip("openai")

ASK: list[Message] = [{"role": "user", "content": "Capital of Peru?"}]

TOLD: dict[str, tuple[Any, int, int]] = {
    "SGLang, all": (
        {
            "message": "Requested token count exceeds the model's maximum context length of 2048 tokens. You requested "
            "a total of 2100 tokens: 2000 tokens from the input messages and 100 tokens for the completion."
        },
        2000,
        2048,
    ),
    "SGLang, the input": (
        {"message": "The input (2100 tokens) is longer than the model's context length (2048 tokens)."},
        2100,
        2048,
    ),
    "TGI, all": (
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens",
        5000,
        4096,
    ),
    "TGI, the input": (
        "Input validation error: `inputs` must have less than 1024 tokens. Given: 1030",
        1030,
        1024,
    ),
    "SGLang, newer": (
        (
            "Input length (9000 tokens) exceeds the maximum allowed length (4091 tokens). Use a shorter input or "
            "enable --allow-auto-truncate."
        ),
        9000,
        4091,
    ),
    "OpenAI, newer": (
        {
            "message": "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 "
            "tokens. Please reduce the length of the messages."
        },
        300000,
        272000,
    ),
    "LM Studio": (
        "Trying to keep the first 5000 tokens when context the overflows. Loaded with context length of only 4096.",
        5000,
        4096,
    ),
    "LM Studio, in other words": (
        {
            "message": "Trying to keep the first 5453 tokens when context overflows. However, the model is loaded with "
            "context length of only 4096 tokens, which is not enough."
        },
        5453,
        4096,
    ),
    "LM Studio, newer": (
        {
            "message": "The number of tokens to keep from the initial prompt is greater than the context length "
            "(n_keep: 5453>= n_ctx: 4096). Try to load the model with a larger context length, or provide a shorter "
            "input."
        },
        5453,
        4096,
    ),
    "LM Studio, of old": ("Cannot truncate prompt with n_keep (14025) >= n_ctx (4096)", 14025, 4096),
    "llama-cpp-python": ({"message": "Requested tokens (1200) exceed context window of 512"}, 1200, 512),
    "Anthropic": (
        {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"},
        210000,
        200000,
    ),
    "xAI": (
        "This model's maximum prompt length is 131072 but the request contains 240000 tokens.",
        240000,
        131072,
    ),
    "Gemini": (
        {"message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."},
        1200000,
        1048576,
    ),
    "Mistral": (
        {
            "message": "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum "
            "context length"
        },
        40000,
        32768,
    ),
    "OpenRouter": (
        {
            "message": "This endpoint's maximum context length is 4096 tokens. However, you requested about 5000 "
            "tokens (4900 of text input, 100 in the output)."
        },
        4900,
        4096,
    ),
    "with commas": (
        {
            "message": "This model's maximum context length is 131,072 tokens. However, you requested 140,100 tokens "
            "(140,000 in the messages, 100 in the completion)."
        },
        140000,
        131072,
    ),
    "OpenAI": (
        {
            "message": "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 "
            "tokens.",
            "code": "context_length_exceeded",
        },
        5000,
        4096,
    ),
    "vLLM, the model's": (
        {"message": "The decoder prompt (length 3000) is longer than the maximum model length of 2048."},
        3000,
        2048,
    ),
    "vLLM, the answer's": (
        {
            "message": "'max_tokens' or 'max_completion_tokens' is too large: 100. This model's maximum context length "
            "is 2048 tokens and your request has 2000 input tokens (100 > 2048 - 2000)."
        },
        2000,
        2048,
    ),
    "llama-server": (
        {"message": "request (3000 tokens) exceeds the available context size (2048 tokens), try increasing it"},
        3000,
        2048,
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_it_is_told_with_its_numbers_and_asked_once(connect: Callable[..., ServerEngine], name: str) -> None:
    """Fewer samples at a time would not make the prompt shorter."""
    error, prompt, context = TOLD[name]
    status = 422 if name.startswith("TGI") else 400
    with serving(
        lambda request: (status, {"error": error}) if request["messages"] == ASK else takes_all(request)
    ) as server:
        with pytest.raises(ContextLengthError) as caught:
            connect(server).generate(ASK, n=10, options=SamplingOptions(max_tokens=100))
        assert (caught.value.prompt_tokens, caught.value.max_tokens, caught.value.context_tokens) == (
            prompt,
            100,
            context,
        )
        assert len(server.answered) == 1


@pytest.mark.parametrize(
    "error",
    [
        {"message": "the request exceeds the available context size. try increasing the context size"},
        {"message": "Too long.", "code": "context_length_exceeded"},
        {
            "message": "You passed 60000 input characters and requested 100 output tokens. However, the model's "
            "context length is only 4096 tokens, resulting in a maximum input length of 3996 tokens (at most 31968 "
            "characters). Please reduce the length of the input prompt."
        },
        {"message": "invalid params, context window exceeds limit"},
        {"message": "The input token count exceeds the maximum number of tokens allowed 1048576."},
        {"message": "prompt token count of 140000 exceeds the limit of 128000"},
        "The number of tokens to keep from the initial prompt is greater than the context length.",
        "Cannot truncate prompt with n_keep.",
        {"message": "Please reduce the length of the messages or completion."},
        {"message": "prompt too long; exceeded max context length by 12 tokens"},
    ],
)
def test_without_numbers_it_is_an_error_all_the_same(connect: Callable[..., ServerEngine], error: Any) -> None:
    """Asked once, too, and never shown as one that has numbers."""
    with serving(
        lambda request: (400, {"error": error}) if request["messages"] == ASK else takes_all(request)
    ) as server:
        with pytest.raises(ModelError, match="does not fit its context") as caught:
            connect(server).generate(ASK, n=10, options=SamplingOptions(max_tokens=100))
        assert not isinstance(caught.value, ContextLengthError)
        assert len(server.answered) == 1


@pytest.mark.parametrize(
    "text",
    [
        "n_cmpl cannot be greater than the number of slots, please increase -np",
        "logprobs is not supported with the maximum of 20 alternatives",
        "The model does not support tools.",
        "Input validation error: `max_new_tokens` must be <= 512. Given: 1000",
        "Input validation error: `top_logprobs` must be <= 5. Given: 20",
        "`best_of` must be <= 2. Given: 6",
        "temperature must be <= 2",
        "Please reduce the length of the stop strings.",
        "Rate limit reached on tokens per min (TPM): Limit 30,000, Requested 31,000.",
        "",
    ],
)
def test_other_refusals_are_about_something_else(text: str) -> None:
    """They may be worth a smaller request."""
    assert shortage({}, text) is None


def test_by_how_much_a_prompt_is_too_long_is_no_context() -> None:
    """Else it would be told as the size of one."""
    short = shortage({"n_prompt_tokens": 5000}, "prompt too long; exceeded max context length by 12 tokens")
    assert short is not None
    assert short.context is None
