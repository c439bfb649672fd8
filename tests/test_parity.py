"""One script of models, one record: through the core, LangChain and LlamaIndex, whole and streamed, sync and async."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("llama_index.core")

from langchain_core.language_models import FakeListChatModel
from llama_index.core.llms import ChatMessage, MockLLM

from confroute import ConfigurationError, Router, SemanticEntropy
from confroute.testing import ScriptedEngine, equiprobable_meanings
from confroute_langchain import ConfidenceRoutedChatModel
from confroute_llamaindex import ConfidenceRoutedLLM

SCRIPT: dict[str, Any] = {
    "Sure?": ("Paris", ["Paris", "Paris."]),
    "Unsure?": ("Paris", equiprobable_meanings(4)),
    "Silent?": ("", ["x"]),
    "Failing?": RuntimeError("no prompt"),
}
SETTINGS: dict[str, Any] = {"estimator": SemanticEntropy(), "samples": 4, "threshold": 0.5}


def _core(question: str) -> dict[str, Any]:
    return Router(ScriptedEngine(SCRIPT), **SETTINGS).decide([{"role": "user", "content": question}]).record.to_dict()


def _acore(question: str) -> dict[str, Any]:
    router = Router(ScriptedEngine(SCRIPT), **SETTINGS)
    return asyncio.run(router.adecide([{"role": "user", "content": question}])).record.to_dict()


def _langchain(way: str) -> Callable[[str], dict[str, Any]]:
    async def astream(model: Any, question: str) -> Any:
        return [chunk async for chunk in model.astream(question)][-1]

    def ask(question: str) -> dict[str, Any]:
        cloud = FakeListChatModel(responses=["from the cloud"])
        model = ConfidenceRoutedChatModel(edge=ScriptedEngine(SCRIPT), cloud=cloud, **SETTINGS)
        message = {
            "invoke": lambda: model.invoke(question),
            "ainvoke": lambda: asyncio.run(model.ainvoke(question)),
            "batch": lambda: model.batch([question])[0],
            "stream": lambda: list(model.stream(question))[-1],
            "astream": lambda: asyncio.run(astream(model, question)),
        }[way]()
        return message.response_metadata["confidence_routing"]

    return ask


def _llamaindex(way: str) -> Callable[[str], dict[str, Any]]:
    async def last(stream: Any) -> Any:
        return [chunk async for chunk in await stream][-1]

    def ask(question: str) -> dict[str, Any]:
        llm = ConfidenceRoutedLLM(edge=ScriptedEngine(SCRIPT), cloud=MockLLM(), **SETTINGS)
        messages = [ChatMessage(role="user", content=question)]
        response = {
            "chat": lambda: llm.chat(messages),
            "achat": lambda: asyncio.run(llm.achat(messages)),
            "stream_chat": lambda: list(llm.stream_chat(messages))[-1],
            "astream_chat": lambda: asyncio.run(last(llm.astream_chat(messages))),
            "complete": lambda: llm.complete(question),
            "acomplete": lambda: asyncio.run(llm.acomplete(question)),
            "stream_complete": lambda: list(llm.stream_complete(question))[-1],
            "astream_complete": lambda: asyncio.run(last(llm.astream_complete(question))),
        }[way]()
        return response.additional_kwargs["confidence_routing"]

    return ask


WAYS: dict[str, Callable[[str], dict[str, Any]]] = {
    "adecide": _acore,
    **{way: _langchain(way) for way in ("invoke", "ainvoke", "batch", "stream", "astream")},
    **{
        way: _llamaindex(way)
        for kind in ("chat", "complete")
        for way in (kind, f"a{kind}", f"stream_{kind}", f"astream_{kind}")
    },
}


@pytest.mark.parametrize("question", SCRIPT)
@pytest.mark.parametrize("way", WAYS)
def test_every_surface_gives_the_same_record(way: str, question: str) -> None:
    """The record is the core's to the last field, time taken and the cloud's own part aside."""

    def comparable(record: dict[str, Any]) -> dict[str, Any]:
        edge = record["edge"] and {**record["edge"], "seconds": None}
        return {**record, "edge": edge, "cloud": None}

    record = WAYS[way](question)

    assert comparable(record) == comparable(_core(question))
    assert (record["cloud"] is not None) == (record["route"] == "cloud" and way != "adecide")


def test_the_script_reaches_both_routes() -> None:
    """The parity above is over different decisions, not four times the same."""
    assert [_core(question)["reason"] for question in SCRIPT] == ["confident", "uncertain", "no_signal", "edge_error"]
    with pytest.raises(ConfigurationError):
        _core("Unscripted?")
