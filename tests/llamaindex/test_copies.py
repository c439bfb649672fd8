"""Dicts and copies: the same LLM again, or one that is other where it was told to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llama_index.core.llms import MockLLM

from confroute import ConfigurationError, Price
from confroute.edge.llamacpp import LlamaCppEngine
from confroute.edge.server import ServerEngine
from confroute_llamaindex import ConfidenceRoutedLLM
from tests.llamaindex.conftest import QUESTION, ScriptedCloud


def test_to_dict_and_back(routed: Any, cloud: Any, confident: Any) -> None:
    """to_dict is JSON and loads again once what it has not is given, and says what is missing if it is not."""
    data = routed("edge", threshold=0.7, edge_price=Price(input_usd=1, output_usd=2)).to_dict()
    assert (data["class_name"], data["threshold"]) == ("ConfidenceRoutedLLM", 0.7)
    again = ConfidenceRoutedLLM.from_dict(data, cloud=cloud, edge=confident)
    assert again.to_dict() == data
    with pytest.raises(ConfigurationError, match="cloud"):
        ConfidenceRoutedLLM.from_dict(data, edge=confident)


@pytest.mark.parametrize("kind", ["engine", "llm"])
def test_an_object_is_to_be_given_again(kind: str, routed: Any, cloud: Any) -> None:
    """An edge that was an object is not in the dict, and not the default one when it is loaded."""
    llm = routed("edge") if kind == "engine" else ConfidenceRoutedLLM(edge=MockLLM(), cloud=cloud)
    assert "edge" not in llm.to_dict()
    with pytest.raises(ConfigurationError, match="edge"):
        ConfidenceRoutedLLM.from_dict(llm.to_dict(), cloud=cloud)
    with pytest.raises(ConfigurationError, match="edge"):
        ConfidenceRoutedLLM.from_json(llm.to_json(), cloud=cloud)


@pytest.mark.parametrize("form", [str, Path])
def test_a_file_is_found_again(form: Any, tmp_path: Path, cloud: Any) -> None:
    """By its whole path."""
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    llm = ConfidenceRoutedLLM(edge=form(path), cloud=cloud)
    assert llm.to_dict()["edge"] == str(path)
    assert isinstance(ConfidenceRoutedLLM.from_json(llm.to_json(), cloud=cloud)._router.edge, LlamaCppEngine)


@pytest.mark.parametrize("user", ["", "me:sk-secret@"])
def test_a_server_is_found_again(user: str, cloud: Any) -> None:
    """By its address, in which there is no password any more."""
    llm = ConfidenceRoutedLLM(edge=f"http://{user}localhost:11434/v1#org/qwen3:0.6b", cloud=cloud)
    assert llm.to_dict()["edge"] == "http://localhost:11434/v1#org/qwen3:0.6b"
    again = ConfidenceRoutedLLM.from_dict(llm.to_dict(), cloud=cloud)
    assert isinstance(again._router.edge, ServerEngine)
    assert again._router.edge.model == llm._router.edge.model


def test_a_copy_routes_by_its_own_settings(routed: Any) -> None:
    """On the same engine."""
    llm = routed("cloud", threshold=0.99, hooks=iter([print]))
    copied = llm.model_copy(update={"threshold": 0.0, "max_tokens": 5})
    assert copied._router.edge is llm._router.edge
    assert copied._router.hooks == (print,)
    assert [each.complete(QUESTION).additional_kwargs["confidence_routing"]["route"] for each in (copied, llm)] == [
        "edge",
        "cloud",
    ]
    assert llm._router.edge.requests[0][2].max_tokens == 5
    assert llm.model_copy()._router is llm._router


def test_a_copy_with_another_model(routed: Any, cloud: Any, confident: Any) -> None:
    """An edge or a cloud of its own, whose prompts it has then unless it was given others."""
    llm = routed("cloud")
    assert llm.model_copy(update={"edge": confident}).complete(QUESTION).text == "Paris"
    other = ScriptedCloud(answer="Another", system_prompt="Be brief.")
    assert llm.model_copy(update={"cloud": other}).complete(QUESTION).text == "Another"
    assert llm.model_copy(update={"cloud": other}).system_prompt == "Be brief."
    assert llm.model_copy(update={"cloud": other, "system_prompt": "Mine."}).system_prompt == "Mine."
    assert routed("cloud", system_prompt="Mine.").model_copy(update={"cloud": other}).system_prompt == "Mine."
    with pytest.raises(ConfigurationError, match="cloud"):
        llm.model_copy(update={"cloud": "big"})
    with pytest.raises(ConfigurationError, match="samples"):
        llm.model_copy(update={"samples": 1})
