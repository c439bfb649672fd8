"""What an edge engine is: anything with a name and a `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from confroute.records import Generation, Message, SamplingOptions


@runtime_checkable
class EdgeEngine(Protocol):
    """Runs the edge model. This is all another engine must implement.

    An engine is shared by threads: `generate` is called concurrently. It loads its weights at the first call or
    earlier, never in a way that repeats for each request.
    """

    @property
    def model(self) -> str:
        """The model's name as the record shows it; no path, no key."""
        ...

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        """Sample *n* answers to *messages*, with natural-log token probabilities where the engine has them.

        The prompt should be evaluated once whatever *n* is, and again cheaply if it was the last one asked.
        An engine may also have ``async def agenerate`` with the same arguments; without it, the asynchronous
        router calls this one in a worker thread. And it may have a ``wave``: how many samples the router is to draw
        at a time, where fewer together cost hardly more than all and may settle the decision. With ``json_schema =
        True`` it says that it enforces that option, with ``tools = True`` that it may know what to do with tools and
        their messages; the router gives it no such requests otherwise.

        Where an answer and samples of it come sooner together, an engine may have ``generate_with_samples(messages, *,
        options, n, sampling, limit)`` and ``agenerate_with_samples``. They give a list of two: what ``generate`` gives
        for one answer with *options*, and what it gives for *n* with *sampling* were its ``max_tokens`` at most
        ``limit(answer)``, which can be asked once the answer has ended: more tokens than that has, or 0 where samples
        of it are of no use. The router asks so where it will need samples whatever the answer is.

        Raises:
            ContextLengthError: the prompt leaves no room for an answer; before any work is done. An answer that the
                context cuts short has ``finish_reason="length"``.
            UnsupportedRequestError: it cannot do what *options* ask for; before any work is done.
            ModelError: the model failed.
        """
        ...
