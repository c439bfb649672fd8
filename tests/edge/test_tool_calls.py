"""SmolLM2-135M, shown tools by a template of the test's own: it was not made for them, but continues a conversation."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from confroute import Router, SamplingOptions, UnsupportedRequestError, resolve_edge
from confroute.conformance.engines import FACTS, Subject
from confroute.edge.llamacpp import LlamaCppEngine
from confroute.edge.transformers import TransformersEngine
from confroute.records import Message, ToolCall
from confroute.testing import ENGINE_LAWS
from confroute.tools import as_openai
from tests.edge.tool_template import TEMPLATE

pytestmark = pytest.mark.real_model


def tool(name: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": [*properties]}
    return {"type": "function", "function": {"name": name, "description": f"Get the {name}.", "parameters": schema}}


TOOLS = (tool("weather", city={"type": "string"}), tool("sum", a={"type": "integer"}, b={"type": "integer"}))
LAW = "a tool that has to be called is called by its schema"


def earlier(city: str, degrees: int) -> list[Message]:
    call = as_openai(ToolCall(name="weather", arguments=json.dumps({"city": city})))
    return [
        {"role": "user", "content": f"What is the weather in {city}?"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": city, **call}]},
        {"role": "tool", "tool_call_id": city, "content": f"{degrees} degrees"},
        {"role": "assistant", "content": f"It is {degrees} degrees in {city}."},
    ]


ASK: Message = {"role": "user", "content": "What is the weather in Paris?"}
CONVERSATION = [*earlier("Rome", 20), *earlier("Oslo", 3), ASK]
PARIS = ToolCall(name="weather", arguments='{"city": "Paris"}')

Make = Callable[..., Any]


@pytest.fixture(scope="module", params=["llamacpp", "transformers"])
def make(request: pytest.FixtureRequest, torch_device: str) -> Make:
    """Makes engines of one kind with a chat template."""
    pytest.importorskip("gguf" if request.param == "transformers" else "xllamacpp")
    packaged: Any = resolve_edge("smollm2-135m", engine=request.param)

    def llamacpp(template: str | None) -> LlamaCppEngine:
        return LlamaCppEngine(packaged.path, context_tokens=2048, parallel=4, threads=1, chat_template=template)

    def transformers(template: str | None) -> TransformersEngine:
        settings: Any = {"device": torch_device, "chat_template": template}
        return TransformersEngine(packaged._checkpoint, gguf_file=packaged._gguf_file, **settings)

    return {"llamacpp": llamacpp, "transformers": transformers}[request.param]


@pytest.fixture(scope="module")
def engine(make: Make) -> Any:
    return make(TEMPLATE)


def test_a_tool_that_has_to_be_called_is_called(engine: Any) -> None:
    """By a model that would rather talk: the law, and a name and an argument that make sense."""
    ENGINE_LAWS[LAW](Subject(engine=engine, facts=FACTS, context_tokens=2048))
    options = SamplingOptions(tools=TOOLS[:1], must_call=True, max_tokens=64)
    (sample,) = engine.generate([ASK], n=1, options=options).samples
    (call,) = sample.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Paris"})
    assert (sample.text, sample.finish_reason) == ("", "tool_calls")


def test_a_call_of_the_model_s_own_choice_is_routed_by_its_agreement(engine: Any) -> None:
    """It calls as in the earlier turns, all samples do, and the call is served."""
    options = SamplingOptions(tools=TOOLS, max_tokens=48, seed=1)
    decision = Router(engine, curtail=False).decide(CONVERSATION, options)
    assert decision.record.route == "edge"
    assert decision.answer is not None
    (call,) = decision.answer.tool_calls
    assert (call.name, json.loads(call.arguments)) == (PARIS.name, json.loads(PARIS.arguments))
    assert decision.answer.text == ""


def test_a_call_cut_short_is_not_served(engine: Any) -> None:
    """Neither as a call nor as words."""
    for must_call in (True, False):
        options = SamplingOptions(tools=TOOLS, must_call=must_call, max_tokens=7)
        assert Router(engine).decide(CONVERSATION, options).record.reason == "edge_error"


def test_the_model_s_own_template_shows_no_tools(make: Make) -> None:
    """So it is not asked such things, and answers others."""
    engine = make(None)
    for messages, options in (([ASK], SamplingOptions(tools=TOOLS)), (CONVERSATION, SamplingOptions())):
        with pytest.raises(UnsupportedRequestError, match="does not show tools"):
            engine.generate(messages, n=1, options=options)
    assert engine.generate([ASK], n=1, options=SamplingOptions(max_tokens=2)).samples[0].text
