"""A LangChain chat model whose samples would be copies of each other is no edge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import BaseMessage

from confroute import ConfigurationError, Generation, ModelError
from confroute.edge.probing import PROBE
from confroute_langchain import ConfidenceRoutedChatModel
from confroute_langchain.edge import ChatModelEdge
from tests.edge.scripted_server import completion, serving
from tests.langchain.scripted import ScriptedCloud
from tests.langchain.test_edge import chat
from tests.langchain.test_edge_samples import DRAWN, GREEDY, Scripted, asked, awaited

ways = pytest.mark.parametrize("ask", [asked, awaited])
Ask = Callable[..., Generation]
TRIED = PROBE[0]["content"]


class Heeding(Scripted):
    """Has a field for the temperature, and answers the trial's prompt with what *trial* makes of it and the call's
    number."""

    temperature: float | None = None
    max_tokens: int | None = None
    trial: Callable[[float, int], str] = lambda temperature, call: f"Boat {call}"
    trials: list[tuple[float | None, int | None]] = []  # noqa: RUF012 - pydantic copies it

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> str:
        if messages[-1].text != TRIED:
            return super()._call(messages, stop, run_manager, **kwargs)
        self.trials.append((self.temperature, self.max_tokens))
        return self.trial(self.temperature or 0.0, len(self.trials))


def lima(call: int) -> str:
    return "Lima"


@ways
def test_a_temperature_that_is_not_heeded_is_none(ask: Ask) -> None:
    """As that of ChatHuggingFace over a pipeline: samples that agree whatever the model knows are not trusted."""
    model = Heeding(answer=lima, trial=lambda temperature, call: "Boat")
    edge = ChatModelEdge(model)
    assert ask(edge, 1, DRAWN).samples[0].text == "Lima"
    assert len(ask(edge, 2, GREEDY).samples) == 2
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r'"Heeding" says the same each time.*do_sample=True'):
            ask(edge, 3, DRAWN)
    assert (len(model.seen), model.trials) == (3 + 3, [(1.0, 64)] * 4 + [(2.0, 512)] * 4)


@ways
def test_samples_that_agree_are_believed_of_a_model_that_draws(ask: Ask) -> None:
    """One trial shows that it does, for all requests."""
    model = Heeding(answer=lima)
    edge = ChatModelEdge(model)
    for _ in range(2):
        assert [sample.text for sample in ask(edge, 3, DRAWN).samples] == ["Lima"] * 3
    assert (len(model.seen), len(model.trials)) == (6, 4)


@ways
def test_samples_that_differ_need_no_trial(ask: Ask) -> None:
    """They show as much, also for the requests after them."""
    model = Heeding(answer=lambda call: "Lima" if call > 2 else f"Lima {call}")
    edge = ChatModelEdge(model)
    for _ in range(2):
        assert len(ask(edge, 2, DRAWN).samples) == 2
    assert (len(model.seen), model.trials) == (4, [])


def test_a_model_that_begins_alike_is_given_more_room() -> None:
    """And a higher temperature, before it is said to be none that draws."""
    model = Heeding(answer=lima, trial=lambda temperature, call: f"Boat {call}" if temperature > 1 else "Boat")
    assert asked(ChatModelEdge(model), 3, DRAWN).samples
    assert model.trials == [(1.0, 64)] * 4 + [(2.0, 512)] * 4


def test_a_model_that_may_not_be_so_hot_is_judged_by_what_it_said() -> None:
    """Some services take no temperature above 1: that is no failure of this request's."""

    def cool(temperature: float, call: int) -> str:
        if temperature > 1:
            raise ValueError
        return "Boat"

    with pytest.raises(ConfigurationError, match="says the same each time"):
        asked(ChatModelEdge(Heeding(answer=lima, trial=cool)), 3, DRAWN)


@ways
def test_what_says_nothing_on_trial_is_not_known_to_draw(ask: Ask) -> None:
    """As a reasoning model that hides its thoughts: the router escalates."""
    with pytest.raises(ModelError, match="said nothing in 512 tokens"):
        ask(ChatModelEdge(Heeding(answer=lima, trial=lambda temperature, call: "")), 3, DRAWN)


def test_a_model_is_tried_anew_after_two_minutes() -> None:
    """Its server may be another by then."""
    said = ["Boat"]
    edge = ChatModelEdge(Heeding(answer=lima, trial=lambda temperature, call: said.pop() if said[1:] else said[0]))
    with pytest.raises(ConfigurationError):
        asked(edge, 2, DRAWN)
    said += ["Dory", "Ark", "Cog", "Tug"]
    with pytest.raises(ConfigurationError):
        asked(edge, 2, DRAWN)
    edge._drawing._copied_at -= 120
    assert asked(edge, 2, DRAWN).samples


def test_a_server_that_says_the_same_each_time_is_no_edge() -> None:
    """Nothing of it is served as sure, and nothing escalated in silence."""
    with serving(lambda request: completion(["Lima"], logprob=None), draws=False) as server:
        routed = ConfidenceRoutedChatModel(edge=chat(server.url), cloud=ScriptedCloud())
        for ask in (routed.invoke, lambda question: asyncio.run(routed.ainvoke(question))):
            with pytest.raises(ConfigurationError, match="says the same each time"):
                ask("Capital of Peru?")


@ways
def test_a_trial_that_failed_leaves_it_unknown(ask: Ask) -> None:
    """Samples that agree say nothing until it is known: the router escalates, and the next request tries again."""
    failing = [True]

    def busy(temperature: float, call: int) -> str:
        if failing:
            raise ConnectionError
        return f"Boat {call}"

    edge = ChatModelEdge(Heeding(answer=lima, trial=busy))
    with pytest.raises(ModelError, match=r'not known yet whether samples of "Heeding" differ.*\(ConnectionError\)'):
        ask(edge, 3, DRAWN)
    failing.clear()
    assert ask(edge, 3, DRAWN).samples
