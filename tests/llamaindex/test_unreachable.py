"""A cloud that cannot be reached is needed for nothing but its answers."""

import logging
from typing import Any

import pytest
from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.llms import MockLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.ollama import Ollama

from confroute_llamaindex import ConfidenceRoutedLLM
from confroute_llamaindex.cloud import model_name
from tests.llamaindex.conftest import ScriptedCloud

KEY = "confidence_routing"
every_endpoint = pytest.mark.parametrize(
    "endpoint", [f"{a}{stream}{kind}" for kind in ("chat", "complete") for a in ("", "a") for stream in ("", "stream_")]
)


class Unreachable(ScriptedCloud):
    """Asks its server for its metadata, as Ollama does, and reaches it never."""

    error: Any = ConnectionError("sk-secret")

    @property
    def metadata(self) -> LLMMetadata:
        raise ConnectionError("sk-secret")


@every_endpoint
async def test_what_the_edge_is_sure_of_needs_no_cloud(endpoint: str, routed: Any, ask: Any) -> None:
    """A confident answer is served while the cloud is down."""
    last = (await ask(routed("edge", cloud=Unreachable()), endpoint))[-1]
    assert last.additional_kwargs[KEY]["reason"] == "confident"


@every_endpoint
async def test_the_edge_stands_in(endpoint: str, routed: Any, ask: Any) -> None:
    """With on_cloud_error="edge" the other answers come from the edge, the cloud named by its class."""
    last = (await ask(routed("cloud", cloud=Unreachable(), on_cloud_error="edge"), endpoint))[-1]
    record = last.additional_kwargs[KEY]
    assert (record["reason"], record["error"]) == ("cloud_error", "ConnectionError")
    assert record["cloud"]["model"] == "ScriptedCloud"


def test_a_prompt_too(routed: Any, caplog: pytest.LogCaptureFixture) -> None:
    """`predict` reads the metadata itself: the sizes are LlamaIndex's defaults then, which is logged."""
    with caplog.at_level(logging.WARNING):
        llm = routed("edge", cloud=Unreachable())
        assert llm.predict(PromptTemplate("Capital of {x}?"), x="France") == "Paris"
    assert (llm.metadata.context_window, llm.metadata.is_function_calling_model) == (
        LLMMetadata().context_window,
        False,
    )
    assert "does not tell its metadata (ConnectionError)" in caplog.text
    assert "sk-secret" not in caplog.text


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:9"])
def test_ollama_that_is_down(base_url: str, routed: Any) -> None:
    """LlamaIndex's own Ollama asks its server how large the context is."""
    cloud = Ollama(model="large", base_url=base_url, request_timeout=2)
    assert routed("edge", cloud=cloud).complete("Capital?").text == "Paris"
    last = routed("cloud", cloud=cloud, on_cloud_error="edge").complete("Capital?")
    assert (last.text, last.additional_kwargs[KEY]["cloud"]["model"]) == ("Paris", "large")


def test_a_name_is_found_without_metadata(confident: Any) -> None:
    """Whatever is wrapped around the cloud: another routed LLM, or one whose answers are objects."""
    ollama = Ollama(model="large", base_url="http://127.0.0.1:9")
    inner = ConfidenceRoutedLLM(edge=confident, cloud=ollama)
    assert model_name(ollama.as_structured_llm(LLMMetadata)) == "large"
    assert model_name(inner) == "confroute: scripted-edge → large"
    assert model_name(MockLLM()) == "MockLLM"
    assert ollama.context_window == -1, "its server was asked"
