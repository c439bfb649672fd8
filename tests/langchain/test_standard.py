"""LangChain's own test suites over a scripted edge and cloud, accepting and escalating."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

pytest.importorskip("langchain_tests")

from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from confroute.records import Generation, Sample, ToolCall
from confroute.testing import says
from confroute_langchain import ConfidenceRoutedChatModel
from tests.langchain.scripted import ScriptedCloud


class AnyEdge:
    """Answers every question alike, with samples that all agree or all differ."""

    model = "any-edge"
    tools = True

    def __init__(self, *, sure: bool) -> None:
        self.sure = sure

    def generate(self, messages: Any, *, n: int, options: Any) -> Generation:
        words = ["Paris"] if n == 1 or self.sure else ["Lyon", "Rome"]
        text = [words[i % len(words)] for i in range(n)]
        if options.stop:
            text = [word.split(options.stop[0])[0] or "P" for word in text]
        answered = any(message["role"] == "tool" for message in messages)
        if self.sure and options.tools and (options.must_call or not answered):
            return Generation(samples=(_calling(options.tools),) * n, input_tokens=5)
        return Generation(samples=tuple(says(word) for word in text), input_tokens=5)


def _calling(tools: Any) -> Sample:
    function = tools[0]["function"]
    return Sample(
        text="",
        tool_calls=(ToolCall(name=function["name"], arguments=json.dumps(_arguments(function))),),
        output_tokens=4,
    )


def _arguments(function: Mapping[str, Any]) -> dict[str, Any]:
    examples = {"integer": 3, "number": 3.0, "string": "你好啊集团, こんにちは株式会社", "boolean": True}
    return {
        name: 3 if name == "input" and schema.get("type") == "integer" else examples.get(schema.get("type"), "x")
        for name, schema in function["parameters"].get("properties", {}).items()
    }


class ToolCloud(ScriptedCloud):
    """Calls the first tool it is given, with arguments made from the tool's schema."""

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        answered = any(message.type == "tool" for message in messages)
        if not kwargs.get("tools") or (answered and kwargs.get("tool_choice") is None):
            return super()._generate(messages, stop, run_manager, **kwargs)
        return ChatResult(generations=[ChatGeneration(message=self._call(kwargs))])

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        from langchain_core.messages import AIMessageChunk
        from langchain_core.outputs import ChatGenerationChunk

        answered = any(message.type == "tool" for message in messages)
        if not kwargs.get("tools") or (answered and kwargs.get("tool_choice") is None):
            yield from super()._stream(messages, stop, run_manager, **kwargs)
            return
        call = self._call(kwargs)
        chunk = AIMessageChunk(
            content="",
            usage_metadata=call.usage_metadata,
            response_metadata=call.response_metadata,
            tool_call_chunks=[
                {"name": c["name"], "args": json.dumps(c["args"]), "id": c["id"], "index": i}
                for i, c in enumerate(call.tool_calls)
            ],
        )
        yield ChatGenerationChunk(message=chunk)

    def _call(self, kwargs: dict[str, Any]) -> AIMessage:
        choice = kwargs.get("tool_choice")
        tools = [tool["function"] for tool in kwargs["tools"]]
        tool = next((tool for tool in tools if tool["name"] == choice), tools[0])
        return AIMessage(
            content="",
            tool_calls=[{"name": tool["name"], "args": _arguments(tool), "id": "call_1", "type": "tool_call"}],
            usage_metadata={"input_tokens": 11, "output_tokens": 4, "total_tokens": 15},
            response_metadata={"model_name": "scripted-cloud"},
        )


class _Routed:
    sure = True

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ConfidenceRoutedChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"edge": AnyEdge(sure=self.sure), "cloud": ToolCloud()}


class TestUnit(_Routed, ChatModelUnitTests):
    """The unit battery."""

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        return {"temperature": 0.0, "max_tokens": 100, "stop": []}


class TestServedByTheEdge(_Routed, ChatModelIntegrationTests):
    """The integration battery where the edge is always sure."""


class TestEscalated(_Routed, ChatModelIntegrationTests):
    """The integration battery where the edge never is."""

    sure = False
