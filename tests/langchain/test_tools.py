"""Tools on the edge in LangChain: calls arrive as LangChain's, however they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from confroute import SamplingOptions, UnsupportedRequestError
from confroute.records import Generation, Message, Sample, ToolCall
from confroute.testing import ScriptedEngine
from confroute_langchain import ConfidenceRoutedChatModel
from confroute_langchain.edge import ChatModelEdge
from confroute_langchain.messages import read
from tests.edge.scripted_server import Reply, Request, completion, serving
from tests.langchain.scripted import ScriptedCloud, record_of
from tests.langchain.test_edge import chat
from tests.langchain.test_edge_samples import Scripted, asked, awaited

QUESTION = "What is 1 + 2?"


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def calling(*calls: tuple[str, str]) -> Sample:
    made = tuple(ToolCall(name=name, arguments=arguments) for name, arguments in calls)
    return Sample(text="", tool_calls=made, output_tokens=9, finish_reason="tool_calls")


def routed(answer: Sample, cloud: Any = None, *, tools: bool = True) -> ConfidenceRoutedChatModel:
    engine = ScriptedEngine({QUESTION: (answer, [answer])}, tools=tools)
    return ConfidenceRoutedChatModel(edge=engine, cloud=cloud or ScriptedCloud())


def test_the_edge_s_calls_are_langchain_s(ask: Any) -> None:
    """Invoked or streamed: names, arguments, an id for each, and nothing said beside them."""
    two = calling(("add", '{"a": 1, "b": 2}'), ("add", '{"a": 3, "b": -1}'))
    answer = ask(routed(two).bind_tools([add]), QUESTION)
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [
        ("add", {"a": 1, "b": 2}),
        ("add", {"a": 3, "b": -1}),
    ]
    assert len({call["id"] for call in answer.tool_calls} - {None, ""}) == 2
    assert (answer.content, answer.response_metadata["finish_reason"]) == ("", "tool_calls")
    assert record_of(answer)["route"] == "edge"


def test_a_call_is_made_and_its_result_read() -> None:
    """As an agent goes on: the tool runs on what the edge wrote, and the edge is told in OpenAI's form what it gave."""
    model = routed(calling(("add", '{"a": 1, "b": 2}')))
    answer = model.bind_tools([add]).invoke(QUESTION)
    result = add.invoke(answer.tool_calls[0])
    assert (result.content, result.tool_call_id) == ("3", answer.tool_calls[0]["id"])
    again = model.bind_tools([add]).invoke([HumanMessage(QUESTION), answer, result])
    assert record_of(again)["route"] == "edge"
    _, told, given = model.edge.requests[-1][0]
    assert told["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a": 1, "b": 2}'}
    assert given == {"role": "tool", "content": "3", "tool_call_id": result.tool_call_id}


@pytest.mark.parametrize("sure", [True, False])
def test_an_agent_works_on_either(sure: bool) -> None:
    """LangChain's own agent runs the tool that the edge, or the cloud in its place, called, and hands back the sum."""
    agents = pytest.importorskip("langchain.agents")
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "1"}

    class Cloud(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **_: Any) -> Any:
            return self

    cloud = Cloud(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("The cloud says 3.")]))

    class Edge(ScriptedEngine):
        def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
            answered = messages[-1]["role"] == "tool"
            said = Sample(text="It is 3.") if answered else calling(("add", '{"a": 1, "b": 2}'))
            others = [Sample(text=word) for word in "One Two Three Four Five Six".split()]
            self.script = {QUESTION: (said, [said] if sure else others)}
            return super().generate(messages, n=n, options=options)

    model = ConfidenceRoutedChatModel(edge=Edge({}, tools=True), cloud=cloud)
    _, called, result, answer = agents.create_agent(model, [add]).invoke({"messages": [("user", QUESTION)]})["messages"]
    assert [record_of(message)["route"] for message in (called, answer)] == ["edge" if sure else "cloud"] * 2
    assert result.content == "3"
    assert answer.content == ("It is 3." if sure else "The cloud says 3.")


def test_blocks_that_repeat_the_calls_are_no_obstacle() -> None:
    """Anthropic's messages have each call in the content, too."""
    model = routed(Sample(text="3"))
    use = {"type": "tool_use", "id": "1", "name": "add", "input": {"a": 1, "b": 2}}
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "1"}
    earlier = AIMessage([{"type": "text", "text": "Hm."}, use], tool_calls=[call])
    answer = model.invoke([HumanMessage(QUESTION), earlier, ToolMessage("3", tool_call_id="1")])
    assert record_of(answer)["route"] == "edge"
    read = model.edge.requests[0][0][1]
    assert (read["content"], [call["id"] for call in read["tool_calls"]]) == ("Hm.", ["1"])


def test_a_wrong_call_is_the_cloud_s(ask: Any) -> None:
    """One that is not of the tool's schema is not handed to the caller, and the cloud has the tools in its own form."""
    cloud = ScriptedCloud()
    answer = ask(routed(calling(("add", '{"a": "one"}')), cloud).bind_tools([add]), QUESTION)
    assert record_of(answer)["reason"] == "edge_error"
    assert cloud.seen[0][1]["tools"][0]["function"]["name"] == "add"


def test_a_tool_that_there_is_not_cannot_be_chosen() -> None:
    """The cloud is to say what is wrong with it."""
    model = routed(calling(("add", "{}")))
    assert record_of(model.bind_tools([add], tool_choice="sub").invoke(QUESTION))["reason"] == "unsupported"
    assert model.edge.requests == []


@pytest.mark.parametrize(("calls", "route"), [(1, "edge"), (2, "cloud")])
def test_no_more_than_one_call_where_only_one_is_wanted(calls: int, route: str) -> None:
    """``parallel_tool_calls=False``: an edge that makes several at once is not heard."""
    model = routed(calling(*[("add", '{"a": 1, "b": 2}')] * calls))
    assert record_of(model.bind_tools([add], parallel_tool_calls=False).invoke(QUESTION))["route"] == route
    assert record_of(model.bind_tools([add]).invoke(QUESTION))["route"] == "edge"


def test_structured_output_by_a_call_of_the_edge() -> None:
    """LangChain's default way, which has to call; parsed as LangChain parses it."""

    class Total(BaseModel):
        """A sum."""

        value: int

    model = routed(calling(("Total", '{"value": 3}')))
    assert model.with_structured_output(Total).invoke(QUESTION) == Total(value=3)
    assert {options.must_call for _, _, options in model.edge.requests} == {True}


def add_one(request: Request) -> Reply:
    status, body = completion([""])
    function = {"name": request["tools"][0]["function"]["name"], "arguments": '{"a": 1, "b": 1}'}
    body["choices"][0]["message"]["tool_calls"] = [{"id": "1", "type": "function", "function": function}]
    return status, body


def test_a_chat_model_as_the_edge_calls_tools() -> None:
    """With the tools in its own form, and a call it has to make in its own word for it."""
    pytest.importorskip("langchain_openai")
    function = {"name": "add", "parameters": add.get_input_jsonschema()}
    options = SamplingOptions(tools=({"type": "function", "function": function},), must_call=True)
    ask = [{"role": "user", "content": QUESTION}]
    with serving(add_one) as server:
        generation = ChatModelEdge(chat(server.url)).generate(ask, n=2, options=options)
        assert [sample.tool_calls for sample in generation.samples] == [
            (ToolCall(name="add", arguments='{"a": 1, "b": 1}'),)
        ] * 2
        assert (server.asked[0]["tools"][0]["function"]["name"], server.asked[0]["tool_choice"]) == ("add", "required")
    with serving() as server, pytest.raises(UnsupportedRequestError, match="where it has to"):
        ChatModelEdge(chat(server.url)).generate(ask, n=2, options=options)
    with pytest.raises(UnsupportedRequestError, match="calls no tools"):
        ChatModelEdge(FakeListChatModel(responses=["3"])).generate(ask, n=1, options=options)


@pytest.mark.parametrize("role", ["system", "developer"])
def test_plain_messages_are_read_as_among_others(role: str) -> None:
    """The short way for messages of plain text gives what LangChain's own converter does, and the edge one name for
    the system's."""
    plain = [
        SystemMessage("Be brief.", additional_kwargs={"__openai_role__": role}),
        HumanMessage(QUESTION, name="Ada"),
    ]
    assert read(plain) == read([*plain, AIMessage("3")])[:2]
    assert read(plain)[0] == {"role": "system", "content": "Be brief."}


class Around(Scripted):
    """Gives, for tools, what *way* makes of a copy that knows them."""

    way: Any
    tools: list[Any] | None = None
    knew: list[Any] = Field(default_factory=list[Any])

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.way(self.model_copy(update={"tools": tools}))

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        self.knew.append((self.tools, kwargs))
        call = {"name": "add", "args": {"a": 1, "b": 1}, "id": "1"}
        return ChatResult(generations=[ChatGeneration(message=AIMessage("", tool_calls=[call] if self.tools else []))])


@pytest.mark.parametrize("ask", [asked, awaited])
@pytest.mark.parametrize(
    "way",
    [lambda model: model, lambda model: model.bind(user="me"), lambda model: RunnableLambda(lambda said: said) | model],
)
def test_a_chat_model_may_give_another_for_tools(ask: Any, way: Any) -> None:
    """Which is asked then: the tools are nowhere else."""
    tools = ({"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}},)
    model = Around(answer=str, way=way)
    generation = ask(ChatModelEdge(model), 2, SamplingOptions(tools=tools))
    assert [[call.name for call in sample.tool_calls] for sample in generation.samples] == [["add"]] * 2
