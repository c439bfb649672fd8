"""The stand-in cloud, asked through the OpenAI SDK over real HTTP."""

from __future__ import annotations

import pytest

from confroute.demo.stand_in import stand_in_cloud

openai = pytest.importorskip("openai")


def test_it_answers_what_it_was_told() -> None:
    """A known question gets its answer, whole and streamed, with usage."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of Peru?"}]

    with stand_in_cloud({"Capital of Peru?": "Lima it is"}) as url, openai.OpenAI(base_url=url, api_key="-") as client:
        whole = client.chat.completions.create(model="m", messages=messages)
        with client.chat.completions.create(model="m", messages=messages, stream=True) as chunks:
            streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    assert whole.choices[0].message.content == "Lima it is"
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + 3
    assert streamed == "Lima it is"


def test_an_unknown_question_is_an_error_that_names_the_fix() -> None:
    """What it was not told it does not make up."""
    with (
        stand_in_cloud({}) as url,
        openai.OpenAI(base_url=url, api_key="-", max_retries=0) as client,
        pytest.raises(openai.NotFoundError, match="OPENAI_API_KEY"),
    ):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])


def test_a_broken_request_is_refused() -> None:
    """A body without messages is a 400, and the server goes on."""
    import httpx

    with stand_in_cloud({}) as url, httpx.Client(base_url=url) as client:
        assert client.post("/chat/completions", content=b"no json").status_code == 400
        assert client.post("/chat/completions", json={"messages": []}).status_code == 400
        assert client.post("/embeddings", json={}).status_code == 404
