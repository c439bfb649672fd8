"""Tools of a LlamaIndex LLM that is the edge, asked over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import FunctionTool
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI
from llama_index.llms.openai_like import OpenAILike

from confroute import SamplingOptions
from confroute.errors import UnsupportedRequestError
from confroute.records import Generation, Message, ToolCall
from confroute_llamaindex import ConfidenceRoutedLLM
from confroute_llamaindex.edge import LLMEdge
from tests.edge.scripted_ollama import ollama
from tests.edge.scripted_server import Reply, Request, completion, serving
from tests.llamaindex.test_edge import llm
from tests.llamaindex.test_functions import agent_test

PARAMETERS = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"$ref": "#/$defs/b"}},
    "$defs": {"b": {"enum": [1, 2]}},
    "required": ["a", "b"],
}
OPTIONS = SamplingOptions(
    tools=({"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": PARAMETERS}},)
)
MUST = SamplingOptions(tools=OPTIONS.tools, must_call=True)
QUESTION: list[Message] = [{"role": "user", "content": "What is 1 + 2?"}]
CALL = {"function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}, "id": "c1", "type": "function"}
ANSWERED: list[Message] = [
    *QUESTION,
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "3", "tool_call_id": "c1"},
]


def calls_once(request: Request) -> Reply:
    """A call, and an answer to what it gave."""
    status, body = completion(["It is 3."])
    if request["messages"][-1]["role"] != "tool":
        body["choices"][0]["message"] = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    return status, body


def asked(edge: LLMEdge, messages: list[Message], options: SamplingOptions) -> Generation:
    return edge.generate(messages, n=2, options=options)


def awaited(edge: LLMEdge, messages: list[Message], options: SamplingOptions) -> Generation:
    return asyncio.run(edge.agenerate(messages, n=2, options=options))


ways = pytest.mark.parametrize("ask", [asked, awaited])
Ask = Callable[[LLMEdge, list[Message], SamplingOptions], Generation]


def calling(url: str, **settings: Any) -> LLMEdge:
    return LLMEdge(llm(url, is_function_calling_model=True, **settings))


class KeepsCallsAside(OpenAILike):
    """As integrations do that were written before there were blocks for calls: it alone knows where they are."""

    def _validate_chat_with_tools_response(self, response: ChatResponse, tools: Any, **kwargs: Any) -> ChatResponse:
        blocks = response.message.blocks
        response.message.additional_kwargs["aside"] = [each for each in blocks if isinstance(each, ToolCallBlock)]
        response.message.additional_kwargs.pop("tool_calls", None)
        response.message.blocks = [each for each in blocks if not isinstance(each, ToolCallBlock)]
        return response

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        aside = response.message.additional_kwargs["aside"]
        if not aside and error_on_no_tool_call:
            raise ValueError
        return [
            ToolSelection(tool_id="c", tool_name=each.tool_name, tool_kwargs=json.loads(each.tool_kwargs))
            for each in aside
        ]


@ways
def test_calls_that_only_the_integration_can_read(ask: Ask) -> None:
    """Calls outside of a message's blocks are read as the integration reads them; that there are none is no error."""
    with serving(calls_once) as server:
        edge = calling(server.url, kind=KeepsCallsAside)
        for messages, calls in ((QUESTION, (ToolCall(name="add", arguments='{"a": 1, "b": 2}'),)), (ANSWERED, ())):
            samples = ask(edge, messages, OPTIONS).samples
            assert [sample.tool_calls for sample in samples] == [calls] * 2


@ways
def test_its_calls_are_read(ask: Ask) -> None:
    """The tools are shown with the parameters that the caller gave, and a call that has to be made is asked for."""
    with serving(calls_once) as server:
        for options, choice in ((OPTIONS, "auto"), (MUST, "required")):
            samples = ask(calling(server.url), QUESTION, options).samples
            assert [sample.tool_calls for sample in samples] == [
                (ToolCall(name="add", arguments='{"a": 1, "b": 2}'),)
            ] * 2
            (shown,) = server.asked[-1]["tools"]
            assert shown["function"]["parameters"].items() >= PARAMETERS.items()
            assert (shown["function"]["name"], shown["function"]["description"]) == ("add", "Adds.")
            assert server.asked[-1]["tool_choice"] == choice


@ways
def test_earlier_calls_reach_it(ask: Ask) -> None:
    """With what they gave, each by its name."""
    with serving(calls_once) as server:
        samples = ask(calling(server.url), ANSWERED, OPTIONS).samples
        assert [(sample.text, sample.tool_calls) for sample in samples] == [("It is 3.", ())] * 2
        _, called, gave = server.asked[0]["messages"]
    assert [each["function"]["name"] for each in called["tool_calls"]] == ["add"]
    assert called["tool_calls"][0]["id"] == gave["tool_call_id"] == "c1"
    assert gave["content"] == "3"


@ways
def test_ollama_calls(ask: Ask) -> None:
    """Whose arguments are objects, and which cannot be told that a call has to be made."""
    call = {"function": {"name": "add", "arguments": {"a": 1, "b": 2}}}
    with ollama("", tool_calls=[call]) as server:
        edge = LLMEdge(Ollama(model="small", base_url=server.url))
        samples = ask(edge, ANSWERED, MUST).samples
        assert [sample.tool_calls for sample in samples] == [(ToolCall(name="add", arguments='{"a": 1, "b": 2}'),)] * 2
        chat = server.chats[0]
    assert chat["tools"][0]["function"]["parameters"]["properties"]["a"] == {"type": "integer"}
    assert [message["role"] for message in chat["messages"]] == ["user", "assistant", "tool"]
    assert chat["messages"][1]["tool_calls"] == [call]
    with ollama() as server, pytest.raises(UnsupportedRequestError, match="where it has to"):
        ask(LLMEdge(Ollama(model="small", base_url=server.url)), QUESTION, MUST)


@ways
def test_one_that_calls_no_functions_is_not_asked(ask: Ask) -> None:
    """Nothing is sent; the router escalates such a request."""
    with serving(calls_once) as server:
        with pytest.raises(UnsupportedRequestError, match="calls no tools"):
            ask(LLMEdge(llm(server.url)), QUESTION, OPTIONS)
        assert server.asked == []


@agent_test
def test_an_agent_works_on_it() -> None:
    """LlamaIndex's FunctionAgent, with an LLM as the edge that is sure of its calls."""

    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    with serving(calls_once) as server, serving() as elsewhere:
        edge = llm(server.url, is_function_calling_model=True)
        cloud = OpenAI(model="gpt-4o-mini", api_base=elsewhere.url, api_key="none")
        routed = ConfidenceRoutedLLM(edge=edge, cloud=cloud)
        agent = FunctionAgent(tools=[FunctionTool.from_defaults(fn=add)], llm=routed, streaming=False)
        assert str(asyncio.run(_finished(agent))) == "It is 3."
        assert elsewhere.asked == []


async def _finished(agent: FunctionAgent) -> Any:
    return await agent.run("What is 1 + 2?")
