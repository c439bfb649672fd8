"""What is told of an answer, and of the model, beside the message: to handlers, traces, caches and token counters."""

from __future__ import annotations

import asyncio
import copy
import json
import traceback
from functools import partial
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_openai import ChatOpenAI

from confroute import ConfigurationError
from confroute.records import Sample
from confroute.testing import ScriptedEngine
from confroute_langchain import ConfidenceRoutedChatModel
from tests.langchain.scripted import SURE, UNSURE, ScriptedCloud, record_of, routed, scripted_edge


class Ends(BaseCallbackHandler):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        (generation,) = response.generations[0]
        self.seen.append((response.llm_output, generation.generation_info))


@pytest.mark.parametrize(
    ("question", "model", "tokens"), [(SURE, "scripted-edge", (7, 1, 8)), (UNSURE, "scripted-cloud", (11, 4, 15))]
)
def test_the_end_of_a_run_tells_tokens_and_model(ask: Any, question: str, model: str, tokens: tuple[int, ...]) -> None:
    """In OpenAI's form where LangChain has it, which it has not for streams, and why the answer ended."""
    ends = Ends()
    ask(routed(), question, config={"callbacks": [ends]})
    ((output, info),) = ends.seen
    assert info["finish_reason"] == "stop"
    usage = dict(zip(("prompt_tokens", "completion_tokens", "total_tokens"), tokens, strict=True))
    assert output in (None, {"token_usage": usage, "model_name": model})


@pytest.mark.parametrize(("prompt", "said"), [(0, "Paris"), (7, Sample(text="Paris"))])
def test_usage_that_the_edge_does_not_tell_is_none(ask: Any, prompt: int, said: Any) -> None:
    """As in the record: 0 tokens would be counted as such."""
    edge = ScriptedEngine({SURE: (said, [said])}, input_tokens=prompt)
    answer = ask(ConfidenceRoutedChatModel(edge=edge, cloud=ScriptedCloud()), SURE)
    assert (record_of(answer)["route"], answer.usage_metadata) == ("edge", None)


def test_outputs_of_several_prompts_are_added_up() -> None:
    """`generate` tells the tokens of all and each model that answered."""
    result = routed().generate([[HumanMessage(SURE)], [HumanMessage(UNSURE)], [HumanMessage(UNSURE)]])
    assert result.llm_output == {
        "token_usage": {"prompt_tokens": 29, "completion_tokens": 9, "total_tokens": 38},
        "model_name": "scripted-edge | scripted-cloud",
    }


class CountingCloud(ScriptedCloud):
    def get_token_ids(self, text: str) -> list[int]:
        return [0] * 9

    def get_num_tokens(self, text: str) -> int:
        return 8

    def get_num_tokens_from_messages(self, messages: Any, tools: Any = None) -> int:
        return 7 if tools is None else 70

    def _resolve_model_profile(self) -> Any:
        return {"max_input_tokens": 1000, "structured_output": True}


def test_tokens_are_counted_as_the_cloud_counts_them() -> None:
    """By each of its methods, unless the routed model was given a way of its own."""
    messages: list[BaseMessage] = [HumanMessage("a")]
    model = routed(CountingCloud())
    assert (len(model.get_token_ids("a")), model.get_num_tokens("a")) == (9, 8)
    assert model.get_num_tokens_from_messages(messages) == 7
    assert model.get_num_tokens_from_messages(messages, tools=[]) == 70
    own = routed(CountingCloud(), custom_get_token_ids=lambda text: [1, 2])
    assert (own.get_token_ids("a"), own.get_num_tokens("a"), own.get_num_tokens_from_messages(messages)) == (
        [1, 2],
        2,
        2,
    )


def test_the_profile_is_the_cloud_s() -> None:
    """Agents and middleware ask it for what the model can and for the room it has, unless the caller gave one."""
    own: Any = {"max_input_tokens": 5}
    model, told = routed(CountingCloud()), routed(CountingCloud(), profile=own)
    assert (model.profile, told.profile) == ({"max_input_tokens": 1000, "structured_output": True}, own)
    change = {"cloud": ScriptedCloud()}
    assert (model.model_copy(update=change).profile, told.model_copy(update=change).profile) == (None, own)


class Echo(ScriptedCloud):
    """Says how it was asked."""

    style: str = "plain"
    temperature: float = 0.0

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"style": self.style}

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(f"{self.style} {sorted(kwargs.items())}"))])


def test_the_cache_tells_configurations_apart() -> None:
    """What is bound to either model, an edge's own settings and the policy at an outage make another answer."""
    cache = InMemoryCache()
    clouds = [Echo(), Echo().bind(effort="low"), Echo().bind(effort="high")]
    models = [routed(cloud, cache=cache) for cloud in clouds]
    models += [
        routed(Echo(), cache=cache, **setting) for setting in ({"on_cloud_error": "edge"}, {"output_version": "v1"})
    ]
    edges: list[Any] = [Echo(style="a"), Echo(style="b"), Echo(style="b").bind(effort="low")]
    models += [ConfidenceRoutedChatModel(edge=edge, cloud=Echo(), threshold=0.0, cache=cache) for edge in edges]
    for model in models * 2:
        model.invoke(UNSURE)
    assert len(cache._cache) == len(models)


def test_an_answer_of_the_clouds_cache_can_be_kept_again() -> None:
    """As its usage LangChain tells such a one's cost alone, which SQLite's and Redis' caches cannot read back."""
    cache = InMemoryCache()
    cloud = FakeListChatModel(responses=["It knows"], cache=cache)
    for _ in range(2):
        message = routed(cloud).invoke(UNSURE)
        assert AIMessage.model_validate(dumpd(message)["kwargs"]) == message


def test_the_cache_is_used_where_streaming_is_off() -> None:
    """A stream that is an invocation has the same key each time, and no object of ours in it."""
    cache = InMemoryCache()
    cloud = ScriptedCloud()
    model = routed(cloud, cache=cache, disable_streaming=True)
    for _ in range(2):
        assert [chunk.text for chunk in model.stream(UNSURE)] == ["The cloud knows it"]
    assert len(cloud.seen) == len(cache._cache) == 1
    ((_, key),) = cache._cache
    assert "Run" not in key


class Flaky(ScriptedCloud):
    """Fails at its first request."""

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        if not self.seen:
            self.seen.append("failed")
            raise TimeoutError
        return super()._generate(*args, **kwargs)


def test_an_outage_is_not_cached() -> None:
    """What the edge answered in the cloud's stead is not served when the cloud is there again; what it then says is."""

    def both(model: Any) -> list[str]:
        async def awaited() -> list[str]:
            return [(await model.ainvoke(UNSURE)).text for _ in range(3)]

        return asyncio.run(awaited())

    for asked in (lambda model: [model.invoke(UNSURE).text for _ in range(3)], both):
        cloud = Flaky()
        texts = asked(routed(cloud, on_cloud_error="edge", cache=InMemoryCache()))
        assert texts == ["Olympus", "The cloud knows it", "The cloud knows it"]
        assert len(cloud.seen) == 2


SECRET = "sk-SECRET"  # noqa: S105


@pytest.mark.parametrize("place", [f"user:{SECRET}@host/v1", f"{SECRET}@host/v1"])
def test_no_key_of_an_address_is_shown(place: str) -> None:
    """Not by repr, not in what LangSmith gets, nor in the cache's key."""
    model = ConfidenceRoutedChatModel(edge=f"http://{place}#m", cloud=ScriptedCloud().bind(api_key=SECRET))
    shown = repr(model) + str(model) + json.dumps(dumpd(model)) + model._get_llm_string()
    assert SECRET not in shown
    assert "http://host/v1#m" in repr(model)


@pytest.mark.parametrize("setting", ["default_headers", "model_kwargs"])
def test_no_key_among_the_settings_of_a_model_is_shown(setting: str) -> None:
    """Neither the cloud's nor the edge's, which are shown by class and name; the cache still tells them apart."""

    def openai(key: str) -> ChatOpenAI:
        told = {"default_headers": {"api-key": key}, "model_kwargs": {"extra_headers": {"api-key": key}}}[setting]
        return ChatOpenAI(model="gpt-5-mini", api_key="none", **{setting: told})  # pyright: ignore[reportArgumentType]

    def shown(model: Any) -> str:
        return repr(model) + str(model) + json.dumps(dumpd(model)) + str(model._identifying_params)

    for model in (routed(openai(SECRET)), ConfidenceRoutedChatModel(edge=openai(SECRET), cloud=openai(SECRET))):
        assert SECRET not in shown(model) + model._get_llm_string()
        assert "cloud=ChatOpenAI('gpt-5-mini')" in repr(model)
    assert "cloud=ScriptedCloud()" in repr(routed())
    assert routed(openai("a"))._get_llm_string() != routed(openai("b"))._get_llm_string()


def test_no_key_that_a_hook_holds_is_shown() -> None:
    """Nor dumped, nor a part of the cache's key; copies call it all the same."""
    called: list[str] = []

    def send(key: str, record: Any) -> None:
        called.append(key)

    model = routed(hooks=[partial(send, SECRET)])
    shown = repr(model) + str(model) + json.dumps(dumpd(model)) + str(model.model_dump())
    assert SECRET not in shown + model._get_llm_string()
    assert model._get_llm_string() == routed()._get_llm_string()
    for each in (model, copy.copy(model), model.model_copy(update={"threshold": 0.5})):
        each.invoke(SURE)
    assert called == [SECRET] * 3


def test_no_key_of_an_address_that_is_refused_is_shown() -> None:
    """Neither by the error nor by the traceback."""
    with pytest.raises(ConfigurationError) as caught:
        ConfidenceRoutedChatModel(edge=f"http://host/v1?key={SECRET}#m", cloud=ScriptedCloud())
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_no_key_in_the_place_of_a_model_s_name_is_shown() -> None:
    """Neither by the error nor by the traceback."""
    pytest.importorskip("langchain")
    with pytest.raises(ConfigurationError) as caught:
        ConfidenceRoutedChatModel(edge=scripted_edge(), cloud=f"nope:{SECRET}")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_record_is_told_of_an_answer_from_the_cache() -> None:
    """It is that of the request which was answered."""
    model = routed(cache=InMemoryCache())
    assert record_of(model.invoke(UNSURE)) == record_of(model.invoke(UNSURE))


class Uncounted(BaseChatModel):
    """Tells no tokens, and has a cache, whose hits tell what they cost."""

    @property
    def _llm_type(self) -> str:
        return "uncounted"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("The cloud knows it"))])


def test_a_cloud_s_answer_from_its_cache_is_the_answer(ask: Any) -> None:
    """Though it tells no tokens."""
    model = routed(Uncounted(cache=InMemoryCache()))
    for _ in range(2):
        answer = ask(model, UNSURE)
        assert (answer.text, record_of(answer)["cloud"]["input_tokens"]) == ("The cloud knows it", None)
