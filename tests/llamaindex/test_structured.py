"""Objects of a class, and answers that a parser is to read, whatever the cloud can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import CustomLLM
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import QueryBundle
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools.types import ToolMetadata
from llama_index.llms.ollama import Ollama
from pydantic import BaseModel, Field, field_validator

from confroute.records import Sample, ToolCall
from confroute.testing import ScriptedEngine
from confroute_llamaindex import ConfidenceRoutedLLM, ConfidenceRoutingEvent
from tests.llamaindex.conftest import Anything

PROMPT = PromptTemplate("Which city is the capital of {x}?")
FROM_EDGE = '{"name": "Lyon"}'


class City(BaseModel):
    """A city."""

    name: str


class Capital(City):
    """With a rule that no JSON schema tells."""

    @field_validator("name")
    @classmethod
    def is_capital(cls, name: str) -> str:
        if name != "Paris":
            raise ValueError(name)
        return name


class Texts(CustomLLM):
    """Calls no functions, and says *answer*."""

    answer: str = '{"name": "Paris"}'

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="texts", is_chat_model=True)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=self.answer)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        yield CompletionResponse(text=self.answer, delta=self.answer)


class Client:
    """Ollama's: it answers in prose unless it is held to a format, and cannot be made to call."""

    def chat(self, format: Any = None, stream: bool = False, **kwargs: Any) -> Any:  # noqa: A002 - Ollama's word
        said = '{"name": "Paris"}' if format else "It is Paris."
        answer = {"message": {"role": "assistant", "content": said}, "done": True}
        return [answer] if stream else answer


class AsyncClient(Client):
    async def chat(self, **kwargs: Any) -> Any:
        answer = super().chat(**kwargs)
        if not kwargs.get("stream"):
            return answer

        async def chunks() -> Any:
            for each in answer:
                yield each

        return chunks()


def ollama() -> Ollama:
    return Ollama(model="m", context_window=4096, client=Client(), async_client=AsyncClient())


def engine(answer: str | Sample = FROM_EDGE, *, sure: bool = True, **settings: Any) -> ScriptedEngine:
    return ScriptedEngine(Anything((answer, [answer] if sure else ["Rome", "Oslo"])), **settings)


async def predicted(llm: Any, output_cls: type[BaseModel] = City) -> list[Any]:
    """Each way to an object, and where it is streamed, the last."""
    *_, streamed = llm.stream_structured_predict(output_cls, PROMPT, x="France")
    *_, astreamed = [each async for each in await llm.astream_structured_predict(output_cls, PROMPT, x="France")]
    return [
        llm.structured_predict(output_cls, PROMPT, x="France"),
        await llm.astructured_predict(output_cls, PROMPT, {}, x="France"),
        output_cls(**streamed.model_dump()),
        output_cls(**astreamed.model_dump()),
        llm.as_structured_llm(output_cls).complete("Capital of France?").raw,
        (await llm.as_structured_llm(output_cls).achat([ChatMessage("Capital of France?")])).raw,
    ]


def routes(events: list[Any]) -> set[str]:
    return {event.route for event in events if isinstance(event, ConfidenceRoutingEvent)}


clouds = pytest.mark.parametrize("cloud", [Texts, ollama])


@clouds
@pytest.mark.parametrize(
    "edge",
    [engine(), engine(sure=False, json_schema=True), engine("prose", json_schema=True), engine("prose", tools=True)],
    ids=["prose only", "unsure", "invalid", "does not call"],
)
async def test_the_cloud_predicts_in_its_own_way(cloud: Callable[[], Any], edge: Any, events: list[Any]) -> None:
    """Where the edge cannot be held to a schema, is not sure, or fails."""
    assert await predicted(ConfidenceRoutedLLM(edge=edge, cloud=cloud())) == [City(name="Paris")] * 6
    assert routes(events) == {"cloud"}


@clouds
async def test_the_edge_predicts(cloud: Callable[[], Any], events: list[Any]) -> None:
    """Held to the class's JSON schema while it writes."""
    edge = engine(json_schema=True)
    assert await predicted(ConfidenceRoutedLLM(edge=edge, cloud=cloud())) == [City(name="Lyon")] * 6
    assert routes(events) == {"edge"}
    assert {str(options.json_schema) for _, _, options in edge.requests} == {str(City.model_json_schema())}


@clouds
async def test_the_edge_calls(cloud: Callable[[], Any], events: list[Any]) -> None:
    """One that knows tools but no schemas makes an object by a call."""
    call = Sample(text="", tool_calls=(ToolCall(name="City", arguments=FROM_EDGE),), output_tokens=5)
    edge = engine(call, tools=True)
    assert await predicted(ConfidenceRoutedLLM(edge=edge, cloud=cloud())) == [City(name="Lyon")] * 6
    assert routes(events) == {"edge"}


@clouds
async def test_an_object_that_its_class_refuses_is_escalated(cloud: Callable[[], Any], events: list[Any]) -> None:
    """However sure the edge is of it."""
    llm = ConfidenceRoutedLLM(edge=engine(json_schema=True), cloud=cloud())
    assert await predicted(llm, Capital) == [Capital(name="Paris")] * 6
    (reason,) = {event.reason for event in events if isinstance(event, ConfidenceRoutingEvent)}
    assert reason == "edge_error"


async def test_the_caller_sees_one_answer(settings: Any) -> None:
    """Not the cloud's steps to it besides, if its handlers are the global ones."""
    counter = TokenCountingHandler(tokenizer=str.split)
    cloud = Texts(callback_manager=CallbackManager())
    settings.callback_manager = CallbackManager([counter])
    llm = ConfidenceRoutedLLM(edge=engine(), cloud=cloud)
    assert llm.structured_predict(City, PROMPT, x="France") == City(name="Paris")
    assert len(counter.llm_token_counts) == 1


async def test_the_system_prompt_is_sent_once() -> None:
    """The cloud's own method adds the cloud's own."""

    class Remembering(Texts):
        seen: list[str] = Field(default_factory=list[str])

        def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
            self.seen.append(prompt)
            return super().complete(prompt, formatted, **kwargs)

    for given, expected in (({}, "In German."), ({"system_prompt": "In French."}, "In French.")):
        cloud = Remembering(system_prompt="In German.")
        edge = engine(sure=False, json_schema=True)
        ConfidenceRoutedLLM(edge=edge, cloud=cloud, **given).structured_predict(City, PROMPT, x="France")
        assert cloud.seen[0].count(expected) == 1
        assert [message["content"] for message in edge.requests[0][0] if message["role"] == "system"] == [expected]


def test_a_choice_that_cannot_be_read_is_escalated() -> None:
    """A selector of LlamaIndex parses what `predict` says: the edge's sure "(1)" is none of its JSON."""
    cloud = Texts(answer='[{"choice": 2, "reason": "x"}]')
    choices = [ToolMetadata(name=name, description=name) for name in "ab"]
    for said, chosen in (("(1)", 1), ('[{"choice": 1, "reason": "x"}]', 0)):
        llm = ConfidenceRoutedLLM(edge=engine(said), cloud=cloud)
        selector = LLMSingleSelector.from_defaults(llm=llm)
        assert selector.select(choices, QueryBundle("?")).ind == chosen


async def test_an_output_parser_is_heeded(events: list[Any]) -> None:
    """That of the LLM, or of its cloud: an answer of the edge's that it cannot read is never served."""
    for said, name, route in (("Lyon", "Paris", "cloud"), (FROM_EDGE, "Lyon", "edge")):
        llm = ConfidenceRoutedLLM(edge=engine(said), cloud=Texts(output_parser=PydanticOutputParser(City)))
        events.clear()
        assert name in llm.predict(PROMPT, x="France")
        assert name in await llm.apredict(PROMPT, x="France")
        assert routes(events) == {route}


def test_nothing_of_the_answer_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A parser's error quotes what it could not read."""
    seen: list[Any] = []
    llm = ConfidenceRoutedLLM(edge=engine("sk-secret"), cloud=Texts(), hooks=[seen.append])
    llm.predict(PromptTemplate("Which city?", output_parser=PydanticOutputParser(City)))
    assert seen[0].error == "ModelError"
    assert "sk-secret" not in caplog.text


def test_an_object_without_a_schema_is_the_clouds() -> None:
    """A class that pydantic cannot tell the JSON schema of."""

    class Odd(BaseModel):
        read: Callable[[], int]

    class Own(Texts):
        def structured_predict(self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any) -> Any:
            return output_cls(read=int)

    llm = ConfidenceRoutedLLM(edge=engine(json_schema=True), cloud=Own())
    assert llm.structured_predict(Odd, PROMPT, x="France").read() == 0


def test_the_cloud_gets_the_calls_arguments(cloud: Any) -> None:
    """In a mapping of its own, into which integrations write."""
    seen: list[dict[str, Any]] = []

    class Own(Texts):
        def structured_predict(self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any) -> Any:
            seen.append(dict(llm_kwargs))
            llm_kwargs["format"] = "json"
            return output_cls(name="Paris")

    given = {"top_k": 3}
    llm = ConfidenceRoutedLLM(edge=engine(), cloud=Own())
    assert llm.structured_predict(City, PROMPT, given, x="France") == City(name="Paris")
    assert (seen, given) == ([{"top_k": 3}], {"top_k": 3})


def test_chats_are_not_read(routed: Any) -> None:
    """What a caller does with the answer of `chat` is not known: an output parser is only for prompts."""
    llm = routed("edge", output_parser=PydanticOutputParser(City))
    response = llm.chat([ChatMessage("Capital of France?")])
    assert isinstance(response, ChatResponse)
    assert response.message.content == "Paris"
