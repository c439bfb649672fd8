"""A LlamaIndex query engine whose LLM answers locally what it is sure of, over Python's own documentation.

The edge is the real SmolLM2-135M; the cloud is LlamaIndex's MockLLM and the embedding a keyword match, so that the
recipe runs without a key or a download. Put OpenAI(...) and your embedding in their places.
"""

from pydoc_data.topics import topics

from llama_index.core import Document, Settings, SummaryIndex
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import MockLLM

from confroute_llamaindex import ConfidenceRoutedLLM, ConfidenceRoutingEvent


class Routes(BaseEventHandler):
    """Collects the routing events: the way to the record through a query engine."""

    seen: list[ConfidenceRoutingEvent] = []

    def handle(self, event: object, **_: object) -> None:
        """Keep ours, ignore the rest."""
        if isinstance(event, ConfidenceRoutingEvent):
            self.seen.append(event)


routes = Routes()
get_dispatcher().add_event_handler(routes)
Settings.llm = ConfidenceRoutedLLM(edge="smollm2-135m", cloud=MockLLM(max_tokens=8), max_tokens=24, samples=4)

index = SummaryIndex.from_documents([Document(text=topics["assert"][:800])])
response = index.as_query_engine().query("What does the assert statement insert into a program?")

print(response)
for event in routes.seen:
    print(f"{event.route}: {event.reason}, confidence {event.confidence}")
assert routes.seen
