"""The cloud as the caller made it: its configuration, its tools and its strictness are kept."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import ChatMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableBinding
from langchain_core.tools import tool
from pydantic import BaseModel

from confroute.records import Sample, ToolCall
from confroute.testing import ScriptedEngine
from confroute_langchain import ConfidenceRoutedChatModel
from tests.edge.scripted_server import Reply, Request, completion, serving
from tests.langchain.scripted import SURE, UNSURE, ScriptedCloud, record_of, routed
from tests.langchain.test_edge import chat


class Starts(BaseCallbackHandler):
    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def on_chat_model_start(self, *args: Any, tags: Any = None, metadata: Any = None, **kwargs: Any) -> None:
        self.seen.append((kwargs.get("name"), "mine" in tags, metadata.get("team")))


@pytest.mark.parametrize("in_a_chain", [False, True])
def test_its_configuration_holds_for_its_run(ask: Any, *, in_a_chain: bool) -> None:
    """Callbacks, tags, metadata and name that `with_config` gave it; the outer of two bindings prevails."""
    inner, outer = Starts(), Starts()
    cloud = ScriptedCloud().with_config(callbacks=[inner], metadata={"team": "a"}).bind(user="u1")
    config: Any = {"callbacks": [outer], "tags": ["mine"], "metadata": {"team": "b"}, "run_name": "big"}
    cloud = RunnableBinding(bound=cloud, config=config)
    model = routed(cloud)
    ask(
        ChatPromptTemplate.from_template("{q}") | model if in_a_chain else model,
        {"q": UNSURE} if in_a_chain else UNSURE,
    )
    assert inner.seen == outer.seen == [("big", True, "b")]
    ask(routed(cloud), SURE)
    assert len(outer.seen) == 1


def test_its_listeners_hear_of_each_run() -> None:
    """Those of `with_listeners`, which are made for one run."""
    ends: list[Any] = []
    model = routed(ScriptedCloud().with_listeners(on_end=lambda run: ends.append(run.name)))
    model.batch([UNSURE, UNSURE, SURE])
    assert ends == ["ScriptedCloud"] * 2


class Gateway(BaseChatModel):
    """Answers in a role of its own, of which LangChain's ChatOpenAI makes a ChatMessage."""

    @property
    def _llm_type(self) -> str:
        return "gateway"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=ChatMessage(role="model", content="It knows", id="x"))])


def test_its_answer_may_be_in_a_role_of_its_own(ask: Any) -> None:
    """It has been paid for."""
    message = ask(routed(Gateway()), UNSURE)
    assert (message.text, message.id, record_of(message)["route"]) == ("It knows", "x", "cloud")


@tool(extras={"cache_control": {"type": "ephemeral"}})
def add(a: int) -> int:
    """Add."""
    return a


class NativeCloud(ScriptedCloud):
    """Takes tools of any form, as they are."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=list(tools), **kwargs)


@pytest.mark.parametrize(
    "native",
    [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        {"type": "computer_20250124", "name": "computer"},
        {"type": "custom", "name": "x"},
        {"google_search": {}},
        {"cachePoint": {"type": "default"}},
        {"type": "object", "properties": {}},
    ],
    ids=lambda native: native.get("type", "-".join(native)),
)
def test_its_own_tools_reach_it_untouched(ask: Any, native: dict[str, Any]) -> None:
    """Tools that a provider runs, or that have no form of OpenAI's, are not rewritten and not for the edge."""
    cloud = NativeCloud()
    model = ConfidenceRoutedChatModel(edge=ScriptedEngine({}, tools=True), cloud=cloud)
    assert record_of(ask(model.bind_tools([add, native]), SURE))["reason"] == "unsupported"
    assert cloud.seen[0][1]["tools"] == [add, native]
    assert cloud.seen[0][1]["tools"][1] is native


def test_functions_in_another_s_form_are_for_the_edge_too(ask: Any) -> None:
    """The edge has a tool in OpenAI's form, the cloud in the one it was written in, also after a pickle."""
    call = Sample(text="", tool_calls=(ToolCall(name="f", arguments="{}"),), finish_reason="tool_calls")
    edge = ScriptedEngine({SURE: (call, [call]), UNSURE: RuntimeError()}, tools=True)
    written = {
        "name": "f",
        "input_schema": {"type": "object", "properties": {}},
        "cache_control": {"type": "ephemeral"},
    }
    cloud = NativeCloud()
    model = ConfidenceRoutedChatModel(edge=edge, cloud=cloud)
    assert record_of(ask(model.bind_tools([written]), SURE))["route"] == "edge"
    assert edge.requests[0][2].tools[0]["function"]["name"] == "f"
    bound = model.bind_tools([written])
    ask(model.bind(**pickle.loads(pickle.dumps(bound.kwargs))), UNSURE)  # noqa: S301
    assert cloud.seen[0][1]["tools"] == [written]


class Total(BaseModel):
    """A sum."""

    value: int


def answering(request: Request) -> Reply:
    status, body = completion(['{"value": 3}'])
    if request.get("tools") and not request.get("response_format"):
        function = {"name": request["tools"][0]["function"]["name"], "arguments": '{"value": 3}'}
        body["choices"][0]["message"]["tool_calls"] = [{"id": "1", "type": "function", "function": function}]
    return status, body


WAYS: dict[str, Callable[[Any], Any]] = {
    "strict tools": lambda model: model.bind_tools([add], strict=True),
    "tools and a format": lambda model: model.bind_tools([add], strict=True, response_format=Total),
    "json_mode": lambda model: model.with_structured_output(Total, method="json_mode"),
    "json_mode without a schema": lambda model: model.with_structured_output(None, method="json_mode"),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_is_asked_as_without_us(way: str) -> None:
    """The same request, and the same result, as of a ChatOpenAI that is asked itself."""
    pytest.importorskip("langchain_openai")
    with serving(answering) as server:
        plain = chat(server.url)
        results = [
            WAYS[way](model).invoke("Sum?") for model in (plain, ConfidenceRoutedChatModel(edge=UNABLE, cloud=plain))
        ]
    assert server.asked[0] == server.asked[1]
    assert getattr(results[0], "text", results[0]) == getattr(results[1], "text", results[1])


UNABLE = ScriptedEngine({})


def test_a_strict_call_is_strict() -> None:
    """Structured output by a call, which the base class of LangChain's would ask for loosely."""
    pytest.importorskip("langchain_openai")
    with serving(answering) as server:
        model = ConfidenceRoutedChatModel(edge=UNABLE, cloud=chat(server.url))
        assert model.with_structured_output(Total, method="function_calling", strict=True).invoke("Sum?") == Total(
            value=3
        )
    function = server.asked[0]["tools"][0]["function"]
    assert (function["strict"], function["parameters"]["additionalProperties"]) == (True, False)


@pytest.mark.parametrize("strict", [None, True])
def test_an_agent_has_its_provider_s_structured_output(strict: bool | None) -> None:
    """LangChain's agent with tools and a response format, which ChatOpenAI wants strict."""
    agents = pytest.importorskip("langchain.agents")
    from langchain.agents.structured_output import ProviderStrategy

    pytest.importorskip("langchain_openai")
    with serving(answering) as server:
        model = ConfidenceRoutedChatModel(edge=UNABLE, cloud=chat(server.url))
        agent = agents.create_agent(model, tools=[add], response_format=ProviderStrategy(Total, strict=strict))
        assert agent.invoke({"messages": ["Sum?"]})["structured_response"] == Total(value=3)
