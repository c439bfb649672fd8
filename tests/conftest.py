"""Settings all tests share, and the small model that some are run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from confroute.edge.llamacpp import LlamaCppEngine

# The same examples on every run, without a deadline: a shared machine may pause in the middle of an example.
settings.register_profile("confroute", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("confroute")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--torch-device", default="cpu", help="where the torch engine's tests run, such as cuda or mps")


@pytest.fixture(scope="session")
def torch_device(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("--torch-device")


@pytest.fixture(scope="session")
def small_llamacpp() -> LlamaCppEngine:
    """The packaged model with a small context and four slots."""
    pytest.importorskip("xllamacpp")
    from confroute import ConfigurationError, resolve_edge
    from confroute.edge.llamacpp import LlamaCppEngine

    try:
        packaged = resolve_edge("smollm2-135m")
    except ConfigurationError as error:
        pytest.skip(str(error))
    assert isinstance(packaged, LlamaCppEngine)
    # One thread: on a busy machine two threads of llama.cpp spin for each other, ten times slower.
    engine = LlamaCppEngine(packaged.path, name="smollm2-135m", context_tokens=512, parallel=4, threads=1)
    engine.load()
    return engine


@pytest.fixture(scope="session")
def llama_server(small_llamacpp: LlamaCppEngine) -> tuple[str, str]:
    """The base URL of llama.cpp's own HTTP server of that model, and its key."""
    return f"{small_llamacpp._server.listening_address}/v1", small_llamacpp._key
