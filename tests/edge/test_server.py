"""An edge model behind a server, scripted to behave as the servers that there are."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from confroute import (
    ConfigurationError,
    ContextLengthError,
    ModelError,
    Router,
    SamplingOptions,
)
from confroute.edge import resolve_edge
from confroute.edge.server import ServerEngine
from confroute.records import Message
from tests.edge.scripted_server import (
    BreakOff,
    Hang,
    Reply,
    Request,
    completion,
    serving,
    takes_all,
)

pytest.importorskip("openai")

SECRET = "zanzibarland"  # noqa: S105
ASK: list[Message] = [{"role": "user", "content": f"Capital of {SECRET}?"}]
OPTIONS = SamplingOptions(max_tokens=8, seed=3)

Connect = Callable[..., ServerEngine]


def edge_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "confroute-edge"]


def test_all_samples_are_one_request(connect: Connect) -> None:
    """Where the server takes n, with the request's own options, logprobs and the alternatives asked for."""
    with serving() as server:
        engine = connect(server, extra={"top_k": 0})
        options = SamplingOptions(temperature=0.7, top_p=0.9, max_tokens=8, stop=("\n",), seed=3, alternatives=2)
        generation = engine.generate(ASK, n=10, options=options)
        assert [sample.text for sample in generation.samples] == [f"answer {i}" for i in range(10)]
        assert generation.input_tokens == 7
        assert all(sample.token_logprobs == (-0.5,) and sample.alternatives for sample in generation.samples)
        assert server.answered == [
            {
                "model": "m", "messages": ASK, "n": 10, "max_tokens": 8, "temperature": 0.7, "top_p": 0.9,
                "stop": ["\n"], "seed": 3, "logprobs": True, "top_logprobs": 2, "top_k": 0,
            }
        ]  # fmt: skip


def ignores_n(request: Request) -> Reply:
    """As Ollama: one sample, whatever n is."""
    return completion([f"answer to seed {request.get('seed')}"])


def refuses_n(request: Request) -> Reply:
    return takes_all(request) if request.get("n", 1) == 1 else (400, {"error": {"message": "n must be 1"}})


@pytest.mark.parametrize("without_n", [ignores_n, refuses_n])
def test_without_n_the_samples_are_asked_for_at_once(connect: Connect, without_n: Any) -> None:
    """Each is a request of its own, all under way together, with seeds that differ."""
    meeting = threading.Barrier(5, timeout=10)

    def reply(request: Request) -> Reply:
        if request["messages"] == ASK:
            meeting.wait()  # passes only if five are here at the same time
        return without_n(request)

    with serving(reply) as server:
        generation = connect(server).generate(ASK, n=5, options=OPTIONS)
        assert len(generation.samples) == 5
        assert generation.input_tokens == 7
        assert sorted(request["seed"] for request in server.answered) == [3, 4, 5, 6, 7]
        assert {request.get("n", 1) for request in server.answered} == {1}


def test_more_than_its_slots_is_split(connect: Connect) -> None:
    """As llama-server, which refuses an n above its slots: smaller requests follow, and that is remembered."""

    def slots(request: Request) -> Reply:
        return takes_all(request) if request.get("n", 1) <= 3 else (400, {"error": {"message": "n_cmpl too large"}})

    with serving(slots) as server:
        engine = connect(server)
        assert len(engine.generate(ASK, n=10, options=OPTIONS).samples) == 10
        asked = sorted(request.get("n", 1) for request in server.answered)
        assert asked == [2, 2, 2, 2, 2, 5, 10]
        before = len(server.asked)
        engine.generate(ASK, n=10, options=OPTIONS)
        assert [request.get("n", 1) for request in server.asked[before:]] == [2] * 5


def test_a_refused_prompt_does_not_change_how_others_are_asked(connect: Connect) -> None:
    """What is refused at any size is refused for itself, and not sent as often as there are samples; the next prompt's
    are one request again."""

    def picky(request: Request) -> Reply:
        return (400, {"error": {"message": "no"}}) if request["messages"] == ASK else takes_all(request)

    with serving(picky) as server:
        engine = connect(server)
        with pytest.raises(ModelError, match="refused"):
            engine.generate(ASK, n=10, options=OPTIONS)
        assert [request.get("n", 1) for request in server.answered] == [10, 5, 2, 1]
        other: list[Message] = [{"role": "user", "content": "Hello"}]
        assert len(engine.generate(other, n=10, options=OPTIONS).samples) == 10
        assert [request.get("n", 1) for request in server.answered if request["messages"] == other] == [10]


def test_fewer_samples_than_asked_for_are_made_up(connect: Connect) -> None:
    """A server that gives two where ten were asked for is asked for the rest one by one."""

    def two(request: Request) -> Reply:
        return completion(["a", "b"][: request.get("n", 1)])

    with serving(two) as server:
        assert len(connect(server).generate(ASK, n=6, options=OPTIONS).samples) == 6
        assert sorted(request.get("n", 1) for request in server.answered) == [1, 1, 1, 1, 6]


VLLM = (
    "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens (2000 in the messages, "
    f"100 in the completion). {SECRET}"
)
VLLM_NEWER = (
    "This model's maximum context length is 2048 tokens. However, your request has 2100 input tokens. Please reduce "
    "the length of the input messages."
)
RAY = (
    "Message: This model's maximum context length is 2048 tokens. However, you requested 4 output tokens and your "
    "prompt contains at least 2045 input tokens, for a total of at least 2049 tokens."
)
LLAMA = {"code": 400, "type": "exceed_context_size_error", "message": SECRET, "n_prompt_tokens": 2000, "n_ctx": 2048}
FAILURES: dict[str, tuple[Reply, type[Exception], str]] = {
    "key": ((401, {"error": {"message": SECRET}}), ModelError, "answered before and refused.*status 401.*api_key, or"),
    "gateway": ((403, {"error": {"message": SECRET}}), ModelError, "answered before and refused.*status 403"),
    "model": ((404, {"error": {"message": SECRET}}), ModelError, "answered before.*status 404.*It has: other-model"),
    "moved": ((307, {"error": {"message": SECRET}}), ModelError, "redirects a request.*status 307.*to another address"),
    "vLLM context": ((400, {"error": {"message": VLLM}}), ContextLengthError, "has 2000 tokens.*holds 2048"),
    "vLLM context, newer": ((400, {"message": VLLM_NEWER}), ContextLengthError, "has 2100 tokens.*holds 2048"),
    "vLLM context on Ray": ((400, {"error": {"message": RAY}}), ContextLengthError, "at least 2045 tokens.*holds 2048"),
    "llama-server context": ((400, {"error": LLAMA}), ContextLengthError, "has 2000 tokens.*holds 2048"),
    "refused": ((400, {"error": {"message": SECRET}}), ModelError, "refused a request.*status 400"),
    "busy": ((503, {"error": {"message": SECRET}}), ModelError, "status 503"),
    "no JSON": ((200, SECRET), ModelError, "did not reply with a chat completion"),
    "no choices": ((200, {"choices": []}), ModelError, "did not reply with a chat completion"),
    "other choices": ((200, {"choices": [{"text": SECRET}]}), ModelError, "did not reply with a chat completion"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_told_and_the_next_request_works(connect: Connect, name: str) -> None:
    """The error names what to do and neither prompt nor the server's words; nothing stays broken."""
    failure, kind, message = FAILURES[name]
    failing = False

    def reply(request: Request) -> Reply:
        return failure if failing else takes_all(request)

    with serving(reply) as server:
        engine = connect(server, api_key="sk-hidden")
        engine.generate(ASK, n=1, options=OPTIONS)
        failing = True
        with pytest.raises(kind, match=message) as caught:
            engine.generate(ASK, n=3, options=OPTIONS)
        assert SECRET not in str(caught.value)
        assert "sk-hidden" not in str(caught.value)
        failing = False
        assert len(engine.generate(ASK, n=3, options=OPTIONS).samples) == 3


def test_a_server_that_dies_in_its_answer_is_an_error(connect: Connect) -> None:
    """Broken off, or out of reach: a ModelError, so that the router escalates."""

    def reply(request: Request) -> Reply:
        if request["messages"] == ASK:
            raise BreakOff
        return takes_all(request)

    with serving(reply) as server:
        engine = connect(server)
        with pytest.raises(ModelError, match="broke off"):
            engine.generate(ASK, n=2, options=OPTIONS)
    record = Router(engine).decide(ASK).record
    assert (record.route, record.reason, record.error) == ("cloud", "edge_error", "LostError")


def test_a_server_that_is_not_there_is_asked_again_later(connect: Connect) -> None:
    """A failed probe is not remembered."""
    with serving() as server:
        pass
    engine = connect(server)
    for _ in range(2):
        with pytest.raises(ModelError, match=r"127\.0\.0\.1:\d+ cannot be reached"):
            engine.generate(ASK, n=1, options=OPTIONS)


def test_a_server_that_was_gone_is_asked_anew_what_it_can(connect: Connect) -> None:
    """Another may have come up at its address: here one that takes no n, holds to no schema and tells no logprobs."""
    now: Callable[[Request], Reply] = takes_all

    def away(_: Request) -> Reply:
        raise BreakOff

    def poorer(request: Request) -> Reply:
        if request.keys() & {"n", "logprobs", "response_format"} - ({"n"} if request.get("n") == 1 else set()):
            return 400, {"error": {"message": "Unknown parameter."}}
        return takes_all(request)

    with serving(lambda request: now(request)) as server:
        engine = connect(server)
        assert engine.capabilities().n
        now = away
        with pytest.raises(ModelError, match="broke off"):
            engine.generate(ASK, n=2, options=OPTIONS)
        now = poorer
        assert len(engine.generate(ASK, n=2, options=OPTIONS).samples) == 2
        can = engine.capabilities()
        assert (can.n, can.logprobs, can.json_schema) == (False, False, False)


def test_a_slow_server_runs_into_the_timeout(connect: Connect) -> None:
    """And the request is taken back."""

    def reply(request: Request) -> Reply:
        if request["messages"] == ASK:
            raise Hang
        return takes_all(request)

    with serving(reply) as server:
        engine = connect(server, timeout_seconds=0.2)
        with pytest.raises(ModelError, match="in time; see timeout_seconds"):
            engine.generate(ASK, n=1, options=OPTIONS)
        assert server.broken_off.wait(5)


def test_a_cancelled_task_takes_its_request_back(connect: Connect) -> None:
    """The server sees the connection close, which is what it stops generating at, and the next request works."""

    def reply(request: Request) -> Reply:
        if request["messages"] == ASK:
            raise Hang
        return takes_all(request)

    async def cancel(engine: ServerEngine) -> None:
        task = asyncio.create_task(engine.agenerate(ASK, n=4, options=OPTIONS))
        await asyncio.to_thread(server.hanging.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with serving(reply) as server:
        engine = connect(server)
        asyncio.run(cancel(engine))
        assert server.broken_off.wait(5)
        other: list[Message] = [{"role": "user", "content": "Hello"}]
        assert len(engine.generate(other, n=2, options=OPTIONS).samples) == 2


def test_one_failure_takes_the_other_samples_back(connect: Connect) -> None:
    """Without n, the requests beside the failed one are not left running."""

    def reply(request: Request) -> Reply:
        if request["messages"] != ASK:
            return ignores_n(request)
        if request["seed"] == 3:
            return 500, {}
        raise Hang

    with serving(reply) as server:
        with pytest.raises(ModelError, match="status 500"):
            connect(server).generate(ASK, n=2, options=OPTIONS)
        assert len(server.answered) < 2 or server.broken_off.wait(5)


def test_threads_and_loops_share_an_engine(connect: Connect) -> None:
    """Requests of many threads and of one event loop after the other get their own answers, through one thread."""

    def echo(request: Request) -> Reply:
        return completion([request["messages"][0]["content"]] * request.get("n", 1))

    async def many(engine: ServerEngine, begin: int) -> list[str]:
        asks = [[{"role": "user", "content": str(i)}] for i in range(begin, begin + 16)]
        done = await asyncio.gather(*(engine.agenerate(ask, n=2, options=OPTIONS) for ask in asks))
        return [generation.samples[1].text for generation in done]

    with serving(echo) as server:
        engine = connect(server, connections=4)
        with ThreadPoolExecutor(8) as pool:
            one = lambda i: engine.generate([{"role": "user", "content": str(i)}], n=2, options=OPTIONS)
            answers = list(pool.map(one, range(40)))
        assert [generation.samples[0].text for generation in answers] == [str(i) for i in range(40)]
        for begin in (100, 200):
            assert asyncio.run(many(engine, begin)) == [str(i) for i in range(begin, begin + 16)]
        assert len(edge_threads()) == 1


def test_no_thread_is_left_behind(connect: Connect) -> None:
    """Neither after close, which the next request undoes, nor by an engine that nobody holds any more."""
    with serving() as server:
        engine = connect(server)
        engine.generate(ASK, n=1, options=OPTIONS)
        engine.close()
        assert edge_threads() == []
        assert engine.generate(ASK, n=1, options=OPTIONS).samples[0].text == "answer 0"
        engine.close()
        forgotten = ServerEngine("m", server.url)
        forgotten.generate(ASK, n=1, options=OPTIONS)
        del forgotten
        gc.collect()
        deadline = time.monotonic() + 5
        while edge_threads() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert edge_threads() == []


def test_only_its_own_key_is_sent(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment holds for the cloud stays there."""
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "of-the-cloud")
    with serving() as server:
        connect(server).generate(ASK, n=1, options=OPTIONS)
        connect(server, api_key="sk-edge").generate(ASK, n=1, options=OPTIONS)
        assert "of-the-cloud" not in str(server.headers)
        assert {headers["Authorization"] for headers in server.headers} == {"Bearer none", "Bearer sk-edge"}


def test_neither_repr_nor_a_copy_of_it_shows_a_key() -> None:
    """Not the api_key, nor one in the address; a pickle opens its own connections."""
    engine = ServerEngine("m", "http://user:sk-hidden@127.0.0.1:9/v1", api_key="sk-hidden")
    for each in (engine, pickle.loads(pickle.dumps(engine))):  # noqa: S301
        assert "sk-hidden" not in repr(each)
        assert "127.0.0.1:9" in repr(each)


def test_a_router_takes_a_server_by_its_address() -> None:
    """``http://host:port/v1#model`` is an edge model's name."""
    with serving(lambda request: completion(["Lima"] * request.get("n", 1))) as server:
        router = Router(f"{server.url}#m", threshold=1.0, samples=4)
        decision = router.decide(ASK)
        assert (decision.record.route, decision.record.samples) == ("edge", 4)
        assert decision.record.edge is not None
        assert (decision.record.edge.model, decision.record.edge.input_tokens) == ("m", 7)
        router.edge.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: resolve_edge("http://127.0.0.1:1/v1"), "Add the model"),
        (lambda: resolve_edge("http://127.0.0.1:1/v1#m", engine="llamacpp"), "leave engine='llamacpp' out"),
        (lambda: ServerEngine("m", "127.0.0.1:8000/v1"), "must be like http"),
        (lambda: ServerEngine("", "http://127.0.0.1:1/v1"), "not empty"),
        (lambda: ServerEngine("m", "http://127.0.0.1:1/v1", connections=0), "at least 1"),
        (lambda: ServerEngine("m", "http://127.0.0.1:1/v1", timeout_seconds=0), "above 0"),
        (lambda: ServerEngine("m", "http://127.0.0.1:1/v1", extra={"top_k": 0, "seed": 1, "n": 2}), "set n, seed:"),
    ],
)
def test_settings_that_cannot_work(make: Any, message: str) -> None:
    """Each is told when the engine is made."""
    with pytest.raises(ConfigurationError, match=message):
        make()
