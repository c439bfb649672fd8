"""Handlers that LangChain adds to all runs of a context: they hear of a request once, however it is answered."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.context import collect_runs

from confroute.edge.probing import PROBE
from confroute_langchain import ConfidenceRoutedChatModel
from tests.langchain.scripted import SURE, UNSURE, ScriptedCloud, routed


class SmallModel(ScriptedCloud):
    """A chat model to be the edge: sure of all but the name of a boat, and it tells what it took."""

    temperature: float = 0.0

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        said = f"boat {time.perf_counter_ns()}" if messages[-1].text == PROBE[0]["content"] else "Lima"
        usage = {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4}
        message = AIMessage(said, usage_metadata=usage, response_metadata={"model_name": "small"})
        return ChatResult(generations=[ChatGeneration(message=message)])


def counted(usage: Any) -> dict[str, int]:
    return {name: counts["total_tokens"] for name, counts in usage.usage_metadata.items()}


@pytest.mark.parametrize("in_a_chain", [False, True])
def test_usage_is_counted_as_of_the_plain_cloud(ask: Any, *, in_a_chain: bool) -> None:
    """An escalated request counts once, under the cloud's name, and the context's handlers are there again after."""
    model = routed()
    runnable = ChatPromptTemplate.from_template("{q}") | model if in_a_chain else model
    with get_usage_metadata_callback() as usage:
        ask(runnable, {"q": UNSURE} if in_a_chain else UNSURE)
        assert counted(usage) == {"scripted-cloud": 15}
        ask(ScriptedCloud(), UNSURE)
        assert counted(usage) == {"scripted-cloud": 30}


@pytest.mark.parametrize(("threshold", "tokens"), [(0.3, 4), (2.0, 15)])
def test_samples_of_an_edge_are_not_counted(ask: Any, threshold: float, tokens: int) -> None:
    """A chat model as the edge counts with the served answer, its samples not at all."""
    model = ConfidenceRoutedChatModel(edge=SmallModel(), cloud=ScriptedCloud(), threshold=threshold)
    with get_usage_metadata_callback() as usage:
        ask(model, "Capital of Peru?")
    assert list(counted(usage).values()) == [tokens]


def test_tracers_of_the_context_still_see_the_tree(ask: Any) -> None:
    """A tracer that LangChain adds has the cloud's run within ours, and none of the edge's samples."""
    with collect_runs() as runs:
        ask(routed(), UNSURE)
        model = ConfidenceRoutedChatModel(edge=SmallModel(), cloud=ScriptedCloud())
        ask(model, "Capital of Peru?")
    assert [[child.name for child in run.child_runs] for run in runs.traced_runs] == [["ScriptedCloud"], []]


def test_a_stream_left_open_hides_nothing() -> None:
    """Between two pieces the consumer's own calls are counted."""

    async def awaited() -> None:
        stream: Any = routed().astream(UNSURE)
        await anext(stream)
        await ScriptedCloud().ainvoke(SURE)
        await stream.aclose()

    with get_usage_metadata_callback() as usage:
        stream = routed().stream(UNSURE)
        next(stream)
        RunnableLambda(ScriptedCloud().invoke).invoke(SURE)
        assert counted(usage) == {"scripted-cloud": 15}
        stream.close()
        asyncio.run(awaited())
    assert counted(usage) == {"scripted-cloud": 30}
