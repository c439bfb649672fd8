"""A LangChain chat model whose samples would be copies of each other is no edge."""

from __future__ import annotations

import asyncio
import itertools
import json
import pickle
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import BaseMessage

from confroute import ConfigurationError, Generation, ModelError, SamplingOptions
from confroute.edge.probing import PROBE
from confroute_langchain import ConfidenceRoutedChatModel
from confroute_langchain.edge import ChatModelEdge
from tests.edge.scripted_server import Reply, Request, ScriptedServer, completion, serving
from tests.langchain.scripted import ScriptedCloud
from tests.langchain.test_edge import chat
from tests.langchain.test_edge_samples import DRAWN, GREEDY, Scripted, asked, awaited

ways = pytest.mark.parametrize("ask", [asked, awaited])
Ask = Callable[..., Generation]
TRIED = PROBE[0]["content"]
APART = [(2.0, 512), (1.9998, 512), (1.9996, 512), (1.9994, 512)]
"""What is asked at last, as a cache would tell it apart."""


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


def texts(generation: Generation) -> set[str]:
    return {sample.text for sample in generation.samples}


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
    assert (len(model.seen), sorted(model.trials)) == (3 + 3, sorted([(1.0, 64)] * 4 + [(2.0, 512)] * 4 + APART))


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
    """They agree on nothing that would be served as sure. The first that agree have one, as those before them may have
    been asked for together before a cache had any."""
    model = Heeding(answer=lambda call: "Lima" if call > 4 else f"Lima {call}")
    edge = ChatModelEdge(model)
    for trials in (0, 0, 4, 4):
        assert len(ask(edge, 2, DRAWN).samples) == 2
        assert len(model.trials) == trials


@contextmanager
def cached() -> Generator[ScriptedServer]:
    """A proxy with a cache: what was asked once has its answer, what is asked for together has one each."""
    known: dict[str, Reply] = {}

    def replies(request: Request) -> Reply:
        asked_for = json.dumps(request, sort_keys=True)
        if asked_for not in known:
            time.sleep(0.3)  # for those that come together
            reply = known[asked_for] = completion([f"Lima {uuid4()}"], logprob=None)
            return reply
        return known[asked_for]

    with serving(replies, draws=False) as server:
        yield server


@ways
def test_a_cache_before_the_server_is_got_around(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    """The samples of a first request all differ; those of the same one again are copies, also of another edge's: each
    has a temperature of its own from then on, those that were copies are drawn anew, and the log says so once."""
    with cached() as server:
        model = chat(server.url)
        edge = ChatModelEdge(model)
        assert len(texts(ask(edge, 3, DRAWN))) > 1
        other = ChatModelEdge(model)
        for each in (edge, edge, other):
            before = len(server.asked)
            assert len(texts(ask(each, 3, DRAWN))) == 3
            # Three that were copies, a trial in three parts, and three more.
            assert len(server.asked) - before <= 3 + 12 + 3
        assert [record.message.count("as a cache does") for record in caplog.records] == [1, 1]
        told = {request["temperature"] for request in server.asked}
        assert all(
            0.693 <= temperature <= 0.7 or 0.99 <= temperature <= 1 or temperature > 1.98 for temperature in told
        )


def test_a_cache_before_a_server_that_says_the_same_hides_nothing() -> None:
    """Set apart, its samples are copies all the same."""
    with serving(lambda request: completion(["Lima"], logprob=None), draws=False) as server:
        edge = ChatModelEdge(chat(server.url))
        with pytest.raises(ConfigurationError, match="says the same each time"):
            asked(edge, 3, DRAWN)
        assert len(server.asked) == 3 + 4 + 4 + 4


@ways
def test_a_model_that_labels_is_served(ask: Ask) -> None:
    """It says "other" of the trial's prompt, and has been seen to draw."""
    model = Heeding(
        answer=lambda call: ("order", "refund")[call % 2] if call <= 3 else "refund",
        trial=lambda temperature, call: "other",
    )
    edge = ChatModelEdge(model)
    assert len(texts(ask(edge, 3, DRAWN))) == 2
    for _ in range(3):
        assert texts(ask(edge, 3, DRAWN)) == {"refund"}
    assert len(model.trials) == 12


def test_what_drew_on_trial_is_no_model_that_labels() -> None:
    """Its server says the same by now, though its samples have differed."""
    model = Heeding(answer=lambda call: "Lima" if call > 2 else f"Lima {call}")
    edge = ChatModelEdge(model)
    for _ in range(2):
        asked(edge, 2, DRAWN)
    model.trial = lambda temperature, call: "Boat"
    edge._drawing._trials._at -= 120
    with pytest.raises(ConfigurationError, match="says the same each time"):
        asked(edge, 2, DRAWN)


def test_what_has_no_place_for_a_temperature_is_not_set_apart() -> None:
    """It is refused as it is."""
    model = Scripted(answer=lambda call: "Lima")
    with pytest.raises(ConfigurationError, match="says the same each time"):
        asked(ChatModelEdge(model), 3, DRAWN)
    assert len(model.seen) == 3 + 4 + 4


def test_one_of_four_that_says_anything_is_no_copy() -> None:
    """Nor are three: a model whose thoughts are hidden may not come to an answer within the trial's tokens."""
    for speaking in (1, 3):
        model = Heeding(answer=lima, trial=lambda temperature, call, most=speaking: "Boat" if call % 4 < most else "")
        with pytest.raises(ModelError, match="not known whether its samples differ"):
            asked(ChatModelEdge(model), 3, DRAWN)


@ways
def test_a_model_that_drew_is_tried_anew(ask: Ask) -> None:
    """Two minutes later, where samples agree, then ever more seldom: its server may be another, or have a cache."""
    model = Heeding(answer=lima)
    edge = ChatModelEdge(model)
    for seconds, trials in ((0, 4), (119, 4), (1, 8), (239, 8), (1, 12)):
        edge._drawing._trials._at -= seconds
        ask(edge, 2, DRAWN)
        assert len(model.trials) == trials
    model.trial = lambda temperature, call: "Boat"
    edge._drawing._trials._at -= 480
    with pytest.raises(ConfigurationError, match="says the same each time"):
        ask(edge, 2, DRAWN)


def test_a_model_that_drew_is_believed_where_its_next_trial_fails() -> None:
    """A rate limit, say, is no sign that it draws no more."""

    def busy(temperature: float, call: int) -> str:
        if call > 4:
            raise ConnectionError
        return f"Boat {call}"

    model = Heeding(answer=lima, trial=busy)
    edge = ChatModelEdge(model)
    for trials in (4, 5, 5):
        assert len(asked(edge, 2, DRAWN).samples) == 2
        assert len(model.trials) == trials
        if trials == 4:
            edge._drawing._trials._at -= 120


def test_a_model_that_begins_alike_is_given_more_room() -> None:
    """And a higher temperature, before it is said to be none that draws."""
    model = Heeding(answer=lima, trial=lambda temperature, call: f"Boat {call}" if temperature > 1 else "Boat")
    assert asked(ChatModelEdge(model), 3, DRAWN).samples
    assert model.trials == [(1.0, 64)] * 4 + [(2.0, 512)] * 4


@pytest.mark.parametrize("in_vain", [4, 12])
def test_a_model_that_may_not_be_so_hot_is_asked_once_more(in_vain: int) -> None:
    """Some services take no temperature above 1: that is no failure of this request's. What says the same again at 1
    draws none."""

    def cool(temperature: float, call: int) -> str:
        if temperature > 1:
            raise ValueError
        said.append("Boat" if len(said) < in_vain else f"Boat {len(said)}")
        return said[-1]

    said: list[str] = []
    edge = ChatModelEdge(Heeding(answer=lima, trial=cool))
    if in_vain == 4:
        assert asked(edge, 3, DRAWN).samples
    else:
        with pytest.raises(ConfigurationError, match="says the same each time"):
            asked(edge, 3, DRAWN)
    assert len(said) == in_vain + (4 if in_vain == 4 else 0)


@ways
def test_what_says_nothing_on_trial_is_not_known_to_draw(ask: Ask) -> None:
    """As a reasoning model that hides its thoughts: the router escalates."""
    with pytest.raises(ModelError, match=r"said nothing in 512 tokens.*raise max_tokens above 512"):
        ask(ChatModelEdge(Heeding(answer=lima, trial=lambda temperature, call: "")), 3, DRAWN)


class Thinking(Heeding):
    """Says nothing of the trial's prompt in fewer tokens than it *thinks*."""

    thinks: int

    def _call(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> str:
        said = super()._call(messages, *args, **kwargs)
        return "" if messages[-1].text == TRIED and (self.max_tokens or 0) < self.thinks else said


@ways
def test_hidden_thoughts_have_as_much_room_on_trial_as_an_answer(ask: Ask) -> None:
    """Samples have less, once it is known to be enough for them. A trial that said nothing stands for the next seconds,
    unless the next has more room; what differs is answered all the same."""
    model = Thinking(answer=lima, thinks=1200)
    edge = ChatModelEdge(model)
    for tokens, most, trials in ((8, 512, 12), (600, 600, 24), (256, 600, 24), (4096, 4096, 36), (8, 4096, 36)):
        ask(edge, 1, SamplingOptions(max_tokens=tokens))
        if most < 1200:
            with pytest.raises(ModelError, match=f"said nothing in {most} tokens.*raise max_tokens above {most}"):
                ask(edge, 3, DRAWN)
            model.answer = str
            assert len(texts(ask(edge, 3, DRAWN))) == 3
            model.answer = lima
        else:
            assert texts(ask(edge, 3, DRAWN)) == {"Lima"}
        assert (len(model.trials), model.trials[-1]) == (trials, (1.0, most))


def test_a_request_with_more_room_does_not_take_a_smaller_ones_word() -> None:
    """Which it waited for."""

    def slow(temperature: float, call: int) -> str:
        time.sleep(0.05)
        return f"Boat {call}"

    model = Thinking(answer=lima, thinks=1200, trial=slow)
    edge = ChatModelEdge(model)
    with ThreadPoolExecutor(2) as threads:
        small = threads.submit(asked, edge, 3, DRAWN)
        while not model.trials:
            time.sleep(0.01)
        large = threads.submit(asked, edge, 3, SamplingOptions(temperature=0.7, max_tokens=4096))
        assert large.result().samples
        with pytest.raises(ModelError, match="said nothing in 512 tokens"):
            small.result()


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


def test_one_that_draws_again_is_asked_at_the_temperature_asked_for() -> None:
    """It was set apart on trial, in case a cache was there; and the last word of a trial is not another machine's."""
    fresh = itertools.count()
    with serving(lambda request: completion(["Lima"], logprob=None), draws=False) as server:
        edge = ChatModelEdge(chat(server.url))
        with pytest.raises(ConfigurationError):
            asked(edge, 3, DRAWN)
        pickle.loads(pickle.dumps(edge._drawing)).refuse_copies()  # noqa: S301
        with pytest.raises(ConfigurationError):
            edge._drawing.refuse_copies()
        server.reply = lambda request: completion([f"Lima {next(fresh)}"], logprob=None)
        edge._drawing._copied_at -= 120
        before = len(server.asked)
        asked(edge, 3, DRAWN)
        assert {request["temperature"] for request in server.asked[before:]} == {0.7}


def test_a_server_that_says_the_same_each_time_is_no_edge() -> None:
    """Nothing of it is served as sure, and nothing escalated in silence."""
    with serving(lambda request: completion(["Lima"], logprob=None), draws=False) as server:
        routed = ConfidenceRoutedChatModel(edge=chat(server.url), cloud=ScriptedCloud())
        for ask in (routed.invoke, lambda question: asyncio.run(routed.ainvoke(question))):
            with pytest.raises(ConfigurationError, match="says the same each time"):
                ask("Capital of Peru?")


@ways
def test_a_trial_that_failed_leaves_it_unknown(ask: Ask) -> None:
    """Samples that agree say nothing until it is known: the router escalates, and it is tried again after some
    seconds, then ever more seldom, not for each request."""
    failing = [True]

    def busy(temperature: float, call: int) -> str:
        if failing:
            raise ConnectionError
        return f"Boat {call}"

    model = Heeding(answer=lima, trial=busy)
    edge = ChatModelEdge(model)
    for seconds, trials in ((0, 1), (4, 1), (1, 2), (9, 2), (1, 3)):
        edge._drawing._failures._at -= seconds
        with pytest.raises(ModelError, match=r'not known yet whether samples of "Heeding" differ.*\(ConnectionError\)'):
            ask(edge, 3, DRAWN)
        assert len(model.trials) == trials
    failing.clear()
    edge._drawing._failures._at -= 20
    assert ask(edge, 3, DRAWN).samples


def test_threads_share_a_trial_that_failed() -> None:
    """Ten requests would have one after the other."""

    def busy(temperature: float, call: int) -> str:
        time.sleep(0.2)
        raise ConnectionError

    def fails(_: int) -> None:
        with pytest.raises(ModelError, match="not known yet"):
            asked(edge, 3, DRAWN)

    model = Heeding(answer=lima, trial=busy)
    edge = ChatModelEdge(model)
    with ThreadPoolExecutor(10) as threads:
        list(threads.map(fails, range(10)))
    assert len(model.trials) == 1


def test_thoughts_that_are_hidden_are_given_room_at_a_temperature_that_is_taken() -> None:
    """Nothing is said in 64 tokens, and 2 is refused."""

    def cool(temperature: float, call: int) -> str:
        if temperature > 1:
            raise ValueError
        return "" if call <= 4 else f"Boat {call}"

    assert asked(ChatModelEdge(Heeding(answer=lima, trial=cool)), 3, DRAWN).samples
