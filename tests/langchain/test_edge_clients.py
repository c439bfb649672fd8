"""The connections of a LangChain chat model that is the edge: they are its event loop's, and end with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import cached_property
from typing import Any

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from confroute import SamplingOptions
from confroute_langchain.edge import ChatModelEdge
from tests.edge.scripted_server import ScriptedServer, closing_client, completion, serving

openai = pytest.importorskip("langchain_openai")

ASK = [{"role": "user", "content": "Capital of Peru?"}]
DRAWN = SamplingOptions(temperature=0.7, max_tokens=8)


def chat_openai(server: ScriptedServer, **settings: Any) -> Any:
    return openai.ChatOpenAI(base_url=server.url, model="m", api_key="none", max_retries=0, **settings)


def test_chat_openai_is_an_edge_on_each_event_loop() -> None:
    """Connections of a loop that ended are found by no other, nor by another model that shares LangChain's HTTP client
    with it, such as the cloud."""
    with serving(lambda request: completion(["Lima"])) as server:
        edge, other = ChatModelEdge(chat_openai(server)), chat_openai(server)
        for _ in range(3):
            generation = asyncio.run(edge.agenerate(ASK, n=4, options=DRAWN))
            assert [sample.text for sample in generation.samples] == ["Lima"] * 4
        assert asyncio.run(other.ainvoke("Capital of Peru?", extra_headers={"Connection": "close"})).text == "Lima"


def test_a_client_of_the_callers_is_asked_on_each_event_loop() -> None:
    """It may know the way, or a password, and is closed by whoever made it."""
    http = closing_client()
    http.headers["way"] = "known"
    with serving(lambda request: completion(["Lima"])) as server:
        edge = ChatModelEdge(chat_openai(server, http_async_client=http))
        for _ in range(2):
            asyncio.run(edge.agenerate(ASK, n=2, options=DRAWN))
        assert {headers.get("way") for headers in server.headers} == {"known"}
    assert not http.is_closed


def test_a_proxy_is_kept_to() -> None:
    """Though LangChain's own client for it is as one that was given."""
    with serving(lambda request: completion(["Lima"])) as proxy:
        model = openai.ChatOpenAI(
            base_url="http://nowhere.invalid/v1", model="m", api_key="none", openai_proxy=proxy.url.removesuffix("/v1")
        )
        edge = ChatModelEdge(model)
        for _ in range(2):
            asyncio.run(edge.agenerate(ASK, n=4, options=DRAWN))
        assert {headers["Host"] for headers in proxy.headers} == {"nowhere.invalid"}


class OfAnSdk(BaseChatModel):
    """Of a maker whose SDK is generated as OpenAI's is."""

    url: str
    temperature: float | None = None

    @property
    def _llm_type(self) -> str:
        return "of-an-sdk"

    def made(self) -> AsyncOpenAI:
        return AsyncOpenAI(api_key="none", base_url=self.url, max_retries=0)

    def completions(self) -> Any:
        raise NotImplementedError

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        reply = await self.completions().create(model="m", messages=[{"role": "user", "content": messages[-1].text}])
        message = AIMessage(reply.choices[0].message.content)
        return ChatResult(generations=[ChatGeneration(message=message)])


class Parted(OfAnSdk):
    """As ChatGroq, which keeps that part of the client that it asks."""

    async_client: Any = None

    def model_post_init(self, context: Any) -> None:
        self.async_client = self.made().chat.completions

    def completions(self) -> Any:
        return self.async_client


class Lazy(OfAnSdk):
    """As ChatAnthropic, which makes it when it is first asked."""

    @cached_property
    def _async_client(self) -> AsyncOpenAI:
        return self.made()

    def completions(self) -> Any:
        return self._async_client.chat.completions


@pytest.mark.parametrize("kind", [Parted, Lazy])
@pytest.mark.parametrize("used", [False, True])
def test_a_client_of_an_sdk_is_made_for_each_event_loop(kind: type[OfAnSdk], used: bool) -> None:
    """However the model keeps it; its own is left as it was."""
    with serving(lambda request: completion(["Lima"])) as server:
        model = kind(url=server.url)
        if used:
            model.completions()
        held = dict(vars(model))
        edge = ChatModelEdge(model)
        for _ in range(4):
            generation = asyncio.run(edge.agenerate(ASK, n=8, options=DRAWN))
            assert [sample.text for sample in generation.samples] == ["Lima"] * 8
        assert vars(model) == held


class Counting(httpx.AsyncHTTPTransport):
    """A way of the caller's own."""

    def __init__(self) -> None:
        super().__init__(limits=httpx.Limits(max_keepalive_connections=0))
        self.count = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.count += 1
        return await super().handle_async_request(request)


def given_client(model: Any, way: Counting) -> None:
    """Another client in place of LangChain's."""
    http = DefaultAsyncHttpxClient(transport=way)
    model.root_async_client = AsyncOpenAI(api_key="none", base_url=model.openai_api_base, http_client=http)
    model.async_client = model.root_async_client.chat.completions


def wrapped_part(model: Any, way: Counting) -> None:
    """Something around what LangChain asks."""
    inner = model.async_client.with_raw_response

    class Around:
        with_raw_response: Any

        async def create(self, **request: Any) -> Any:
            way.count += 1
            return await inner.create(**request)

    model.async_client = Around()
    model.async_client.with_raw_response = model.async_client


def patched_part(model: Any, way: Counting) -> None:
    """A method of it replaced, as tracers do."""
    create = model.async_client.create

    async def traced(**request: Any) -> Any:
        way.count += 1
        return await create(**request)

    model.async_client.create = traced


def patched_raw(model: Any, way: Counting) -> None:
    """The method that LangChain asks for raw responses."""
    create = model.async_client.with_raw_response.create

    async def traced(**request: Any) -> Any:
        way.count += 1
        return await create(**request)

    model.async_client.with_raw_response.create = traced


def patched_http(model: Any, way: Counting) -> None:
    """A method of LangChain's own HTTP client replaced, as instrumentation does."""
    send = model.root_async_client._client.send

    async def traced(*given: Any, **options: Any) -> Any:
        way.count += 1
        return await send(*given, **options)

    model.root_async_client._client.send = traced


def patched_transport(model: Any, way: Counting) -> None:
    """The same below it."""
    transport = model.root_async_client._client._transport
    handle = transport.handle_async_request

    async def traced(request: Any) -> Any:
        way.count += 1
        return await handle(request)

    transport.handle_async_request = traced


def hooked(model: Any, way: Counting) -> None:
    """Something that is to be done with each request."""

    async def count(request: httpx.Request) -> None:
        way.count += 1

    model.root_async_client._client.event_hooks = {"request": [count]}


PUT_IN = [given_client, wrapped_part, patched_part, patched_raw, patched_http, patched_transport, hooked]


@pytest.mark.parametrize("put_in", PUT_IN)
def test_what_the_caller_put_in_is_what_is_asked(put_in: Callable[[Any, Counting], None]) -> None:
    """It may know the way, count or trace."""
    way = Counting()
    with serving(lambda request: completion(["Lima"], logprob=None)) as server:
        model = chat_openai(server, logprobs=False, default_headers={"Connection": "close"})
        put_in(model, way)
        edge = ChatModelEdge(model)
        for _ in range(2):
            asyncio.run(edge.agenerate(ASK, n=2, options=SamplingOptions()))
        assert (way.count, len(server.answered)) == (4, 4)


def test_what_the_caller_put_into_http_is_sent_on_each_event_loop() -> None:
    """Its headers, cookies and password, as of now, beside cookies that the server gave."""
    with serving(lambda request: completion(["Lima"])) as server:
        model = chat_openai(server)
        http = model.root_async_client._client
        http.headers["team"] = "red"
        edge = ChatModelEdge(model)

        async def ask() -> None:
            await edge.agenerate(ASK, n=1, options=DRAWN)
            http.headers["team"] = "blue"
            http.cookies.set("way", "known")
            http.auth = ("red", "secret")
            await edge.agenerate(ASK, n=1, options=DRAWN)

        asyncio.run(ask())
        asyncio.run(edge.agenerate(ASK, n=1, options=DRAWN))
        sent = [(headers["team"], headers.get("Cookie"), headers["Authorization"][:5]) for headers in server.headers]
        assert sent == [("red", None, "Beare"), *[("blue", "way=known", "Basic")] * 2]


def new_key(model: Any) -> None:
    model.root_async_client.api_key = "new"


def new_client(model: Any) -> None:
    model.root_async_client = model.root_async_client.with_options(api_key="new")
    model.async_client = model.root_async_client.chat.completions


@pytest.mark.parametrize("rotate", [new_key, new_client])
def test_a_key_set_anew_is_sent_from_the_next_request_on(rotate: Callable[[Any], None]) -> None:
    """On the event loop that runs, and over the connection that is there."""
    with serving(lambda request: completion(["Lima"])) as server:
        model = chat_openai(server)
        edge = ChatModelEdge(model)

        async def ask() -> None:
            await edge.agenerate(ASK, n=2, options=SamplingOptions())
            rotate(model)
            await edge.agenerate(ASK, n=2, options=SamplingOptions())

        asyncio.run(ask())
        assert [headers["Authorization"] for headers in server.headers] == ["Bearer none"] * 2 + ["Bearer new"] * 2


def test_an_http_client_is_made_once_on_an_event_loop() -> None:
    """It takes as long as some answers, and has the connections."""
    made: list[Any] = []

    class Made(DefaultAsyncHttpxClient):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            made.append(self)

    with serving(lambda request: completion(["Lima"])) as server:
        model = Lazy(url=server.url)
        model._async_client._client.__class__ = type("AsyncHttpxClientWrapper", (Made,), {})
        edge = ChatModelEdge(model)

        async def ask() -> None:
            for _ in range(3):
                await edge.agenerate(ASK, n=2, options=DRAWN)

        for loops in (1, 2):
            asyncio.run(ask())
            assert len(made) == loops
        assert [http.is_closed for http in made] == [True, True]


def test_what_a_client_found_out_it_knows_at_the_next_request() -> None:
    """Such as a token that it had to ask for: there is another only where the model's own says something else."""
    asking: list[Any] = []

    class Remembering(Lazy):
        def completions(self) -> Any:
            asking.append(self._async_client)
            self._async_client.embeddings  # noqa: B018 - a part that the model's own was not asked for
            return super().completions()

    with serving(lambda request: completion(["Lima"])) as server:
        model = Remembering(url=server.url)
        own = model._async_client
        edge = ChatModelEdge(model)

        async def ask() -> None:
            for _ in range(2):
                await edge.agenerate(ASK, n=1, options=DRAWN)
            own.api_key = "new"
            await edge.agenerate(ASK, n=1, options=DRAWN)

        asyncio.run(ask())
        first, second, third = asking
        assert first is second is not third
        assert own is not first


def test_a_client_that_cannot_be_made_again_fails_no_request(caplog: pytest.LogCaptureFixture) -> None:
    """The model's own may do, on one event loop at least."""

    class Broken(ChatModelEdge):
        def loop_clients(self, again: Any) -> Any:
            raise TypeError("Lima")

    with serving(lambda request: completion(["Lima"])) as server, caplog.at_level(logging.WARNING, "confroute"):
        model = chat_openai(server, http_async_client=closing_client())
        generation = asyncio.run(Broken(model).agenerate(ASK, n=2, options=DRAWN))  # and a trial
        assert len(generation.samples) == 2
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("No clients of their own could be made for an event loop (TypeError);")
