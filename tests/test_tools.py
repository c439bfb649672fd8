"""Requests with tools: the edge's calls are served when they are sure, and of the tools, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, create_model

from confroute import Router, SamplingOptions
from confroute.arguments import obstacle, options_of
from confroute.json_schema import is_valid
from confroute.records import Message, Sample, ToolCall
from confroute.testing import ScriptedEngine
from confroute.tools import answer_schema, objection, offered


def tool(name: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


WEATHER = tool("weather", city={"type": "string"})
TIME = {"type": "function", "function": {"name": "time"}}  # of no parameters
ASK: list[Message] = [{"role": "user", "content": "Is it raining in Lima?"}]
OPTIONS = SamplingOptions(tools=(WEATHER, TIME))
LIMA = ToolCall(name="weather", arguments='{"city": "Lima"}')
RESULT: Message = {"role": "tool", "tool_call_id": "1", "content": "no"}


def calling(*calls: ToolCall, text: str = "") -> Sample:
    return Sample(text=text, tool_calls=calls, token_logprobs=(-0.5,), output_tokens=1)


def edge(answer: Sample, *samples: Sample, tools: bool = True) -> ScriptedEngine:
    return ScriptedEngine({str(ASK[0]["content"]): (answer, samples or [answer])}, tools=tools, json_schema=True)


def test_a_call_on_which_the_samples_agree_is_served() -> None:
    """Judged by name and values: neither the order of the arguments nor what is said beside them counts."""
    engine = edge(calling(LIMA), calling(ToolCall(name="weather", arguments='{ "city":"Lima"}'), text="I'll look."))
    decision = Router(engine, curtail=False).decide(ASK, OPTIONS)
    assert (decision.record.route, decision.record.confidence) == ("edge", 1.0)
    assert decision.answer == calling(LIMA)
    assert all(options.tools == OPTIONS.tools for _, _, options in engine.requests)


@pytest.mark.parametrize(
    "other",
    [
        calling(ToolCall(name="weather", arguments='{"city": "Quito"}')),
        calling(ToolCall(name="time", arguments="{}")),
        calling(LIMA, LIMA),
        Sample(text="It is raining in Lima."),
        calling(ToolCall(name="", arguments="nonsense")),
    ],
)
def test_samples_that_call_otherwise_escalate(other: Sample) -> None:
    """Other arguments, another tool, another number of calls, no call, or one that cannot be read."""
    record = Router(edge(calling(LIMA), other)).decide(ASK, OPTIONS).record
    assert (record.reason, record.confidence) == ("uncertain", 0.0)


def test_words_without_a_call_are_an_answer_like_any_other() -> None:
    """Tools may be called, and need not be."""
    assert Router(edge(Sample(text="No."))).decide(ASK, OPTIONS).record.route == "edge"


WRONG = {
    "words that may be a call": Sample(text='<tool_call>{"na', finish_reason="length"),
    "a tool that there is not": calling(ToolCall(name="Weather", arguments=LIMA.arguments)),
    "an argument too many": calling(ToolCall(name="weather", arguments='{"city": "Lima", "day": 1}')),
    "cut short": calling(ToolCall(name="weather", arguments='{"city": "Li')),
    "no object": calling(ToolCall(name="time", arguments="[]")),
    "one of two": calling(LIMA, ToolCall(name="weather", arguments="{}")),
}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG)
def test_a_call_that_cannot_be_made_is_never_served(answer: Sample) -> None:
    """However sure of it the edge is: escalated, also where the cloud fails later."""
    decision = Router(edge(answer)).decide(ASK, OPTIONS)
    assert (decision.record.reason, decision.record.error) == ("edge_error", "ModelError")
    assert decision.answer is None


def test_a_call_that_has_to_be_made() -> None:
    """Words alone are no answer to such a request."""
    must = SamplingOptions(tools=(WEATHER,), must_call=True)
    assert Router(edge(Sample(text="No."))).decide(ASK, must).record.reason == "edge_error"
    assert Router(edge(calling(LIMA))).decide(ASK, must).record.route == "edge"


class Point(BaseModel):
    x: int
    next: Point | None = None


@pytest.mark.parametrize("others", [0, 2])
def test_a_call_of_nested_models_is_held_to_them(others: int) -> None:
    """Wherever its parameters stand in what an answer is held to, they find the models that they refer to."""
    parameters = create_model("Parameters", points=(list[Point], ...)).model_json_schema()
    tools = [tool(f"other{i}", x={}) for i in range(others)]
    draw = {"type": "function", "function": {"name": "draw", "parameters": parameters}}
    schema = answer_schema(SamplingOptions(tools=(*tools, draw), must_call=True))
    for point, is_right in (({"x": 1, "next": {"x": 2}}, True), ({"x": "one"}, False), ({"x": 1, "next": {}}, False)):
        call = {"name": "draw", "arguments": {"points": [point]}}
        assert is_valid(json.dumps(call), schema) == is_right


@pytest.mark.parametrize(
    ("messages", "options"),
    [
        (ASK, OPTIONS),
        ([*ASK, RESULT], SamplingOptions()),
        ([*ASK, {"role": "assistant", "content": "", "tool_calls": [{}]}], SamplingOptions()),
    ],
)
def test_an_engine_without_tools_is_not_asked(messages: list[Message], options: SamplingOptions) -> None:
    """Neither to call one, nor in a conversation in which one was called."""
    engine = edge(calling(LIMA), tools=False)
    record = Router(engine).decide(messages, options).record
    assert (record.route, record.reason, engine.requests) == ("cloud", "unsupported", [])


def test_tools_and_a_schema_together_are_beyond_the_edge() -> None:
    """An answer held to the schema could call none."""
    engine = edge(calling(LIMA))
    record = Router(engine).decide(ASK, SamplingOptions(tools=(TIME,), json_schema={"type": "object"})).record
    assert (record.reason, engine.requests) == ("unsupported", [])


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ((WEATHER, TIME), False)),
        ("auto", ((WEATHER, TIME), False)),
        ("none", ((), False)),
        ("required", ((WEATHER, TIME), True)),
        ("any", ((WEATHER, TIME), True)),
        (True, ((WEATHER, TIME), True)),
        ("time", ((TIME,), True)),
        ({"type": "function", "function": {"name": "weather"}}, ((WEATHER,), True)),
        ("date", None),
        ({"type": "tool", "name": "weather"}, None),  # Anthropic's form
    ],
)
def test_the_choice_of_a_tool(choice: Any, expected: Any) -> None:
    """A tool that is named is the only one offered; a choice that cannot be read is the cloud's."""
    assert offered([WEATHER, TIME], choice) == expected


@pytest.mark.parametrize("tools", [[{"type": "web_search"}], [WEATHER, {"name": "weather"}], "weather", 3, [None]])
def test_what_is_no_function_is_beyond_the_edge(tools: Any) -> None:
    """A provider's own tools, or another provider's form."""
    assert offered(tools) is None
    assert obstacle({"tools": tools}) == "tools that are no functions"
    assert "tools" not in options_of({"tools": tools})


def test_what_arguments_ask_of_the_edge() -> None:
    """The sampling options, the schema and the tools among them; what else there is, is the cloud's."""
    schema = {"type": "object"}
    arguments = {
        "temperature": 0.5,
        "stop": "END",
        "seed": None,
        "user": "u1",
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
        "tools": [WEATHER, TIME],
        "tool_choice": "time",
    }
    assert options_of(arguments) == {
        "temperature": 0.5,
        "stop": ("END",),
        "json_schema": schema,
        "tools": (TIME,),
        "must_call": True,
        "parallel_calls": True,
    }
    assert options_of({**arguments, "parallel_tool_calls": False})["parallel_calls"] is False
    assert obstacle(arguments) is None


def test_an_objection_names_no_argument() -> None:
    """It goes into an error."""
    for answer in WRONG.values():
        assert "Lima" not in (objection(answer, OPTIONS) or "Lima")
    assert objection(calling(LIMA, ToolCall(name="time", arguments="{}")), OPTIONS) is None


def test_an_estimator_sees_calls_as_json() -> None:
    """In OpenAI's form, which is what a judge or an equivalence knows."""
    seen: list[str] = []
    router = Router(edge(calling(LIMA)), curtail=False)
    estimate = router.estimator.estimate
    object.__setattr__(router, "estimator", _Spy(router.estimator, estimate, seen))
    router.decide(ASK, OPTIONS)
    assert json.loads(seen[0])[0]["function"] == {"name": "weather", "arguments": LIMA.arguments}


class _Spy:
    def __init__(self, estimator: Any, estimate: Any, seen: list[str]) -> None:
        self._estimator, self._estimate, self._seen = estimator, estimate, seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._estimator, name)

    def estimate(self, evidence: Any) -> Any:
        self._seen.append(evidence.answer.text)
        return self._estimate(evidence)
