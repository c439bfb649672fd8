"""JSON of a schema and tool calls, from the edge where it can and from the cloud where it cannot.

The edge is the real SmolLM2-135M, which can be held to a schema but was not made for tools. A model that was, such as
Qwen3, takes the tool requests, too: name it as the edge, on a server or on the Hub, and nothing else here changes. The
cloud is a scripted model that calls the tool; put ChatOpenAI(...) in its place.
"""

from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from pydantic import BaseModel

from confroute_langchain import ConfidenceRoutedChatModel


class Capital(BaseModel):
    """A country's capital."""

    city: str
    continent: Literal["Africa", "America", "Asia", "Europe"]


@tool
def weather(city: str) -> str:
    """The weather in a city now."""
    return f"12 degrees and rain in {city}"


class Cloud(BaseChatModel):
    """Answers each request in the form that it asks for."""

    @property
    def _llm_type(self) -> str:
        return "scripted-cloud"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=tools, **kwargs)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        call = {"name": "weather", "args": {"city": "Lima"}, "id": "1"}
        answer = (
            AIMessage("", tool_calls=[call])
            if "tools" in kwargs
            else AIMessage('{"city": "Thimphu", "continent": "Asia"}')
        )
        return ChatResult(generations=[ChatGeneration(message=answer)])


model = ConfidenceRoutedChatModel(edge="smollm2-135m", cloud=Cloud())

# Held to the schema while it writes; samples of other values escalate, and so does JSON that is not of the schema.
# Agreement is not truth: so small a model says "Bhutan" for Bhutan's capital each time it is asked.
structured = model.with_structured_output(Capital, method="json_schema", include_raw=True)
for country in ("France", "Bhutan"):
    answer = structured.invoke(f"What is the capital of {country}, and on which continent is it?")
    record = answer["raw"].response_metadata["confidence_routing"]
    print(f"{answer['parsed']!r}  [{record['route']}: {record['reason']}, confidence {record['confidence']}]")
    assert isinstance(answer["parsed"], Capital)

# The chat template of this edge model shows no tools, so the cloud is asked at once. Of an edge that calls tools, a
# call is served if its samples agree on name and arguments, and never if these are not of the tool's schema.
message = model.bind_tools([weather]).invoke("What is the weather in Lima?")
record = message.response_metadata["confidence_routing"]
print(f"{weather.invoke(message.tool_calls[0]).content}  [{record['route']}: {record['reason']}]")
assert record["reason"] == "unsupported"
