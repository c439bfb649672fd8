"""The ways to ask a routed chat model, as one fixture."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

Ask = Callable[..., BaseMessage]


def _whole(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole


def _invoke(model: Any, question: Any, **config: Any) -> AIMessage:
    return model.invoke(question, **config)


def _ainvoke(model: Any, question: Any, **config: Any) -> AIMessage:
    return asyncio.run(model.ainvoke(question, **config))


def _stream(model: Any, question: Any, **config: Any) -> AIMessageChunk:
    return _whole(list(model.stream(question, **config)))


def _astream(model: Any, question: Any, **config: Any) -> AIMessageChunk:
    async def collect() -> list[AIMessageChunk]:
        return [chunk async for chunk in model.astream(question, **config)]

    return _whole(asyncio.run(collect()))


def _batch(model: Any, question: Any, config: Any = None, **kwargs: Any) -> AIMessage:
    return model.batch([question], config, **kwargs)[0]


@pytest.fixture(params=[_invoke, _ainvoke, _stream, _astream, _batch], ids=lambda way: way.__name__.strip("_"))
def ask(request: pytest.FixtureRequest) -> Ask:
    return request.param
