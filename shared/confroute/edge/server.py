"""An edge model behind a server that speaks OpenAI's protocol."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any
from urllib.parse import unquote

from confroute.credentials import checked_key
from confroute.edge.addresses import checked_name, is_here, keep_place, read_address
from confroute.edge.background import BackgroundLoop
from confroute.edge.cut_prompts import refuse_cut
from confroute.edge.doubts import Doubts, are_alike
from confroute.edge.forks import RenewedLock
from confroute.edge.lacks import ever, lack_of, wants_more
from confroute.edge.portions import Portion
from confroute.edge.probing import Known, dated
from confroute.edge.protocol import (
    Capabilities,
    Connection,
    Reply,
    Shared,
    together,
)
from confroute.edge.proxies import proxy_variable, unusable_environment
from confroute.edge.refusals import BrokenError, DeniedError, FullError, RefusedError
from confroute.edge.renewals import Renewals
from confroute.edge.requests import Request, checked_extra, parts_of, request_of, samples_of, seed_of, size_of
from confroute.errors import ConfigurationError, ConfrouteError, ModelError, UnsupportedRequestError, require
from confroute.records import Generation, Message, Sample, SamplingOptions

_LOST_SECONDS = 10.0
"""How often at most a server is probed that was lost; longer where it was the same each time."""

_IMPORTED = ("openai.resources.chat", "httpx", "httpcore")
"""What would else be imported at the first request. It takes about a second: on an event loop perhaps, and a process
that is forked meanwhile would wait for good for what another thread began to import."""


@dataclass(frozen=True, slots=True)
class _Line:
    """What an engine opens at its first request and `ServerEngine.close` closes."""

    loop: BackgroundLoop
    connection: Connection
    probe: Shared[Known]
    hang_up: Callable[[], Any]
    lingers: bool = False
    """Whether a probe goes on though who waits for it leaves."""


class ServerEngine:
    """An edge model on vLLM, SGLang, llama-server, Ollama, LM Studio, TGI, or a fleet behind one URL.

    All samples of a prompt are one request where the server takes ``n``, and concurrent requests where it does not;
    which of the two, whether there are logprobs, whether it holds an answer to a JSON schema and whether its model
    calls tools is found out by four short requests at first use, a few more where it takes no ``n`` or refuses some of
    what they say, and longer ones where a model thinks first. No redirect is followed. The requests of all threads and
    event loops go out from one loop of the engine's own, so that they share connections; cancelling the caller's task
    cancels the request, which most servers answer by stopping to generate. Of the likeliest tokens at each place it
    tells up to 20, or as many as the server does.

    Args:
        model: the name that the server knows the model by.
        base_url: where its API begins, such as ``http://localhost:8000/v1``.
        api_key: where the server wants one. OPENAI_API_KEY is not read: it is the cloud's.
        timeout_seconds: for one request to the server from its beginning to its end, retries included.
        retries: how often a request is made again where the server is busy, breaks or is out of reach.
        connections: how many requests are under way at the same time; more wait, which is not counted as their time.
            Of a server that refuses some for being too many (status 429 or 503) they are fewer; those refused have
            their turn later, which is no retry, and after a while more are tried again.
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
        for module in _IMPORTED:
            import_module(module)
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
        self._extra = checked_extra(extra or {})
        self._known: Known | None = None
        self._answered = False  # ever
        self._could: Capabilities | None = None  # at any time
        self._probed = Renewals()  # for more than it could
        self._refusals = Renewals()  # that had it probed
        self._losses = Renewals(_LOST_SECONDS)
        self._doubts = Doubts()
        self._portion = Portion()
        self._line: _Line | None = None
        self._lock = RenewedLock()

    @property
    def base_url(self) -> str:
        """Where its API begins, without a login."""
        return self._base_url

    def __repr__(self) -> str:
        # The URL may hold a password.
        return f"ServerEngine({self.model!r} on {self._host})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_line": None, "_lock": None}

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
        """What the server can do, asked at first use and remembered until it is out of reach, refuses a request, or
        answers as another would: without logprobs, with copies, or telling that it is of another kind. What it cannot
        is remembered for two minutes, after which a request that is for it has it asked anew. What there is a way
        without, as logprobs and ``n``, is each time asked for half as often, at last once a day. Errors are those of a
        request."""
        line = self._connected()
        return line.loop.wait(self._capabilities(line)).can

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
                probe = Shared(lambda: dated(connection), seconds=self._timeout_seconds)
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
        for _ in range(2):
            known = await self._capable(line, messages, n, options)
            generation, untold = await self._drawn(line, known.can, messages, n, options)
            if await self._is_same(line, known, generation.samples, options, untold=untold):
                return generation
        raise ModelError(
            f"The server at {self._host} came back as another while it answered, and so did the next one. Is there "
            "more than one at its address, with different settings?"
        )

    async def _is_same(
        self, line: _Line, known: Known, samples: Sequence[Sample], options: SamplingOptions, *, untold: bool
    ) -> bool:
        """Whether the server that gave the *samples* can what it was *known* to: it may have come back as another."""
        if self._is_stale(line, known):
            # One is no copy of others; the next request asks anew.
            return len(samples) == 1 or (await self._capabilities(line)).can == known.can
        if not self._doubts.are_raised_by(samples, options, untold=untold):
            return True
        return (await self._doubted(line, known, samples, options)).can == known.can

    async def _doubted(self, line: _Line, known: Known, samples: Sequence[Sample], options: SamplingOptions) -> Known:
        """What the server can by now, where *samples* raise a doubt about what is *known*: as far as that is looked
        into already, or is to be. A ModelError where that failed, and they would pass for certainty."""
        doubts, alike = self._doubts, are_alike(samples, options)
        is_due = line.probe.is_under_way or await doubts.are_due(alike=alike)
        joins, fresh = line.probe.is_under_way, self._known or known
        if joins or is_due:
            if not joins:
                doubts.begin()
            try:
                fresh = await self._asked_anew(line)
            except ModelError as error:
                doubts.fail(str(error), joined=joins)
            if not joins and not (alike and doubts.open):
                doubts.renewals.end(in_vain=fresh.can == known.can)
        if alike and doubts.open:
            raise ModelError(
                f"The server at {self._host} gave {len(samples)} times the same, as one that does not draw would, and "
                f"whether it still draws could not be found out: {doubts.open}"
            )
        return fresh

    async def _drawn(
        self, line: _Line, can: Capabilities, messages: Sequence[Message], n: int, options: SamplingOptions
    ) -> tuple[Generation, bool]:
        """The samples, and whether a reply had no logprobs though the server *can* tell them, or was of another kind of
        server."""
        request = request_of(can, messages, options)
        seed = seed_of(can, options)
        samples: list[Sample] = []
        input_tokens, untold = 0, False
        issued = 0  # seeds, of which a server may have used more than it gave samples
        limit, short = self._portion.most_of(n), False
        refused = False  # what came last, which so many small ones may be, too
        room = sys.maxsize  # samples that this prompt's context has place for; those of other requests may be shorter
        while left := n - len(samples):
            most = min(left, limit, room) if can.n and not short else 1
            parts = parts_of(request, left, most, None if seed is None else seed + issued)
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
            self._portion.lower(limit)
            for reply, part in zip(replies, parts, strict=True):
                samples += samples_of(reply, can, part, options)
                issued += size_of(part)
                input_tokens = max(reply.input_tokens, input_tokens)
                untold = untold or reply.untold or reply.llamacpp != can.llamacpp
            short = self._portion.is_short([len(reply.samples) for reply in replies], [size_of(part) for part in parts])
        refuse_cut(messages, input_tokens, model=self.model)
        return Generation(samples=tuple(samples), input_tokens=input_tokens), untold

    async def _replies(self, line: _Line, parts: Sequence[Request], alternatives: int) -> list[Reply]:
        try:
            return await together([line.connection.samples(part, alternatives=alternatives) for part in parts])
        except (BrokenError, DeniedError, RefusedError) as error:
            # More samples than it takes are refused by a server that is still the same.
            if not isinstance(error, RefusedError) or all(size_of(part) == 1 for part in parts):
                self._doubt()
            raise

    def _forget(self) -> None:
        self._known = None
        self._portion.forget()

    def _doubt(self) -> None:
        """Have the server probed anew, which may be another by now; but not for each request that it refuses."""
        if self._refusals.is_old:
            self._refusals.begin()
            self._forget()

    async def _capable(self, line: _Line, messages: Sequence[Message], n: int, options: SamplingOptions) -> Known:
        """What the server can, which is all that the request is for; what it could not some time ago is asked anew."""
        known = await self._capabilities(line)

        def lack() -> ConfrouteError | None:
            could = ever(self._could, known.can)
            return lack_of(known.can, could, messages, n, options, model=self.model, host=self._host)

        lacking = lack()
        if lacking is not None and self._probed.is_old:
            known = await self._renewed(line, known)
        elif lacking is None and wants_more(known.can, n, options) and self._probed.is_due:
            before, known = known.can, await self._renewed(line, known)
            # The longer that there is no more, the less often it is asked for.
            self._probed.end(in_vain=known.can == before)
        lacking = lack()
        if lacking is not None:
            raise lacking
        return known

    async def _renewed(self, line: _Line, known: Known) -> Known:
        """What the server can by now. It is *known* how to do without more, and it goes on as it was where the probe
        fails."""
        try:
            return await self._asked_anew(line)
        except ModelError:
            return known

    async def _asked_anew(self, line: _Line) -> Known:
        self._probed.begin()  # others go on in the meantime
        return self._remembered(await line.probe.result(lingers=line.lingers))

    async def _capabilities(self, line: _Line) -> Known:
        if (lingered := line.probe.lingered()) is not None:
            # Known since then, which may be long ago.
            self._answered = True
            self._remembered(lingered)
        known = self._known
        if known is not None and not self._is_stale(line, known):
            return known
        fresh = await line.probe.result(lingers=line.lingers)
        self._answered = True
        # Others who waited for this probe come here, too.
        if fresh is not self._known:
            if known is not None and fresh.can == known.can:
                self._losses.begin()
                self._losses.end(in_vain=True)
            else:
                self._losses = Renewals(_LOST_SECONDS)
            self._remembered(fresh)
        return fresh

    def _is_stale(self, line: _Line, known: Known) -> bool:
        """Whether the server was lost since, and may be another: not each time of a fleet, one of which is loading, or
        of a line that breaks often."""
        return known.losses != line.connection.losses and self._losses.is_due

    def _remembered(self, known: Known) -> Known:
        if self._known is None or known.can != self._known.can:
            self._forget()
        self._known = known
        self._could = ever(self._could, known.can)
        self._probed.begin(known.at)
        self._doubts.settle(known.at)
        return known
