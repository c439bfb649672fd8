"""Engines that several tests share: on tiny models, and of scripted servers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from confroute.edge.server import ServerEngine
from confroute.edge.transformers import TransformersEngine


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, torch_device: str) -> Callable[..., TransformersEngine]:
    """Makes engines on tiny models, each loaded once."""
    from tests.edge.tiny_models import CHARACTERS, EOS, save_tiny

    engines: dict[str, TransformersEngine] = {}

    def engine(kind: str = "full", *, many_eos: bool = False) -> TransformersEngine:
        name = f"tiny-{kind}-{many_eos}"
        if name not in engines:
            eos = list(range(0, len(CHARACTERS), 5)) if many_eos else EOS
            folder = save_tiny(tmp_path_factory.mktemp(name), kind=kind, eos=eos)
            engines[name] = TransformersEngine(folder, name=name, device=torch_device, dtype="float32")
        return engines[name]

    return engine


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Thousands of operations on a tiny model: beside other work, several threads would wait for each other."""
    import torch

    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)


@pytest.fixture
def connect() -> Iterator[Callable[..., ServerEngine]]:
    """Makes engines, closed at the test's end."""
    engines: list[ServerEngine] = []

    def engine(server: Any, **settings: Any) -> ServerEngine:
        engines.append(ServerEngine("m", server.url, **{"retries": 0, **settings}))
        return engines[-1]

    yield engine
    for each in engines:
        each.close()


class Clock:
    """The engine's own, so many *hours* on."""

    hours = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + 3600 * self.hours


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("probing", "renewals"):
        monkeypatch.setattr(f"confroute.edge.{module}.time", clock)
    return clock
