"""Servers that want their requests written otherwise, or know less: they are asked as they take it, and remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from confroute import ConfigurationError, ContextLengthError, ModelError, Router, SamplingOptions
from confroute.edge.server import ServerEngine
from confroute.estimators import TokenEntropy
from confroute.records import Message
from tests.edge.scripted_server import Reply, Request, completion, holds_schema, serving, takes_all

pytest.importorskip("openai")

ASK: list[Message] = [{"role": "user", "content": "Capital of Peru?"}]
OPTIONS = SamplingOptions(max_tokens=8, temperature=0.7)

Connect = Callable[..., ServerEngine]
Objection = Callable[[Request], Any]


def objects(objection: Objection, status: int = 400, body: Any = None) -> Callable[[Request], Reply]:
    return lambda request: (status, body or {"error": {"message": "no"}}) if objection(request) else takes_all(request)


ABSENT: dict[str, tuple[Objection, dict[str, Any]]] = {
    "logprobs": (lambda request: "logprobs" in request, {"logprobs": False, "alternatives": 0}),
    "n": (lambda request: request.get("n", 1) > 1, {"n": False}),
    "seed": (lambda request: "seed" in request, {"seeds": False}),
}


@pytest.mark.parametrize("status", [400, 402, 403, 404, 405, 500, 501])
@pytest.mark.parametrize("name", ["logprobs", "n"])
def test_what_a_server_breaks_on_it_does_not_have(connect: Connect, name: str, status: int) -> None:
    """As llama-cpp-python, which has an internal error for logprobs that it does not keep, OpenAI, for which they are
    forbidden with some models, and OpenRouter, which finds nobody who has them: the rest is used."""
    check_absent(connect, name, status)


@pytest.mark.parametrize("status", [400, 500, 501])
def test_a_server_that_breaks_on_a_seed_is_given_none(connect: Connect, status: int) -> None:
    """In the plainest request, too."""
    check_absent(connect, "seed", status)


def check_absent(connect: Connect, name: str, status: int) -> None:
    objection, lack = ABSENT[name]
    with serving(objects(objection, status)) as server:
        engine = connect(server)
        assert len(engine.generate(ASK, n=3, options=OPTIONS).samples) == 3
        can = engine.capabilities()
        assert {each: getattr(can, each) for each in lack} == lack
        assert can.n == (name != "n")
        assert can.logprobs == (name != "logprobs")


@pytest.mark.parametrize("status", [429, 503])
def test_what_a_server_has_no_time_for_now_is_not_absent(connect: Connect, status: int) -> None:
    """Nothing is remembered of a busy one."""
    with serving(objects(lambda request: "logprobs" in request, status)) as server:
        engine = connect(server)
        with pytest.raises(ModelError, match=f"status {status}"):
            engine.generate(ASK, n=1, options=OPTIONS)
        server.reply = takes_all
        assert engine.capabilities().logprobs


def test_a_server_that_breaks_on_everything_is_not_judged(connect: Connect) -> None:
    """An error, after a few requests."""
    with serving(objects(lambda _: True, 500)) as server:
        with pytest.raises(ModelError, match="status 500"):
            connect(server).capabilities()
        assert len(server.asked) <= 3


TGI = {"error": "Input validation error: `top_p` must be > 0.0 and < 1.0", "error_type": "validation"}
MISTRAL = {"detail": [{"type": "less_than_equal", "loc": ["body", "temperature"], "msg": "at most 1.5", "input": 2.0}]}


@pytest.mark.parametrize("body", [TGI, None])
def test_a_top_p_of_1_is_left_out_where_it_is_refused(connect: Connect, body: Any) -> None:
    """As by TGI. Others are told of it: without a word they have one of their own, as llama-server has 0.95."""
    with serving(objects(lambda request: request.get("top_p", 0) >= 1, 422, body)) as server:
        engine = connect(server)
        engine.generate(ASK, n=2, options=OPTIONS)
        engine.generate(ASK, n=2, options=replace(OPTIONS, top_p=0.9))
        assert [request.get("top_p") for request in server.answered] == [None, 0.9]
        assert (engine.capabilities().n, engine.capabilities().logprobs, engine.capabilities().seeds) == (True,) * 3
    with serving() as server:
        connect(server).generate(ASK, n=2, options=OPTIONS)
        assert server.answered[0]["top_p"] == 1


# FastAPI may tell the whole request, whose other parameters it has nothing against.
ECHO = {"detail": [{**MISTRAL["detail"][0], "input": {"temperature": 2.0, "seed": 1, "top_p": 1.0}}]}
QUOTED = {"message": "[{'loc': ('body',), 'msg': 'temperature', 'input': {'seed': 1, 'top_p': 1.0}}]"}


@pytest.mark.parametrize("most", [1.5, 1.0])
@pytest.mark.parametrize("body", [MISTRAL, ECHO, QUOTED, None])
def test_a_server_of_lower_temperatures_is_probed_at_one(connect: Connect, most: float, body: Any) -> None:
    """And can all the same."""
    with serving(objects(lambda request: request["temperature"] > most, 422, body)) as server:
        engine = connect(server)
        assert len(engine.generate(ASK, n=2, options=OPTIONS).samples) == 2
        can = engine.capabilities()
        assert (can.n, can.logprobs, can.draws, can.whole_top_p, can.seeds) == (True,) * 5


def test_several_dislikes_are_found_out_together(connect: Connect) -> None:
    """A server that takes neither a top_p of 1 nor a seed, and says nothing of it."""
    with serving(objects(lambda request: request.get("top_p") == 1 or "seed" in request)) as server:
        engine = connect(server)
        assert len(engine.generate(ASK, n=2, options=OPTIONS).samples) == 2
        assert engine.capabilities().n


def test_a_server_that_calls_the_limit_otherwise_is_asked_so(connect: Connect) -> None:
    """Only where it says so: others would not know that name, and write without a limit."""
    told = {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}}
    with serving(objects(lambda request: "max_tokens" in request, 400, told)) as server:
        engine = connect(server)
        assert len(engine.generate(ASK, n=2, options=OPTIONS).samples) == 2
        assert server.answered[-1]["max_completion_tokens"] == 8
        full = {"message": "context length of 2048. Given: 3000"}
        server.reply = objects(lambda _: True, 400, {"error": full})
        with pytest.raises(ContextLengthError, match="may have 8"):
            engine.generate(ASK, n=1, options=OPTIONS)


def test_a_schema_is_tried_as_an_object(connect: Connect) -> None:
    """TGI takes none without properties."""

    def picky(request: Request) -> Reply:
        told = request.get("response_format", {}).get("json_schema", {}).get("schema", {"properties": {}})
        return holds_schema(request) if "properties" in told else (422, {"error": "Grammar must have properties."})

    with serving(picky) as server:
        assert connect(server).capabilities().json_schema


def few(most: int, *, silently: bool = False) -> Callable[[Request], Reply]:
    """As TGI, which tells up to 5 alternatives."""

    def reply(request: Request) -> Reply:
        if request.get("top_logprobs", 0) > most and not silently:
            return 400, {"error": {"message": f"top_logprobs must be <= {most}"}}
        status, body = takes_all(request)
        told: Any
        for told in body["choices"] if "logprobs" in request else []:
            token: Any = told["logprobs"]["content"][0]
            token["top_logprobs"] = token["top_logprobs"][: min(most, request["top_logprobs"])]
        return status, body

    return reply


@pytest.mark.parametrize("silently", [True, False])
@pytest.mark.parametrize(("most", "found"), [(2, 2), (5, 5), (10, 10), (20, 20), (100, 20)])
def test_as_many_alternatives_are_asked_for_as_it_takes(
    connect: Connect, most: int, found: int, silently: bool
) -> None:
    """What an estimator wants more of is given as far as the server goes, and no request is refused for it."""
    with serving(few(most, silently=silently)) as server:
        engine = connect(server)
        (sample,) = engine.generate(ASK, n=1, options=replace(OPTIONS, alternatives=20)).samples
        assert [len(place) for place in sample.alternatives or ()] == [found]
        assert (engine.capabilities().alternatives, server.answered[-1]["top_logprobs"]) == (found, found)
        assert Router(engine, estimator=TokenEntropy(), threshold=0.0).decide(ASK).record.reason == "confident"


@pytest.mark.parametrize("drawn", [True, False])
def test_one_sample_is_asked_for_without_an_n(connect: Connect, drawn: bool) -> None:
    """For a server that does not know the parameter, and refuses what it does not know."""
    with serving(objects(lambda request: "n" in request, 422)) as server:
        engine = connect(server)
        options = OPTIONS if drawn else replace(OPTIONS, temperature=0.0)
        assert len(engine.generate(ASK, n=1, options=options).samples) == 1
        assert len(engine.generate(ASK, n=3, options=options).samples) == 3
        assert not engine.capabilities().n


NUMBERED = {"message": "This model's maximum context length is 512 tokens and your request has 32 input tokens."}
UNNUMBERED = {"message": "The input length exceeds the context length."}


@pytest.mark.parametrize("error", [NUMBERED, UNNUMBERED])
@pytest.mark.parametrize("place", [480, 32])
def test_a_small_context_is_no_end_of_the_probe(connect: Connect, error: Any, place: int) -> None:
    """A model that thinks is asked for more tokens than it has place for; the rest is known all the same."""

    def reply(request: Request) -> Reply:
        if request["max_tokens"] > place:
            return 400, {"error": error}
        status, body = takes_all(request)
        for told in body["choices"] if "tools" in request or "response_format" in request else ():
            told["message"] = {"content": "", "reasoning_content": "Hm"}
            told |= {"finish_reason": "length", "logprobs": None}
        return status, body

    with serving(reply) as server:
        engine = connect(server)
        assert len(engine.generate(ASK, n=2, options=OPTIONS).samples) == 2
        can = engine.capabilities()
        assert (can.n, can.draws, can.logprobs, can.json_schema, can.tools) == (True, True, True, False, False)
    with serving(reply, draws=False) as server:
        assert connect(server).capabilities().draws is False


GPT_5 = {
    "message": "Unsupported value: 'temperature'. Only the default (1) value is supported.",
    "param": "temperature",
}


@pytest.mark.parametrize("body", [{"error": GPT_5}, None])
@pytest.mark.parametrize(
    ("takes", "least", "refused"),
    [(lambda heat: heat == 1, 1.0, (0.0, 0.7)), (lambda heat: 0 < heat <= 1, 0.01, (0.0,))],
    ids=["one alone", "none of 0"],
)
def test_a_temperature_that_the_model_does_not_take_is_a_wrong_setting(
    connect: Connect, body: Any, takes: Callable[[float], bool], least: float, refused: tuple[float, ...]
) -> None:
    """The server would refuse each request, and the cloud be paid for all; at others it is served, and its tools and
    schemas are found out at what it takes."""
    picky = objects(lambda request: not takes(request["temperature"]), 400, body)

    def reply(request: Request) -> Reply:
        status, told = picky(request)
        return holds_schema(request) if status == 200 else (status, told)

    with serving(reply) as server:
        engine = connect(server)
        can = engine.capabilities()
        assert (can.least_temperature, can.draws, can.json_schema) == (least, True, True)
        assert len(engine.generate(ASK, n=2, options=replace(OPTIONS, temperature=1.0)).samples) == 2
        before = len(server.asked)
        for heat in refused:
            with pytest.raises(
                ConfigurationError, match=f"takes no temperature below {least:g}, and {heat:g} was asked for"
            ):
                engine.generate(ASK, n=1, options=replace(OPTIONS, temperature=heat))
        assert len(server.asked) == before


@pytest.mark.parametrize(
    ("fingerprint", "ends"),
    [("b6700-a1b2c3d", "length"), ("fp_ollama", "length"), ("m", "length"), ("fp_44709d6fcb", "stop"), (None, "stop")],
    ids=["llama-server", "Ollama", "LM Studio", "OpenAI", "vLLM"],
)
def test_a_number_that_the_servers_grammar_may_have_ended_is_cut(
    connect: Connect, fingerprint: str | None, ends: str
) -> None:
    """llama.cpp's lets it have sixteen digits: the first ones of somebody else's id, in all samples."""

    def reply(request: Request) -> Reply:
        is_asked = "user_id" in str(request.get("response_format"))
        status, body = completion(['{"user_id": 7656119796026572}']) if is_asked else holds_schema(request)
        return status, {**body, "model": "m", "system_fingerprint": fingerprint}

    schema = {"type": "object", "properties": {"user_id": {"type": "number"}}, "required": ["user_id"]}
    with serving(reply) as server:
        generation = connect(server).generate(ASK, n=1, options=replace(OPTIONS, json_schema=schema))
    assert generation.samples[0].finish_reason == ends
