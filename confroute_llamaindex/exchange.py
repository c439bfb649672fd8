"""One request on its way through the router: an `Exchange` for each call of an LLM method."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from dataclasses import dataclass, field, replace
from typing import Generic

from llama_index.core.instrumentation import get_dispatcher  # pyright: ignore[reportPrivateImportUsage]
from llama_index.core.instrumentation.span import active_span_id
from pydantic import BaseModel

from confroute.contract import Answer, Request
from confroute.records import ConfidenceRecord
from confroute.router import Router
from confroute.steps import Call, arun, astream, run, stream
from confroute_llamaindex.cloud import LlamaIndexCloud
from confroute_llamaindex.events import ConfidenceRoutingEvent
from confroute_llamaindex.responses import Response, cloud_response, delivered, edge_response, end_of

dispatcher = get_dispatcher(__name__)


@dataclass
class Exchange(Generic[Response]):
    """One request on its way through *router* to a response of that *kind*. To be made where the LLM's method begins:
    it remembers the span.
    """

    kind: type[Response]
    router: Router
    request: Request
    cloud: LlamaIndexCloud
    calls_twice: bool = False
    span_id: str | None = field(default_factory=active_span_id.get)
    _last: Response | None = None

    def __post_init__(self) -> None:
        self.request = replace(self.request, announce=self._announce)

    def _announce(self, record: ConfidenceRecord) -> Call:
        def fire() -> None:
            dispatcher.event(ConfidenceRoutingEvent.of(record, span_id=self.span_id))

        async def afire() -> None:
            fire()

        return Call(fire, afire)

    def answer(self) -> Response:
        return self._whole(run(self.router.answer(self.request, self.cloud)))

    async def aanswer(self) -> Response:
        return self._whole(await arun(self.router.answer(self.request, self.cloud)))

    def stream(self) -> Generator[Response, None, None]:
        """The chunks. The decision is taken here and not at the first ``next``: the method's span is still open, so
        that the cloud's span becomes its child rather than a root.
        """
        answers = stream(self.router.stream(self.request, self.cloud))
        first = self._chunk(next(answers))

        def chunks() -> Generator[Response, None, None]:
            with closing(answers):
                yield first
                for answer in answers:
                    yield self._chunk(answer)

        return chunks()

    async def astream(self) -> AsyncGenerator[Response, None]:
        answers = astream(self.router.stream(self.request, self.cloud))
        first = self._chunk(await anext(answers))

        async def chunks() -> AsyncGenerator[Response, None]:
            async with aclosing(answers):
                yield first
                async for answer in answers:
                    yield self._chunk(answer)

        return chunks()

    def _whole(self, answer: Answer[Response | BaseModel]) -> Response:
        if answer.native is None:
            return delivered(edge_response(self.kind, answer, calls_twice=self.calls_twice), answer.record)
        return delivered(cloud_response(self.kind, answer.native), answer.record)

    def _chunk(self, answer: Answer[Response | BaseModel]) -> Response:
        if answer.sample is not None:
            chunk = edge_response(self.kind, answer, delta=answer.sample.text, calls_twice=self.calls_twice)
        elif answer.native is not None:
            chunk = self._last = cloud_response(self.kind, answer.native)
        else:
            chunk = end_of(self.kind, self._last)
        return delivered(chunk, answer.record)
