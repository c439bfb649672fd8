"""A LangChain chat model of the caller's own that loads what it runs on at its first call, as every tutorial has it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from pydantic import PrivateAttr

from confroute import Generation
from confroute_langchain.edge import ChatModelEdge
from tests.langchain.test_edge_inner import Around
from tests.langchain.test_edge_samples import DRAWN, GREEDY, Scripted, asked, awaited

ways = pytest.mark.parametrize("ask", [asked, awaited])
Ask = Callable[..., Generation]
TOLD = "loads what it runs on when it is first asked"


class Weights:
    __module__ = "torch.nn.modules.linear"


class Client:
    """Made in no time, and by each copy its own."""


class Loading(Scripted):
    answer: Callable[[int], str] = lambda call: f"Lima {call}"
    temperature: float = 0.1
    made: type[Any] = Weights
    _pipe: Any = PrivateAttr(default=None)

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> str:
        self.load()
        return super()._call(messages, stop, run_manager)

    def load(self) -> None:
        if self._pipe is None:
            self._pipe = self.made()


@ways
def test_it_is_told_to_load_before(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    """Each sample's copy loads for itself; one warning says so, with the first answer."""
    model = Loading()
    edge = ChatModelEdge(model)
    with caplog.at_level(logging.WARNING):
        ask(edge, 1, GREEDY)
        assert caplog.text.count(TOLD) == 1
        ask(edge, 4, DRAWN)
    assert caplog.text.count(TOLD) == 1
    assert model._pipe is None


@ways
def test_so_is_one_that_another_is_around(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    """As ChatHuggingFace is around what runs a pipeline."""
    with caplog.at_level(logging.WARNING):
        ask(ChatModelEdge(Around(llm=Loading())), 1, DRAWN)
    assert caplog.text.count(TOLD) == 1


@pytest.mark.parametrize("is_client", [False, True])
def test_nothing_is_told_of_what_was_loaded_or_is_light(is_client: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Copies of a model that has loaded have what it loaded."""
    model = Loading(made=Client) if is_client else Loading()
    if not is_client:
        model.load()
    with caplog.at_level(logging.WARNING):
        asked(ChatModelEdge(model), 4, DRAWN)
    assert TOLD not in caplog.text
