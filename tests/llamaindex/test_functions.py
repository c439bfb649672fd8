"""Tools by LlamaIndex's own ways: `chat_with_tools`, `predict_and_call`, agents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms import MockLLM
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from confroute import ConfigurationError
from confroute.records import Generation, Message, Sample, SamplingOptions, ToolCall
from confroute.testing import ScriptedEngine
from confroute_llamaindex import ConfidenceRoutedLLM
from tests.edge.scripted_server import Reply, Request, ScriptedServer, completion, serving
from tests.llamaindex.test_structured import ollama

QUESTION = "What is 1 + 2?"


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


ADD = FunctionTool.from_defaults(fn=add)


def calling(*calls: tuple[str, str]) -> Sample:
    made = tuple(ToolCall(name=name, arguments=arguments) for name, arguments in calls)
    return Sample(text="", tool_calls=made, output_tokens=9, finish_reason="tool_calls")


SUM = calling(("add", '{"a": 1, "b": 2}'))


class Edge(ScriptedEngine):
    """Makes *calls*, and says *then* to who tells it what they gave; its samples are the same, or no two are."""

    def __init__(self, calls: Sample, then: str = "It is 3.", *, sure: bool = True) -> None:
        super().__init__({}, tools=True)
        self._calls, self._then = calls, Sample(text=then, output_tokens=4)
        self._sure = sure

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        said = self._then if messages[-1]["role"] == "tool" else self._calls
        others = [Sample(text=f"{word} it is", output_tokens=3) for word in "One Two Three Four Five Six".split()]
        self.script = {QUESTION: (said, [said] if self._sure else others)}
        return super().generate(messages, n=n, options=options)


def called_by_the_cloud(request: Request) -> Reply:
    """As OpenAI: a call where tools are offered and nothing was called yet."""
    status, body = completion(["The cloud says 3."])
    if request["messages"][-1]["role"] != "tool":
        call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
        body["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": [call]}
    return status, {"id": "1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini", **body}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with serving(called_by_the_cloud) as running:
        yield running


def routed(server: ScriptedServer, edge: Edge) -> ConfidenceRoutedLLM:
    # Each request closes its connection.
    cloud = OpenAI(model="gpt-4o-mini", api_base=server.url, api_key="none", max_retries=0, reuse_client=False)
    return ConfidenceRoutedLLM(edge=edge, cloud=cloud)


def route_of(response: ChatResponse) -> str:
    return response.additional_kwargs["confidence_routing"]["route"]


# LlamaIndex's workflows look at all attributes of an agent, pydantic's old ones included.
agent_test = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")


@pytest.mark.parametrize(("sure", "route"), [(True, "edge"), (False, "cloud")])
async def test_chat_with_tools(server: ScriptedServer, sure: bool, route: str) -> None:
    """Whichever of the two answers, sync and async, its calls are read in one way."""
    llm = routed(server, Edge(SUM, sure=sure))
    for response in (
        llm.chat_with_tools([ADD], user_msg=QUESTION),
        await llm.achat_with_tools([ADD], user_msg=QUESTION),
    ):
        assert route_of(response) == route
        (call,) = llm.get_tool_calls_from_response(response)
        assert (call.tool_name, call.tool_kwargs) == ("add", {"a": 1, "b": 2})
        assert call.tool_id


async def test_streamed_calls(server: ScriptedServer) -> None:
    """The last chunk of a stream has the edge's calls."""
    llm = routed(server, Edge(SUM))
    *_, last = llm.stream_chat_with_tools([ADD], user_msg=QUESTION)
    *_, alast = [chunk async for chunk in await llm.astream_chat_with_tools([ADD], user_msg=QUESTION)]
    for chunk in (last, alast):
        assert [call.tool_kwargs for call in llm.get_tool_calls_from_response(chunk)] == [{"a": 1, "b": 2}]
    assert server.answered == []


@agent_test
@pytest.mark.parametrize(("sure", "answer"), [(True, "It is 3."), (False, "The cloud says 3.")])
async def test_an_agent_works_on_either(server: ScriptedServer, sure: bool, answer: str) -> None:
    """LlamaIndex's FunctionAgent runs the tool that was called, and hands back what it gave."""
    edge = Edge(SUM, sure=sure)
    agent = FunctionAgent(tools=[ADD], llm=routed(server, edge), streaming=False)
    assert str(await agent.run(QUESTION)) == answer
    told = edge.requests[-1][0][-1]
    assert (told["role"], told["content"]) == ("tool", "3")
    assert len(server.answered) == (0 if sure else 2)


@agent_test
async def test_an_agent_streams_from_the_edge(server: ScriptedServer) -> None:
    """As it does by default."""
    assert str(await FunctionAgent(tools=[ADD], llm=routed(server, Edge(SUM))).run(QUESTION)) == "It is 3."
    assert server.answered == []


@agent_test
async def test_an_agent_streams_from_the_cloud() -> None:
    """Where the edge is not sure, the calls are in the cloud's chunks."""

    def answering(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
        if messages[-1].role == "tool":
            return ChatMessage(role="assistant", content="The cloud says 3.")
        call = ToolCallBlock(tool_call_id="1", tool_name="add", tool_kwargs={"a": 1, "b": 2})
        return ChatMessage(role="assistant", blocks=[call])

    edge = Edge(SUM, sure=False)
    llm = ConfidenceRoutedLLM(edge=edge, cloud=MockFunctionCallingLLM(response_generator=answering))
    assert str(await FunctionAgent(tools=[ADD], llm=llm).run(QUESTION)) == "The cloud says 3."


def test_structured_predict_has_to_call(server: ScriptedServer) -> None:
    """LlamaIndex's way to an object is a call that has to be made, of the edge as of the cloud."""

    class Total(BaseModel):
        """A sum."""

        value: int

    edge = Edge(calling(("Total", '{"value": 3}')))
    predicted = routed(server, edge).structured_predict(Total, PromptTemplate(QUESTION))
    assert predicted == Total(value=3)
    assert {options.must_call for _, _, options in edge.requests} == {True}
    assert server.answered == []


def test_a_call_that_has_to_be_made_is_told_to_the_edge() -> None:
    """Also where the cloud's integration, as Ollama's, does not say so: the edge's words are no call."""
    for calls, route in ((SUM, "edge"), (Sample(text="Three.", output_tokens=2), "cloud")):
        edge = Edge(calls)
        llm = ConfidenceRoutedLLM(edge=edge, cloud=ollama())
        assert route_of(llm.chat_with_tools([ADD], user_msg=QUESTION, tool_required=True)) == route
        assert edge.requests[0][2].must_call


def test_one_call_at_most_unless_more_are_allowed(server: ScriptedServer) -> None:
    """By default `chat_with_tools` allows one: an edge that makes two at once is not heard."""
    two = calling(("add", '{"a": 1, "b": 2}'), ("add", '{"a": 3, "b": 4}'))
    llm = routed(server, Edge(two))
    assert route_of(llm.chat_with_tools([ADD], user_msg=QUESTION)) == "cloud"
    both = llm.chat_with_tools([ADD], user_msg=QUESTION, allow_parallel_tool_calls=True)
    assert route_of(both) == "edge"
    assert [call.tool_kwargs["a"] for call in llm.get_tool_calls_from_response(both)] == [1, 3]


def test_no_call_where_one_is_expected(server: ScriptedServer) -> None:
    """The edge's words are no call: LlamaIndex's own error, or an empty list where none has to be."""
    llm = routed(server, Edge(Sample(text="Three.", output_tokens=2)))
    response = llm.chat_with_tools([ADD], user_msg=QUESTION)
    assert route_of(response) == "edge"
    assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="no tool"):
        llm.get_tool_calls_from_response(response)


def test_a_cloud_that_calls_no_functions() -> None:
    """Then this LLM is none that does, and says so where it is taken for one."""
    llm = ConfidenceRoutedLLM(edge=Edge(SUM), cloud=MockLLM())
    assert not llm.metadata.is_function_calling_model
    with pytest.raises(ConfigurationError, match="MockLLM"):
        llm.chat_with_tools([ADD], user_msg=QUESTION)
