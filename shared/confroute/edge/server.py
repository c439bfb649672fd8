"""An edge model behind a server that speaks OpenAI's protocol."""

from __future__ import annotations

import json
import math
import os
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, TypeAlias
from urllib.parse import unquote

from confroute.credentials import checked_key
from confroute.edge.addresses import checked_name, is_here, keep_place, read_address
from confroute.edge.background import BackgroundLoop
from confroute.edge.choices import request_for_tools, response_format
from confroute.edge.forks import RenewedLock
from confroute.edge.probing import LONGEST, probed
from confroute.edge.protocol import (
    Capabilities,
    Connection,
    Shared,
    any_seed,
    together,
)
from confroute.edge.proxies import proxy_variable, unusable_environment
from confroute.edge.refusals import BrokenError, DeniedError, FullError, LostError, RefusedError
from confroute.errors import ConfigurationError, ConfrouteError, ModelError, UnsupportedRequestError, require
from confroute.records import Generation, Message, Sample, SamplingOptions
from confroute.tools import are_wanted

Request: TypeAlias = dict[str, Any]

_OWN = frozenset(
    "messages model n seed stream max_tokens max_completion_tokens temperature top_p stop logprobs top_logprobs "
    "response_format tools tool_choice".split()
)
"""What the engine sets itself, or counts on not to be set."""
_SEEDS = 2**32 - 1
"""How many seeds there are: some servers refuse longer ones, and to llama-server the last of 32 bits is any."""
_ANEW_SECONDS = 120.0
"""How long a server's "no" is taken for its last word, and how often at most one that fails on requests is probed."""


@dataclass(frozen=True, slots=True)
class _Line:
    """What an engine opens at its first request and `ServerEngine.close` closes."""

    loop: BackgroundLoop
    connection: Connection
    probe: Shared[Capabilities]
    hang_up: Callable[[], Any]
    lingers: bool = False
    """Whether a probe goes on though who waits for it leaves."""


class ServerEngine:
    """An edge model on vLLM, SGLang, llama-server, Ollama, LM Studio, TGI, or a fleet behind one URL.

    All samples of a prompt are one request where the server takes ``n``, and concurrent requests where it does not;
    which of the two, whether there are logprobs, whether it holds an answer to a JSON schema and whether its model
    calls tools is found out by four short requests at first use, a few more where it refuses some of what they say, and
    longer ones where a model thinks first. No redirect is followed. The requests of all threads and event loops go out
    from one loop of the engine's own, so that they share connections; cancelling the caller's task cancels the request,
    which most servers answer by stopping to generate. Of the likeliest tokens at each place it tells up to 20, or as
    many as the server does.

    Args:
        model: the name that the server knows the model by.
        base_url: where its API begins, such as ``http://localhost:8000/v1``.
        api_key: where the server wants one. OPENAI_API_KEY is not read: it is the cloud's.
        timeout_seconds: for one request to the server from its beginning to its end, retries included.
        retries: how often a request is made again where the server is busy, breaks or is out of reach.
        connections: how many requests are under way at the same time; more wait, which is not counted as their time.
        extra: further parameters of each request that only this server knows, such as ``{"top_k": 0}``. None that the
            engine sets itself, as ``n`` and ``seed``.
    """

    json_schema = True
    tools = True

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 120.0,
        retries: int = 2,
        connections: int = 64,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        require("openai", extra="server", wanted_by="An edge model behind a server")
        address, self._host = read_address(base_url)
        if not timeout_seconds > 0 or retries < 0 or connections < 1:
            raise ConfigurationError(
                "timeout_seconds must be above 0, retries at least 0 and connections at least 1, not "
                f"{timeout_seconds}, {retries} and {connections}."
            )
        self.model = checked_name(model)
        # In the URL it would be logged with each request.
        self._login = (unquote(address.username or ""), unquote(address.password or ""))
        self._base_url = address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()
        self._api_key = checked_key("api_key", api_key)
        self._timeout_seconds = timeout_seconds
        self._retries = retries
        self._connections = connections
        self._extra = _checked_extra(extra or {})
        self._can: Capabilities | None = None
        self._answered = False  # ever
        self._asked_at = self._doubted_at = -math.inf  # by the monotonic clock
        self._most = sys.maxsize  # samples that the server takes in one request, as far as known
        self._was_short = False  # whether it gave less than that the last time
        self._line: _Line | None = None
        self._lock = RenewedLock()

    def __repr__(self) -> str:
        # The URL may hold a password.
        return f"ServerEngine({self.model!r} on {self._host})"

    def __getstate__(self) -> dict[str, Any]:
        # Another machine has another clock.
        return {**self.__dict__, "_line": None, "_lock": None, "_asked_at": -math.inf, "_doubted_at": -math.inf}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = RenewedLock()

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        line = self._connected()
        return line.loop.wait(self._generate(line, messages, n, options))

    async def agenerate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        # A task is cancelled by a caller that has no more time, and comes again.
        line = replace(self._connected(), lingers=True)
        return await line.loop.relay(self._generate(line, messages, n, options))

    def capabilities(self) -> Capabilities:
        """What the server can do, asked at first use and remembered until it is out of reach or refuses a request; what
        it cannot, for two minutes, after which a request that is for it has it asked anew. Errors are those of a
        request."""
        line = self._connected()
        return line.loop.wait(self._capabilities(line))

    def close(self) -> None:
        """Close the connections and end the engine's thread, as its garbage collection does, too. What is under way
        fails with a ModelError; the next request opens them again."""
        with self._lock:
            line, self._line = self._line, None
        if line is not None:
            line.hang_up()

    def _connected(self) -> _Line:
        with self._lock:
            if self._line is None or not self._line.loop.alive:
                by_environment = not is_here(self._base_url)  # a proxy of the environment would ask itself
                client = self._client(by_environment)
                loop = BackgroundLoop("confroute-edge")
                connection = Connection(
                    client,
                    self.model,
                    self._host,
                    self._extra,
                    most=self._connections,
                    seconds=self._timeout_seconds,
                    retries=self._retries,
                    answered=self._answered,
                    proxy=proxy_variable(self._base_url) if by_environment else None,
                )
                hang_up = weakref.finalize(self, lambda: loop.close(connection.close()))
                probe = Shared(lambda: probed(connection), seconds=self._timeout_seconds)
                self._line = _Line(loop, connection, probe, hang_up)
            return self._line

    def _client(self, by_environment: bool) -> Any:
        openai: Any = import_module("openai")
        httpx: Any = import_module("httpx")
        # The SDK would send the cloud's from the environment.
        custom = [line.split(":")[0].strip() for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")]
        foreign = {name: openai.Omit() for name in ("OpenAI-Organization", "OpenAI-Project", *custom)}
        key = self._api_key or "none"
        failure: ConfigurationError | None = None
        http_client: Any = None
        try:
            http_client = openai.DefaultAsyncHttpxClient(
                auth=self._login if any(self._login) else None,
                limits=httpx.Limits(max_connections=self._connections),
                # Its certificates are the environment's in any case.
                verify=httpx.create_ssl_context() if self._base_url.startswith("https:") else True,
                trust_env=by_environment,
                follow_redirects=False,  # the prompt would go with them
                event_hooks={"response": [keep_place]},
            )
        except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
            failure = unusable_environment(error)
        if failure is not None:
            raise failure
        return openai.AsyncOpenAI(
            api_key=key,
            base_url=self._base_url,
            timeout=self._timeout_seconds,
            max_retries=0,  # the connection's own, which knows what is in vain
            default_headers={**foreign, "Authorization": f"Bearer {key}"},
            http_client=http_client,
        )

    async def _generate(self, line: _Line, messages: Sequence[Message], n: int, options: SamplingOptions) -> Generation:
        can = await self._capable(line, messages, n, options)
        request = _request(can, messages, options)
        seed = _seed(can, options)
        samples: list[Sample] = []
        input_tokens = 0
        issued = 0  # seeds, of which a server may have used more than it gave samples
        limit, short = self._most, False
        refused = False  # what came last, which so many small ones may be, too
        room = sys.maxsize  # samples that this prompt's context has place for; those of other requests may be shorter
        while left := n - len(samples):
            most = min(left, limit, room) if can.n and not short else 1
            parts = _parts(request, left, most, None if seed is None else seed + issued)
            if refused or room < sys.maxsize:
                # Under way together, they would share the context, too.
                parts = parts[:1]
            try:
                replies = await self._replies(line, parts, options.alternatives)
            except FullError:
                if most == 1 and len(parts) == 1:
                    raise
                room = max(1, most // 2)
                continue
            except RefusedError as error:
                if most == 1 and options.json_schema is not None:
                    raise UnsupportedRequestError(f"{error} It may be the JSON schema.") from error
                if most == 1:
                    raise
                limit, refused = most // 2, True  # llama-server takes no more than it has slots
                continue
            refused = False
            # Remembered only now: a request that is refused however small says nothing about the next.
            self._most = min(self._most, limit)
            for (given, tokens), part in zip(replies, parts, strict=True):
                samples += given[: part["n"]]
                issued += part["n"]
                input_tokens = tokens or input_tokens
            short = self._are_short([len(given) for given, _ in replies], [part["n"] for part in parts])
        return Generation(samples=tuple(samples), input_tokens=input_tokens)

    async def _replies(
        self, line: _Line, parts: Sequence[Request], alternatives: int
    ) -> list[tuple[list[Sample], int]]:
        """The samples of each part, and its prompt's tokens."""
        try:
            return await together([line.connection.samples(part, alternatives=alternatives) for part in parts])
        except LostError:
            self._forget()
            raise
        except (BrokenError, DeniedError, RefusedError) as error:
            # More samples than it takes are refused by a server that is still the same.
            if not isinstance(error, RefusedError) or all(part["n"] == 1 for part in parts):
                self._doubt()
            raise

    def _are_short(self, given: Sequence[int], asked: Sequence[int]) -> bool:
        """Whether a reply had fewer samples than asked for: once may be an accident, twice in a row is all that the
        server gives."""
        short = [some for some, n in zip(given, asked, strict=True) if some < n]
        if short and self._was_short:
            self._most = min(self._most, max(short))
        if short or max(asked) > 1:
            self._was_short = bool(short)
        return bool(short)

    def _forget(self) -> None:
        self._can, self._most, self._was_short = None, sys.maxsize, False

    def _doubt(self) -> None:
        """Have the server probed anew, which may be another by now; but not for each request that it refuses."""
        now = time.monotonic()
        if now - self._doubted_at >= _ANEW_SECONDS:
            self._doubted_at = now
            self._forget()

    async def _capable(
        self, line: _Line, messages: Sequence[Message], n: int, options: SamplingOptions
    ) -> Capabilities:
        """What the server can, which is all that the request is for; what it could not some time ago is asked anew."""
        can = await self._capabilities(line)
        lack = self._lack(can, messages, n, options)
        if lack is not None and time.monotonic() - self._asked_at >= _ANEW_SECONDS:
            self._forget()
            can = await self._capabilities(line)
            lack = self._lack(can, messages, n, options)
        if lack is not None:
            raise lack
        return can

    def _lack(
        self, can: Capabilities, messages: Sequence[Message], n: int, options: SamplingOptions
    ) -> ConfrouteError | None:
        """What the server cannot of what the request is for."""
        several = n > 1 and options.temperature > 0
        if several and can.draws is None:
            return ModelError(
                f'"{self.model}" on the server at {self._host} said nothing in {LONGEST} tokens, so that it is not '
                "known whether its samples differ. If it is a reasoning model, have its server show the thoughts, or "
                "turn them off."
            )
        if several and not can.draws:
            return ConfigurationError(
                f'The server at {self._host} answers "{self.model}" with the same text however high the temperature: '
                "samples would agree whatever the model knows. Have it draw, without a seed of its own and a cache "
                "before it; docs/scale.md tells how for some servers."
            )
        if options.json_schema is not None and not can.json_schema:
            return UnsupportedRequestError(f"The server at {self._host} does not hold answers to a JSON schema.")
        if are_wanted(messages, options) and not can.tools:
            return UnsupportedRequestError(f'The server at {self._host} does not call tools with "{self.model}".')
        return None

    async def _capabilities(self, line: _Line) -> Capabilities:
        if self._can is None:
            self._can = await line.probe.result(lingers=line.lingers)
            self._asked_at = time.monotonic()
            self._answered = True
        return self._can


def _request(can: Capabilities, messages: Sequence[Message], options: SamplingOptions) -> Request:
    """What of the request all its parts have in common."""
    request: Request = {
        "messages": [dict(message) for message in messages],
        can.limit_name: options.max_tokens,
        "temperature": options.temperature,
        **request_for_tools(options),
    }
    if options.top_p < 1 or can.whole_top_p:
        request["top_p"] = options.top_p
    if options.stop:
        request["stop"] = list(options.stop)
    if options.json_schema is not None:
        request["response_format"] = response_format(options.json_schema)
    if can.logprobs:
        request["logprobs"] = True
    if can.alternatives:
        # With 0 of them llama.cpp leaves the sampled token's own logprob out, too.
        request["top_logprobs"] = min(max(1, options.alternatives), can.alternatives)
    return request


def _seed(can: Capabilities, options: SamplingOptions) -> int | None:
    """The first of a prompt's seeds. Without one, those of its requests would be copies of each other where the server
    has a seed of its own; a router, too, spreads them over several."""
    drawn = options.seed is None and options.temperature > 0 and can.seeds
    return any_seed() if drawn else options.seed


def _parts(request: Request, n: int, most: int, seed: int | None) -> list[Request]:
    """The requests for *n* samples that ask for at most *most* each, with the seeds from *seed* on."""
    return [
        {**request, **({} if seed is None else {"seed": (seed + begin) % _SEEDS}), "n": min(most, n - begin)}
        for begin in range(0, n, most)
    ]


def _checked_extra(extra: Mapping[str, Any]) -> dict[str, Any]:
    """What goes with each request. ConfigurationError for what cannot, or is the engine's to set."""
    if taken := _OWN & set(extra):
        raise ConfigurationError(
            f"extra cannot set {', '.join(sorted(taken))}: the engine does, from what each request is for."
        )
    try:
        json.dumps(extra, allow_nan=False, ensure_ascii=False).encode()
    except (RecursionError, TypeError, ValueError):
        failure = ConfigurationError("extra must be what JSON has a form for: texts, finite numbers and the like.")
    else:
        return dict(extra)
    raise failure
