"""A load that failed is told again, and not tried for each request: all would wait for it."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest

from confroute import ConfigurationError, ModelError, SamplingOptions
from confroute.edge.llamacpp import LlamaCppEngine
from confroute.records import Message
from tests.edge.conftest import Clock

FRANCE: list[Message] = [{"role": "user", "content": "What is the capital of France? Answer with one word."}]
GREEDY = SamplingOptions(max_tokens=12)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A server's settings for each that was begun."""
    xllamacpp = pytest.importorskip("xllamacpp")
    begun: list[Any] = []
    server: Any = xllamacpp.Server

    def noting(settings: Any) -> Any:
        begun.append(settings)
        return server(settings)

    monkeypatch.setattr(xllamacpp, "Server", noting)
    return begun


@pytest.mark.real_model
def test_llamacpp_does_not_load_anew_for_each_request(
    small_llamacpp: LlamaCppEngine, tmp_path: Path, loads: list[Any], clock: Clock
) -> None:
    """It takes seconds, in which nobody else is served. Another file is tried at once, as is what `load` asks for, and
    the same after a minute."""
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00")
    failing = LlamaCppEngine(path, context_tokens=256, threads=1)

    def ask() -> None:
        with pytest.raises(ModelError, match='could not load "model"'):
            failing.generate(FRANCE, n=1, options=GREEDY)

    ask()
    assert len(loads) == 1
    ask()
    with pytest.raises(ModelError, match=r'could not load "model".* tried again in a minute'):
        asyncio.run(failing.agenerate(FRANCE, n=1, options=GREEDY))
    assert len(loads) == 1
    with pytest.raises(ModelError, match='could not load "model"'):
        failing.load()
    assert len(loads) == 2
    clock.hours += 0.02
    ask()
    ask()
    assert len(loads) == 3
    with pytest.raises(ModelError, match='could not load "model"'):
        copy.copy(failing).generate(FRANCE, n=1, options=GREEDY)
    assert len(loads) == 4
    path.unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        failing.generate(FRANCE, n=1, options=GREEDY)
    path.symlink_to(small_llamacpp.path)
    assert failing.generate(FRANCE, n=1, options=GREEDY).samples


def test_torch_does_not_load_anew_for_each_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """It may take minutes. `load` tries it, as does a request a minute later, or where the files have changed."""
    pytest.importorskip("torch")
    from confroute.edge import transformers as transformers_engine
    from confroute.edge.transformers import TransformersEngine
    from tests.edge.tiny_models import QUESTION, SAMPLING, save_tiny

    save_tiny(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(b"version https://git-lfs")
    loads: list[Any] = []
    load = transformers_engine.from_pretrained
    monkeypatch.setattr(transformers_engine, "from_pretrained", lambda *a, **k: (loads.append(a), load(*a, **k))[1])
    engine = TransformersEngine(str(tmp_path), name="pointer", device="cpu")

    def ask() -> int:
        with pytest.raises(ModelError, match=r'could not load "pointer"'):
            engine.generate(QUESTION, n=1, options=SAMPLING)
        return len(loads)

    assert [ask(), ask(), ask()] == [1, 1, 1]
    with pytest.raises(ModelError, match=r'could not load "pointer"'):
        engine.load()
    assert len(loads) == 2
    clock.hours += 0.02
    assert [ask(), ask()] == [3, 3]
    weights.write_bytes(whole)
    assert engine.generate(QUESTION, n=1, options=SAMPLING).samples
