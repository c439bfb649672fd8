"""The edge model on llama.cpp, in this process, through xllamacpp."""

from __future__ import annotations

import asyncio
import secrets
import time
import weakref
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

from confroute.edge.choices import read_choice, request_for_tools, response_format
from confroute.edge.cut_numbers import with_numbers_cut
from confroute.edge.endings import end_before_exit, hold, leave_at_once
from confroute.edge.failed_loads import FailedLoads
from confroute.edge.forks import RenewedLock, renew_after_fork
from confroute.edge.grammars import NOT_HELD, held, held_tools
from confroute.edge.llamacpp_server import check_file, default_threads, started
from confroute.edge.loopback import Exchange, close_copies, is_gone
from confroute.edge.naming import expanded
from confroute.edge.own_thread import begun, in_daemon, in_own_thread
from confroute.edge.replies import read_reply
from confroute.edge.room import Room
from confroute.edge.spelling import spelling
from confroute.edge.waiting import Waiting
from confroute.errors import ConfigurationError, ContextLengthError, ModelError, UnsupportedRequestError, require
from confroute.records import Generation, Message, Sample, SamplingOptions
from confroute.tools import answer_schema, are_wanted, as_call


class LlamaCppEngine:
    """Runs a GGUF file. The fastest engine on a CPU: one prompt evaluation serves all *n* samples, and a prompt
    asked again is read from the cache.

    Token logprobs are those of the full softmax before temperature and top-p, of the answer without its thought or the
    fence around its JSON; None where the tokens do not spell it. Of a character that is several tokens, as many emoji
    are, llama.cpp tells the last one's only; ``output_tokens`` counts them all where there are neither stop strings,
    nor tools, nor a JSON schema. An answer is held to most of a schema: the bounds of numbers that are no integers, the
    number of properties, names with a pattern, and a length beside one are the model's to keep to, and `Router` checks
    the answer. One with a number that its grammar may have ended, of 16 digits or, as an integer without bounds, of 18
    or 19, counts as cut short (``finish_reason="length"``).

    Weights are loaded at the first request, in which time all threads and event loops of the process stand still: call
    `load` before serving. llama.cpp listens on a free loopback port, with a key that only this object has, and is asked
    there: a request that is cancelled, or ended by Ctrl-C, then stops being worked on after the tokens under way (on a
    CPU at most 64 of a prompt), or within two seconds where it has tools, stop strings or a JSON schema. A forked
    process asks its parent's, and loads its own once that has ended.

    Args:
        path: the ``.gguf`` file.
        name: the model's name in records; the file's name by default.
        context_tokens: tokens of key-value cache, shared by all concurrent samples. At most the model's own context
            fits into one request. Prompts that make way there are kept in as much memory again.
        parallel: how many samples are decoded together; more wait their turn.
        threads: CPU threads; by default all but one of the cores that this process may use, or both of two. They wait
            for each other awake, and on Linux asleep while others want the cores. Elsewhere all become many times
            slower where another program takes one's core, and fewer threads are faster.
        chat_template: a Jinja template instead of the file's own. Tools are for models whose template shows them.
    """

    json_schema = True
    tools = True
    wave = 4
    """How many samples `Router` draws at a time. A CPU is busy with four: ten together are some 10 % cheaper for each
    sample than four are, and a decision is often settled by then."""

    def __init__(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        context_tokens: int = 8192,
        parallel: int = 16,
        threads: int | None = None,
        chat_template: str | None = None,
    ) -> None:
        require("xllamacpp", extra="llamacpp", wanted_by="The llama.cpp engine")
        self.path = expanded(path)
        _check(context_tokens, "context_tokens", least=2, most=1 << 24)
        _check(parallel, "parallel", most=256)
        if threads is not None:
            _check(threads, "threads", most=512)
        self.model = name or self.path.stem
        self._context_tokens = context_tokens
        self._parallel = parallel
        self._threads = threads
        self._chat_template = chat_template
        self._knows_tools: bool | None = None
        self._server: Any = None
        self._waiting: Waiting | None = None
        self._key = ""
        self._begin()

    def __repr__(self) -> str:
        return f"LlamaCppEngine({self.model!r})"

    def __getstate__(self) -> dict[str, Any]:
        # A server cannot be copied or pickled; the copy loads its own at its first request.
        own = dict.fromkeys(("_server", "_waiting", "_loading", "_failed", "_exchanges", "_room"))
        return {**self.__dict__, **own, "_key": ""}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def _begin(self) -> None:
        self._loading = RenewedLock()
        self._failed = FailedLoads()
        self._room = Room(self._context_tokens)
        self._exchanges: weakref.WeakSet[Exchange] = weakref.WeakSet()
        self._is_own = True
        self._has_ended = False
        renew_after_fork(self._hold)

    def _hold(self) -> None:
        # The parent answers.
        if self._server is not None:
            hold(self._server)
            close_copies(self._server.listening_address)
        self._is_own = self._server is None
        # To break off the parent's requests at the end of this process would break them off there, too.
        self._exchanges = weakref.WeakSet()

    def end(self) -> None:
        """Break off all requests, at the end of the process: llama.cpp has stopped by then, and takes no more."""
        self._has_ended = True
        for exchange in tuple(self._exchanges):
            exchange.break_off()
        self._room.let_in()
        latest = time.monotonic() + _SECONDS_TO_STOP
        while self._server is not None and self._is_own and self._is_busy() and time.monotonic() < latest:
            time.sleep(0.01)
        if self._is_own and self._server is not None and time.monotonic() >= latest:
            # A forked process asks, who would have to be waited for.
            hold(self._server)
            leave_at_once()

    def _is_busy(self) -> bool:
        try:
            slots = Exchange(self._server.listening_address, self._key, seconds=1).send("/slots")
            return any(slot["is_processing"] for slot in slots)
        except TimeoutError:
            return True
        except (OSError, HTTPException, ValueError):
            return False

    def load(self) -> None:
        """Load the weights now rather than at the first request. No other thread of the process runs meanwhile. One
        that failed is tried anew, which requests do after a minute, or once the file is another."""
        self._failed.forget()
        self._load_first()

    def _load_first(self) -> None:
        if not self._is_ready:
            # Not in the main thread, where Ctrl-C would be the end of a server in its first moment.
            begun(self._load).result()

    @property
    def _is_ready(self) -> bool:
        # A parent that answers may end, and this process live on.
        return self._server is not None and self._is_own

    def _load(self) -> None:
        with self._loading:
            if self._server is not None and (self._is_own or not is_gone(self._server.listening_address)):
                return
            check_file(self.path)
            threads = self._threads or default_threads()
            # Its /slots would show the prompts to whoever finds the port.
            key = secrets.token_hex(16)
            end_before_exit(self, of_cpp=True)
            with self._failed.told_again(self.path):
                server = started(
                    self.path,
                    self.model,
                    context_tokens=self._context_tokens,
                    parallel=self._parallel,
                    threads=threads,
                    chat_template=self._chat_template,
                    key=key,
                )
            # Other threads may be about to ask a parent's that is gone, which is a ModelError. Whoever sees the new
            # server has its key.
            self._key, self._waiting = key, Waiting(lambda: threads)
            self._server, self._is_own = server, True

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        self._load_first()
        return self._generate(self._exchange(), messages, n, options)

    async def agenerate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        if not self._is_ready:
            await in_own_thread(self._load)
        exchange = self._exchange()
        try:
            return await in_daemon(self._generate, exchange, messages, n, options)
        except asyncio.CancelledError:
            exchange.break_off()
            self._room.let_in()
            raise

    def _exchange(self) -> Exchange:
        exchange = Exchange(self._server.listening_address, self._key)
        self._exchanges.add(exchange)
        if self._has_ended:
            exchange.break_off()
        return exchange

    def _generate(
        self, exchange: Exchange, messages: Sequence[Message], n: int, options: SamplingOptions
    ) -> Generation:
        if n < 1:
            raise ConfigurationError(f"n must be at least 1, not {n}.")
        request, prompt_tokens = self._checked_request(exchange, messages, options)
        samples: list[Sample] = []
        input_tokens = 0
        # llama.cpp refuses an n above its number of slots.
        together = min(n, self._parallel)
        is_over = partial(getattr, exchange, "is_broken_off")
        with self._room.place(prompt_tokens, together, request["max_tokens"], is_over) as place:
            while len(samples) < n:
                request["n"] = min(n - len(samples), together)
                if options.seed is not None:
                    # Each sample's is one more than the last one's, and none the greatest of 32 bits: that draws anew.
                    request["seed"] = (options.seed + len(samples)) % (_NO_SEED - self._parallel)
                try:
                    reply = self._ask(exchange, request, options)
                except _ContextFullError:
                    if self._room.is_alone(place):
                        # What does not fit together may fit in smaller batches. A single one does, unless others are
                        # still in there: cancelled ones, or a forked process's, which are ended with it.
                        if request["n"] == 1 and place.times_ended >= _MOST_ENDED:
                            raise
                        together = max(1, request["n"] // 2)
                    self._room.wait_again(place, samples=together)
                    continue
                given = [with_numbers_cut(_read(choice, options), options, held=True) for choice in reply["choices"]]
                if not given:
                    raise ModelError(f'llama.cpp answered a request to "{self.model}" with no choice.')
                samples += map(as_call, given) if options.must_call else given
                input_tokens = int(reply["usage"]["prompt_tokens"])
                # Of thoughts no tokens are told.
                self._room.learn(max(reply["usage"]["completion_tokens"], *(one.output_tokens for one in given)))
        return Generation(samples=tuple(samples), input_tokens=input_tokens)

    def _checked_request(
        self, exchange: Exchange, messages: Sequence[Message], options: SamplingOptions
    ) -> tuple[dict[str, Any], int]:
        """What to ask for, and how many tokens its prompt has."""
        if are_wanted(messages, options) and not self._knows(exchange):
            raise UnsupportedRequestError(f'The chat template of "{self.model}" does not show tools.')
        request = _request(messages, options)
        request["max_tokens"] = min(options.max_tokens, self._context_tokens)
        prompt = self._send(exchange, "/apply-template", request).get("prompt")
        if prompt is None:
            # It is refused, as asking for an answer will be.
            return request, 0
        if not prompt:
            # Of several samples, all but the first would never come.
            raise ModelError(f'The chat template of "{self.model}" made an empty prompt of the messages.')
        text = {"content": prompt, "add_special": True, "parse_special": True}
        return request, len(self._send(exchange, "/tokenize", text).get("tokens", ()))

    def _knows(self, exchange: Exchange) -> bool:
        """Whether the chat template shows the tools and their calls; llama.cpp tried it when it was loaded."""
        if self._knows_tools is None:
            can: dict[str, bool] = self._send(exchange, "/props").get("chat_template_caps") or {}
            self._knows_tools = bool(can.get("supports_tools") and can.get("supports_tool_calls"))
        return self._knows_tools

    def _ask(self, exchange: Exchange, request: dict[str, Any], options: SamplingOptions) -> dict[str, Any]:
        reply = self._send(exchange, "/v1/chat/completions", request)
        failure = reply.get("error")
        if failure is None:
            return reply
        if failure.get("type") == "exceed_context_size_error":
            raise ContextLengthError(
                prompt_tokens=failure["n_prompt_tokens"],
                max_tokens=options.max_tokens,
                context_tokens=failure["n_ctx"],
            )
        if failure.get("message") == "Context size has been exceeded.":
            raise _ContextFullError(
                f'The key-value cache of "{self.model}" ({self._context_tokens} tokens, shared by concurrent requests) '
                "is full. Give the engine a larger context_tokens, or ask it fewer things at a time."
            )
        kind = failure.get("type", "unknown error")
        if kind == "invalid_request_error" and request.get("response_format"):
            if request["messages"] and request["messages"][-1].get("role") == "assistant":
                raise UnsupportedRequestError("llama.cpp holds no answer that a message begins to a JSON schema.")
            # Whether the schema is at fault shows without it.
            plain = {name: value for name, value in request.items() if name != "response_format"}
            self._ask(exchange, plain | {"n": 1, "max_tokens": 1}, options)
            raise UnsupportedRequestError(NOT_HELD)
        raise ModelError(f'llama.cpp refused a request to "{self.model}": {kind}.')

    def _send(self, exchange: Exchange, path: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
        assert self._waiting is not None  # noqa: S101 - it is there once the server is
        try:
            with self._waiting.watched():
                return exchange.send(path, request)
        except (OSError, HTTPException, TypeError, ValueError, RecursionError) as error:
            raise ModelError(f'llama.cpp failed on a request to "{self.model}" ({type(error).__name__}).') from error


def _request(messages: Sequence[Message], options: SamplingOptions) -> dict[str, Any]:
    """What llama.cpp is asked for one sample or more."""
    request: dict[str, Any] = {
        "messages": [dict(message) for message in messages],
        "max_tokens": options.max_tokens,
        "temperature": options.usable_temperature,
        "top_p": options.top_p,
        # Temperature, then top-p, as OpenAI, vLLM and transformers do. llama.cpp's own chain would cut the
        # distribution further (top-k, min-p) than the caller asked, and cut it before the temperature.
        "samplers": ["temperature", "top_p"],
        "logprobs": True,
        # With 0 alternatives llama.cpp leaves the sampled token's own logprob out, too.
        "top_logprobs": min(max(1, options.alternatives), _MOST_ALTERNATIVES),
        "cache_prompt": True,
    }
    if options.stop:
        request["stop"] = list(options.stop)
    schema = answer_schema(options)
    if schema is not None:
        request["response_format"] = response_format(held(schema))
    if options.must_call:
        # Shown to the model, which is held to a call by the schema. llama.cpp itself would let it talk first.
        request["chat_template_kwargs"] = {"tools": list(options.tools)}
    else:
        request |= request_for_tools(replace(options, tools=held_tools(options.tools)))
    if not request.keys() & {"stop", "tools", "response_format"}:
        # llama.cpp notices a closed connection when it writes to it, otherwise once a second. But a stream has no
        # logprobs beside tools, nor of tokens held back: a stop string may begin with them, or an escape in JSON.
        request |= {"stream": True, "return_progress": True, "stream_options": {"include_usage": True}}
    return request


def _read(choice: dict[str, Any], options: SamplingOptions) -> Sample:
    """The sample, with the parts of characters counted that no logprobs are told of."""
    if answer_schema(options) is not None:
        # llama.cpp lets a model think before its JSON, and put it into a fence (```json), and tells these tokens, too.
        return spelling(read_choice(choice, alternatives=options.alternatives))
    sample = read_reply(choice, alternatives=options.alternatives, output_tokens=0)
    if "usage" not in choice:
        return sample
    # The token that ends the turn is counted.
    generated = int(choice["usage"]["completion_tokens"]) - (sample.finish_reason == "stop")
    return replace(sample, output_tokens=max(sample.output_tokens, generated))


def _check(value: int, name: str, *, most: int, least: int = 1) -> None:
    if not isinstance(value, int) or not least <= value <= most:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"{name} must be a whole number from {least} to {most}, not {value!r:.40}.")


_MOST_ALTERNATIVES = 1 << 20
_NO_SEED = 0xFFFFFFFF
_MOST_ENDED = 4
"""Times that a full cache ends a request: as one of those expected to fit, of those that fit, and twice alone."""
_SECONDS_TO_STOP = 4.0
"""At the end of a process: twice what llama.cpp takes at the most to notice that nobody waits for an answer."""


class _ContextFullError(ModelError):
    """The samples decoded together outgrew the cache that they share."""
