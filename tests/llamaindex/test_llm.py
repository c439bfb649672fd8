"""Construction, serialisation and reading."""

import importlib
import inspect
import pickle
import sys
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import ValidationError
from llama_index.core.llms import LLM, MockLLM
from llama_index.llms.openai import OpenAI

from confroute import ConfigurationError, MeanLogprob, MissingExtraError, Price, Router, SamplingOptions
from confroute.edge.choices import response_format
from confroute.records import Sample, ToolCall
from confroute.testing import ScriptedEngine
from confroute_llamaindex import ConfidenceRoutedLLM
from confroute_llamaindex.cloud import LlamaIndexCloud, token_counts
from confroute_llamaindex.messages import read_request
from tests.llamaindex.conftest import Anything, ScriptedCloud

USER = ChatMessage(role="user", content="Capital?")


def test_metadata_is_the_clouds(routed: Any) -> None:
    """Sizes are the cloud's, and the name tells both models."""
    metadata = routed("edge").metadata
    assert (metadata.context_window, metadata.num_output, metadata.is_chat_model) == (5000, 100, True)
    assert metadata.model_name == "confroute: scripted-edge → big"


def test_a_cloud_without_a_name() -> None:
    """LlamaIndex's placeholder "unknown" is not passed off as a model's name."""
    assert LlamaIndexCloud(MockLLM(), [USER], {}).model == "MockLLM"


@pytest.mark.parametrize("cloud", [None, "sk-secret", LLM])
def test_cloud_must_be_an_llm(cloud: Any, confident: Any) -> None:
    """Anything but an LLM is refused at construction, with the fix and without the value."""
    with pytest.raises(ConfigurationError, match=r"cloud must be a LlamaIndex LLM.*cloud=OpenAI") as caught:
        ConfidenceRoutedLLM(edge=confident, cloud=cloud)
    assert "sk-secret" not in str(caught.value)


def test_router_settings_pass_through(routed: Any) -> None:
    """Each parameter of Router is a field, is handed on if given, and else keeps Router's own default."""
    parameters = inspect.signature(Router).parameters
    assert parameters.keys() <= ConfidenceRoutedLLM.model_fields.keys()
    seen: list[Any] = []
    price = Price(input_usd=1, output_usd=2)
    given: dict[str, Any] = {
        "estimator": MeanLogprob(),
        "threshold": 0.0,
        "samples": 3,
        "sampling_temperature": 0.9,
        "on_cloud_error": "edge",
        "edge_price": price,
        "cloud_price": price,
    }
    router = routed("edge", **given, hooks=[seen.append])._router
    assert {name: getattr(router, name) for name in given if name != "threshold"} | {"threshold": 0.0} == given
    assert router.policy.threshold == 0.0
    assert router.hooks == (seen.append,)
    plain, default = routed("edge")._router, Router(router.edge)
    for name in parameters.keys() - {"edge", "threshold"}:
        assert getattr(plain, name) == getattr(default, name)


@pytest.mark.parametrize("bad", [{"on_cloud_error": "ignore"}, {"samples": 1}, {"sampling_temperature": 0}])
def test_router_refuses_in_its_own_words(bad: dict[str, Any], routed: Any) -> None:
    """A setting that Router refuses is refused by Router's error, not by pydantic's."""
    with pytest.raises(ConfigurationError, match=next(iter(bad))):
        routed("edge", **bad)


def test_a_misspelt_setting_is_an_error(routed: Any) -> None:
    """An unknown setting is not ignored, and the error does not quote its value, which may be a key."""
    with pytest.raises(ConfigurationError, match='Did you mean "threshold"') as caught:
        routed("edge", treshold="sk-secret")
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "llamacpp"}, r"resolve_edge\(…, engine=…\)"),
        ({"estimator": "semantic_entropy"}, r"SemanticEntropy\(\), not 'semantic_entropy'"),
        ({"cloud_price": 3}, r"Price\(input_usd=…, output_usd=…\), not 3"),
        ({"samples": "x"}, "samples must be a whole number of at least 2, not 'x'"),
    ],
)
def test_a_wrong_type_is_told_in_our_words(settings: dict[str, Any], message: str, routed: Any) -> None:
    """What was given and what to give, not what pydantic looked for."""
    with pytest.raises(ConfigurationError, match=message):
        routed("edge", **settings)


def test_settings_are_frozen(routed: Any) -> None:
    """A setting cannot be changed behind the router's back; what LlamaIndex itself assigns still can."""
    llm = routed("edge")
    with pytest.raises(ValidationError, match="frozen"):
        llm.threshold = 0.1
    llm.callback_manager = llm.callback_manager


def test_no_key_leaves(confident: Any, events: list[Any]) -> None:
    """The cloud's key is in no dict, JSON, repr or event of ours."""
    llm = ConfidenceRoutedLLM(edge=confident, cloud=OpenAI(model="gpt-4o-mini", api_key="sk-secret"), threshold=0.5)
    llm.complete("Capital?")
    shown = [llm.to_dict(), llm.to_json(), repr(llm), str(llm), llm.to_payload(), *map(repr, events)]
    assert events
    assert not [text for text in map(str, shown) if "sk-secret" in text]


def test_pickling_loses_no_setting(routed: Any) -> None:
    """An LLM whose engine cannot be pickled refuses, instead of coming back with the default engine."""
    with pytest.raises(TypeError, match="edge"):
        pickle.dumps(routed("edge", cloud=MockLLM()))


@pytest.mark.parametrize("absent", ["llama_index", "llama_index.core"])
def test_missing_llama_index(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without llama-index-core the import fails with the command that installs it."""
    for name in [name for name in sys.modules if name.startswith(("confroute_llamaindex", "llama_index.core"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'confroute\[llamaindex\]'"):
        importlib.import_module("confroute_llamaindex")


ADD = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}


@pytest.mark.parametrize(
    ("message", "kwargs", "named"),
    [
        (USER, {"tools": [{"type": "function"}]}, "tools that are no functions"),
        (USER, {"functions": [{}]}, "functions"),
        (USER, {"response_format": {"type": "json_object"}}, "a response format that is no JSON schema"),
        (ChatMessage(role="user", blocks=[TextBlock(text="?"), ImageBlock(image=b"x")]), {}, "image block"),
        (ChatMessage(role="function", content="4"), {}, "function message"),
        (ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": [1]}), {}, "tool_calls"),
    ],
)
def test_beyond_the_edge(message: ChatMessage, kwargs: dict[str, Any], named: str, routed: Any, cloud: Any) -> None:
    """What the edge cannot do goes to the cloud as it is, without the edge being asked, and is named."""
    assert read_request([message], kwargs, SamplingOptions(), cloud=MockLLM()).unsupported == named
    llm = routed("edge")
    response = llm.chat([message, USER], **kwargs)
    assert response.additional_kwargs["confidence_routing"]["reason"] == "unsupported"
    assert llm._router.edge.requests == []
    assert cloud.received[0] == ([message, USER], kwargs)


def test_a_json_schema_is_for_the_edge_too() -> None:
    """As ``response_format``: what is asked of the edge has it, and it is nothing that goes beyond the edge."""
    schema = {"type": "object"}
    request = read_request(
        [USER], {"response_format": response_format(schema)}, SamplingOptions(max_tokens=5), cloud=MockLLM()
    )
    assert (request.unsupported, request.options) == (None, SamplingOptions(max_tokens=5, json_schema=schema))


@pytest.mark.parametrize("besides", [{}, {"tool_calls": ["the same call in OpenAI's own class"]}])
@pytest.mark.parametrize("arguments", [{"a": 3}, '{"a": 3}'])
def test_tool_turns_are_read(arguments: Any, besides: dict[str, Any]) -> None:
    """In OpenAI's form, whichever of its two forms LlamaIndex has the arguments in, and told twice or not."""
    call = ToolCallBlock(tool_call_id="1", tool_name="add", tool_kwargs=arguments)
    result = ChatMessage(role="tool", content="4", additional_kwargs={"tool_call_id": "1"})
    turn = ChatMessage(role="assistant", blocks=[call], additional_kwargs=besides)
    request = read_request([turn, result], {}, SamplingOptions(), cloud=MockLLM())
    function = {"name": "add", "arguments": '{"a": 3}'}
    assert request.unsupported is None
    assert request.messages == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "4", "tool_call_id": "1"},
    ]


@pytest.mark.parametrize("kwargs", [{"tools": None}, {"tools": []}, {"response_format": None}])
def test_empty_kwargs_ask_for_nothing(kwargs: dict[str, Any]) -> None:
    """Agents pass ``tools=[]`` for no tools; that must not make each request an escalation."""
    assert read_request([USER], kwargs, SamplingOptions(), cloud=MockLLM()).unsupported is None


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (ChatMessage(role="system", content="a"), {"role": "system", "content": "a"}),
        (ChatMessage(role=MessageRole.DEVELOPER, content="a"), {"role": "system", "content": "a"}),
        (ChatMessage(role=MessageRole.MODEL, content="a"), {"role": "assistant", "content": "a"}),
        (ChatMessage(role="user"), {"role": "user", "content": ""}),
        (ChatMessage(blocks=[TextBlock(text="a"), TextBlock(text="b")]), {"role": "user", "content": "a\nb"}),
        (
            ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm"), TextBlock(text="a")]),
            {"role": "assistant", "content": "a"},
        ),
        (
            ChatMessage(blocks=[TextBlock(text="a"), CachePoint(cache_control={"type": "ephemeral"})]),
            {"role": "user", "content": "a"},
        ),
    ],
)
def test_reading_a_message(message: ChatMessage, expected: dict[str, str]) -> None:
    """Role and text are read, and past thoughts and cache marks read over."""
    request = read_request([message], {}, SamplingOptions(), cloud=MockLLM())
    assert (request.messages, request.unsupported) == ([expected], None)


def test_a_calls_own_sampling_options(routed: Any) -> None:
    """A call's options override the LLM's, None leaves them, and what is not given is the core's default."""
    llm = routed("edge", max_tokens=20)
    llm.chat([USER])
    llm.chat([USER], temperature=0.3, top_p=0.9, max_tokens=5, stop="\n", seed=1)
    llm.chat([USER], max_tokens=None, stop=["a", "b"])
    options = [options for _, n, options in llm._router.edge.requests if n == 1]
    assert options == [
        SamplingOptions(max_tokens=20),
        SamplingOptions(temperature=0.3, top_p=0.9, max_tokens=5, stop=("\n",), seed=1),
        SamplingOptions(max_tokens=20, stop=("a", "b")),
    ]


@pytest.mark.parametrize(("prompt", "said"), [(0, "Paris"), (7, Sample(text="Paris"))])
async def test_usage_that_the_edge_does_not_tell_is_absent(prompt: int, said: Any, ask: Any) -> None:
    """As in the record it is None, so that token counters count by themselves, and a routed LLM's counts none."""
    llm = ConfidenceRoutedLLM(edge=ScriptedEngine(Anything((said, [said])), input_tokens=prompt), cloud=ScriptedCloud())
    for endpoint in ("chat", "astream_chat", "acomplete"):
        (response,) = await ask(llm, endpoint)
        assert response.additional_kwargs["confidence_routing"]["route"] == "edge"
        assert token_counts(response) == (None, None)
        assert "usage" not in response.raw


async def test_the_edge_s_calls_are_llamaindex_s() -> None:
    """Whole and streamed, sync and async: blocks with name, arguments and an id of their own."""
    call = ToolCall(name="add", arguments='{"a": 3}')
    answer = Sample(text="", tool_calls=(call,), output_tokens=9)
    engine = ScriptedEngine({"Hello?": (answer, [answer])}, tools=True)
    llm = ConfidenceRoutedLLM(edge=engine, cloud=MockLLM())
    ask = [ChatMessage(role="user", content="Hello?")]
    responses = [
        llm.chat(ask, tools=[ADD]),
        await llm.achat(ask, tools=[ADD]),
        *llm.stream_chat(ask, tools=[ADD]),
        *[chunk async for chunk in await llm.astream_chat(ask, tools=[ADD])],
    ]
    assert len(responses) == 4
    for response in responses:
        (block,) = response.message.blocks
        assert isinstance(block, ToolCallBlock)
        assert (block.tool_name, block.tool_kwargs) == ("add", {"a": 3})
        assert response.additional_kwargs["confidence_routing"]["route"] == "edge"
    assert len({response.message.blocks[0].tool_call_id for response in responses}) == 4
