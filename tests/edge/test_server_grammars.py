"""Schemas that a server holds answers to by llama.cpp's grammars: as the engine in this process writes them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from confroute import UnsupportedRequestError
from confroute.edge.grammars import held
from confroute.edge.server import ServerEngine
from confroute.edge.times import with_pattern
from confroute.json_schema import is_valid
from confroute.records import Message, SamplingOptions
from tests.edge.scripted_server import TOOL_PROBE, Reply, Request, choice, completion, serving, takes_all

pytest.importorskip("openai")

ASK: list[Message] = [{"role": "user", "content": "When does it leave?"}]
OPTIONS = SamplingOptions(max_tokens=80)
WHOLE = {"type": "integer"}
FINGERPRINTS = {"llama-server": "b6700-a1b2c3d", "Ollama": "fp_ollama", "LM Studio": "m", "vLLM": None}
LLAMACPP = ["llama-server", "Ollama", "LM Studio"]

Connect = Callable[..., ServerEngine]


def record(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


TRAIN = record(at={"type": "string", "format": "date-time"}, id=WHOLE)
LOOKAHEAD = record(at={"type": "string", "pattern": "^(?=a)a$"})


def tool(parameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "leave", "parameters": parameters}}


def calling(name: str, arguments: str) -> Reply:
    call = {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}
    told = {**choice("", logprob=None), "finish_reason": "tool_calls"}
    told["message"] = {"role": "assistant", "content": None, "tool_calls": [call]}
    return 200, {"choices": [told], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}


def of(kind: str, number: int = 1) -> Callable[[Request], Reply]:
    """A server of that kind, which answers with this *number*."""

    def reply(request: Request) -> Reply:
        answer = json.dumps({"at": "2024-01-02T15:30:00", "id": number})
        if request["messages"] == TOOL_PROBE:
            status, body = calling("get_weather", '{"city": "Paris"}')
        elif "zanzibarland" in str(request.get("response_format")):
            status, body = completion(['{"x": "zanzibarland"}'])
        elif "tools" in request:
            status, body = calling("leave", answer)
        elif "response_format" in request:
            status, body = completion([answer] * request.get("n", 1))
        else:
            status, body = takes_all(request)
        return status, {**body, "model": "m", "system_fingerprint": FINGERPRINTS[kind]}

    return reply


def sent_to(kind: str, schema: dict[str, Any], *, shown: bool = False) -> dict[str, Any]:
    if kind in LLAMACPP:
        return held(schema, shown=shown)
    properties = {name: with_pattern(part, short=shown) for name, part in schema["properties"].items()}
    assert "format" not in json.dumps(properties)
    return {**schema, "properties": properties}


def schema_of(request: Request) -> Any:
    return request["response_format"]["json_schema"]["schema"]


@pytest.mark.parametrize("kind", FINGERPRINTS)
def test_a_schema_is_sent_in_the_words_of_the_servers_grammars(connect: Connect, kind: str) -> None:
    """One that does not tell that it is llama.cpp's is sent it as it is, but for times, of which xgrammar demands a
    zone, whatever a pattern beside the format says."""
    with serving(of(kind)) as server:
        engine = connect(server)
        for _ in range(2):
            engine.generate(ASK, n=1, options=replace(OPTIONS, json_schema=TRAIN))
        assert {json.dumps(schema_of(request)) for request in server.answered} == {json.dumps(sent_to(kind, TRAIN))}


@pytest.mark.parametrize("must_call", [False, True])
@pytest.mark.parametrize("kind", FINGERPRINTS)
def test_tools_are_offered_in_the_words_of_the_servers_grammars(connect: Connect, kind: str, must_call: bool) -> None:
    """Ollama shows them to its model, and holds no call to them; others hold calls that have to be made."""
    with serving(of(kind)) as server:
        options = replace(OPTIONS, tools=(tool(TRAIN),), must_call=must_call)
        connect(server).generate(ASK, n=1, options=options)
        (request,) = server.answered
    is_as_it_is = kind == "Ollama" or (kind == "vLLM" and not must_call)
    assert request["tools"][0]["function"]["parameters"] == (TRAIN if is_as_it_is else sent_to(kind, TRAIN, shown=True))
    assert request.get("tool_choice") == ("required" if must_call else None)


@pytest.mark.parametrize("asked", [{"json_schema": LOOKAHEAD}, {"tools": (tool(LOOKAHEAD),)}], ids=["json", "tools"])
def test_what_no_grammar_holds_is_not_sent(connect: Connect, asked: Any) -> None:
    """The request escalates, as one of the engine in this process does."""
    with serving(of("llama-server")) as server:
        engine = connect(server)
        with pytest.raises(UnsupportedRequestError, match=r"llama\.cpp cannot hold an answer to this JSON schema: "):
            engine.generate(ASK, n=1, options=replace(OPTIONS, **asked))
        assert not server.answered
    with serving(of("vLLM")) as server:
        connect(server).generate(ASK, n=1, options=replace(OPTIONS, **asked))
        assert len(server.answered) == 1


def test_what_has_no_form_in_json_is_not_sent(connect: Connect) -> None:
    """It escalates, too."""
    with serving(of("llama-server")) as server, pytest.raises(UnsupportedRequestError, match="no form in JSON"):
        connect(server).generate(ASK, n=1, options=replace(OPTIONS, json_schema={"enum": [{1, 2}]}))


def test_a_schema_is_sent_as_it_is_by_then(connect: Connect) -> None:
    """What was written for the request before is used again, but for the same schema only."""
    schema = record(id=WHOLE)
    with serving(of("llama-server")) as server:
        engine = connect(server)
        for name in ("a", "b"):
            schema["properties"][name] = {"type": "string"}
            engine.generate(ASK, n=1, options=replace(OPTIONS, json_schema=schema))
        sent = [list(schema_of(request)["properties"]) for request in server.answered]
    assert sent == [["id", "a"], ["id", "a", "b"]]


@pytest.mark.parametrize(("before", "after"), [("vLLM", "llama-server"), ("Ollama", "vLLM"), ("Ollama", "LM Studio")])
def test_a_server_of_another_kind_is_found_out_by_its_reply(connect: Connect, before: str, after: str) -> None:
    """It was put in the place of the one before while nobody asked: what it answered to the other's words is thrown
    away."""
    with serving(of(before)) as server:
        engine = connect(server)
        options = replace(OPTIONS, json_schema=TRAIN)
        engine.generate(ASK, n=1, options=options)
        server.reply = of(after)
        engine.generate(ASK, n=1, options=options)
        engine.generate(ASK, n=1, options=options)
        sent = [sent_to(kind, TRAIN) for kind in (before, before, after, after)]
        assert [schema_of(request) for request in server.answered] == sent


def test_a_fleet_of_two_kinds_is_not_probed_for_each_request(connect: Connect) -> None:
    """Each second reply is one of the other, those to probes among them."""
    with serving(of("vLLM")) as server:
        engine = connect(server)
        engine.capabilities()

        def reply(request: Request) -> Reply:
            return of("vLLM" if len(server.asked) % 2 else "llama-server")(request)

        server.reply = reply
        for _ in range(20):
            engine.generate(ASK, n=1, options=replace(OPTIONS, json_schema=TRAIN))
        assert len(server.asked) < 20 + 2 * 6


@pytest.mark.parametrize(
    ("kind", "number", "in_json", "in_a_call"),
    [
        ("llama-server", 7656119796026572, "stop", "length"),
        ("LM Studio", 7656119796026572, "stop", "length"),
        ("Ollama", 7656119796026572, "stop", "tool_calls"),
        ("llama-server", 1234567890123456789, "length", "length"),
        ("LM Studio", 1234567890123456789, "length", "length"),
        ("Ollama", 1234567890123456789, "length", "tool_calls"),
        ("vLLM", 1234567890123456789, "stop", "tool_calls"),
    ],
)
def test_a_number_counts_as_cut_by_the_schema_that_was_sent(
    connect: Connect, kind: str, number: int, in_json: str, in_a_call: str
) -> None:
    """An integer without bounds was sent with those of 63 bits, but not in a tool, which the model is shown; what
    Ollama's model says in a call ends by itself."""
    with serving(of(kind, number)) as server:
        engine = connect(server)
        json_generation = engine.generate(ASK, n=1, options=replace(OPTIONS, json_schema=TRAIN))
        call_generation = engine.generate(ASK, n=1, options=replace(OPTIONS, tools=(tool(TRAIN),)))
    ends = [each.samples[0].finish_reason for each in (json_generation, call_generation)]
    assert ends == [in_json, in_a_call]


TEXT = {"type": "string"}
PAIR = {
    **record(a={"$ref": "#/$defs/用户"}, b={"$ref": "#/$defs/商品"}),
    "$defs": {"用户": record(name=TEXT), "商品": record(price=WHOLE)},
}


@pytest.mark.real_model
@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ({"at": "2024-01-02T15:30:00"}, record(at={"type": "string", "format": "date-time"})),
        ({"id": 76561197960265728}, record(id=WHOLE)),
        ({"a": {"name": "Anna"}, "b": {"price": 45}}, PAIR),
        ({"id": 45}, record(id={**WHOLE, "minimum": 0, "maximum": 10**17})),
        ({"id": 45}, record(id={**WHOLE, "maximum": 10**19})),
        ({"name": "Anna"}, record(name={**TEXT, "maxLength": 10**15})),
    ],
    ids=["a time", "an id of 17 digits", "two definitions", "a great bound", "one beyond 64 bits", "a great length"],
)
def test_an_answer_of_a_real_server_is_not_made_another(
    llama_server: tuple[str, str], value: Any, schema: dict[str, Any]
) -> None:
    """A time got a zone, an id was cut, a definition was another's, and a great bound was worked on for ever, or
    refused."""
    url, key = llama_server
    engine = ServerEngine("smollm2-135m", url, api_key=key, timeout_seconds=60)
    answer = json.dumps(value, ensure_ascii=False)
    assert is_valid(answer, schema)
    question: list[Message] = [{"role": "user", "content": f"Repeat exactly this JSON: {answer}"}]
    engine.capabilities()
    begun = time.monotonic()
    (sample,) = engine.generate(question, n=1, options=replace(OPTIONS, json_schema=schema)).samples
    engine.close()
    assert (json.loads(sample.text), sample.finish_reason) == (value, "stop")
    assert time.monotonic() - begun < 30
