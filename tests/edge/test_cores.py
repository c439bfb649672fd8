"""One core where there is little to compute, all where there is much, and only in the thread that said so."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from confroute.edge import cores, ragged, ragged_attention
from confroute.edge.cores import on_all_cores, one_core
from confroute.edge.transformers import TransformersEngine
from tests.edge.tiny_models import SAMPLING, copy_of, passes_of, user

torch = pytest.importorskip("torch")
needs_openmp = pytest.mark.skipif(cores._openmp() is None, reason="torch without OpenMP, or with one out of reach")


@pytest.fixture
def three() -> Generator[None]:
    """Three threads for torch, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def in_thread(ask: Callable[[], Any]) -> Any:
    """What *ask* gives in a thread of its own."""
    told: list[Any] = []
    thread = threading.Thread(target=lambda: told.append(ask()))
    thread.start()
    thread.join()
    return told[0]


@needs_openmp
@pytest.mark.usefixtures("three")
def test_what_is_told_is_told_to_the_calling_thread() -> None:
    """Other threads, and this one afterwards, compute as ever; also after an error."""

    def fail() -> None:
        assert torch.get_num_threads() == 3
        raise KeyError

    with suppress(KeyError), one_core():
        assert torch.get_num_threads() == 1
        assert in_thread(torch.get_num_threads) == 3
        assert on_all_cores(torch.get_num_threads) == 3
        assert torch.get_num_threads() == 1
        with one_core():  # in itself it is nothing
            assert torch.get_num_threads() == 1
        with suppress(KeyError):
            on_all_cores(fail)
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == 3
    assert on_all_cores(torch.get_num_threads) == 3


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("library", [SimpleNamespace(), SimpleNamespace(omp_set_num_threads=lambda _: None), None])
def test_where_openmp_is_out_of_reach_nothing_changes(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such function, that of another OpenMP than torch's, or a system that does not look one up without a name."""

    def look_up(_: None) -> Any:
        if library is None:
            raise TypeError
        return library

    cores._openmp.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(ctypes, "CDLL", look_up)
        assert cores._openmp() is None
    with one_core():
        assert torch.get_num_threads() == 3
        assert on_all_cores(torch.get_num_threads) == 3
    cores._openmp.cache_clear()


@needs_openmp
@pytest.mark.usefixtures("three")
def test_only_small_passes_are_on_one_core(
    tiny: Callable[..., TransformersEngine], torch_device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many tokens all is on all cores; their linear layers are in any case, and attention is where they see many."""
    if torch_device != "cpu":
        pytest.skip("of passes on a CPU")
    engine = copy_of(tiny())
    engine.load()
    between: list[int] = []
    seeing: list[int] = []
    linear: list[int] = []

    def attending(*args: Any, **options: Any) -> Any:
        between.append(torch.get_num_threads())
        return attend(*args, **options)

    def reading(*args: Any, **options: Any) -> Any:
        seeing.append(torch.get_num_threads())
        return read(*args, **options)

    def multiplying(inputs: Any) -> Any:
        linear.append(on_all_cores(torch.get_num_threads))
        return head(inputs)

    passes = passes_of(engine)
    attend: Any = ragged._attend
    head: Any = passes._decoder._head
    read: Any = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", reading)
    monkeypatch.setattr(ragged, "_attend", attending)
    monkeypatch.setattr(passes._decoder, "_head", multiplying)
    for numbers, products, cores_between, cores_seeing in ((2**16, 2**21, 1, 1), (60, 2**21, 3, 3), (2**16, 600, 1, 3)):
        monkeypatch.setattr(ragged, "_FEW_NUMBERS", numbers)
        monkeypatch.setattr(ragged_attention, "_FEW_PRODUCTS", products)
        between.clear()
        seeing.clear()
        engine.generate(user(f"{numbers}, {products}"), n=2, options=SAMPLING)
        assert set(between) == {cores_between}
        assert set(seeing) == {cores_seeing}
    assert set(linear) == {3}


@needs_openmp
@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(("tokens", "cores"), [(2**21 // 8, 1), (2**21 // 8 + 1, 3)])
def test_attention_to_many_is_on_all_cores(tokens: int, cores: int) -> None:
    """Whether handing work out is worth it is told by how many numbers are multiplied."""
    keys = torch.zeros(1).expand(1, tokens, 8)
    with one_core():
        assert ragged_attention.attend(lambda *_: torch.get_num_threads(), torch.zeros(1, 1, 8), keys, keys) == cores
