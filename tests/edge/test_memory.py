"""Memory goes back to the system when it is no longer needed, not only to the heap of the process."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys

import pytest

from confroute.edge.memory import give_back
from confroute.edge.ragged_memory import Shapes

torch = pytest.importorskip("torch")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc")

_IN_TURN = """
import os, torch
from confroute.edge.memory import give_back
from confroute.edge.ragged_memory import Shapes

PIECE = 8_000_000  # numbers: 32 MB, the most that the C library may put among its small pieces
shapes = Shapes({0: torch.zeros(1, 1, 1)})

def held():
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1_000_000

torch.ones(PIECE)  # once it is free, the C library puts such pieces among small ones
before, large, small = held(), [], []
for _ in range(8):
    large.append(PIECES)
    for tensor in large[-1]:
        tensor.fill_(1)
    small.append(torch.ones(200_000))
del tensor
taken = held() - before
large.clear()
dropped = held() - before
give_back()
print(taken, dropped, held() - before)
assert all(bool((each == 1).all()) for each in small)
"""


def held_in_turn(pieces: str) -> list[int]:
    """Megabytes that a new process holds when it has taken eight large *pieces*, each with a small one behind it in the
    heap, when it has dropped the large ones, and when it has given back what it has free."""
    code = _IN_TURN.replace("PIECES", pieces)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    return [int(megabytes) for megabytes in done.stdout.split()]


@on_linux
def test_keys_and_values_leave_no_holes() -> None:
    """Whatever was put into the heap after them stays, and they are gone."""
    taken, dropped, _ = held_in_turn("shapes.empty(PIECE // 2 - 1000).pieces")
    assert taken > 240
    assert dropped < 20


@on_linux
def test_what_the_heap_has_free_goes_back() -> None:
    """Other pieces leave holes, until they are given back."""
    taken, dropped, given_back = held_in_turn("[torch.ones(PIECE - 1000)]")
    if platform.libc_ver()[0] == "glibc":
        assert min(taken, dropped) > 200
    assert given_back < 20


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("zeros", [True, False])
def test_pieces_have_the_type_of_what_a_token_keeps(dtype: str, *, zeros: bool) -> None:
    """And their shape: (layers, 2, heads, *tokens, dimensions); also those of no token."""
    like = torch.zeros(3, 1, 4, dtype=getattr(torch, dtype))
    shapes = Shapes({0: like, 1: like})
    for tokens in (5, 0):
        (piece,) = shapes.empty(2, tokens, zeros=zeros).pieces
        assert piece.dtype == like.dtype
        assert piece.shape == (2, 2, 3, 2, tokens, 4)
        assert not zeros or not piece.any()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forked while there are threads
def test_a_forked_child_writes_into_memory_of_its_own() -> None:
    (piece,) = Shapes({0: torch.zeros(1, 1, 1)}).empty(4, zeros=True).pieces
    child = os.fork()
    if not child:
        piece.view(-1).numpy()[:] = 1
        os._exit(0)
    os.waitpid(child, 0)
    assert not piece.any()


def test_memory_that_cannot_be_had_is_told_as_such() -> None:
    with pytest.raises(MemoryError):
        Shapes({0: torch.zeros(1, 1, 1)}).empty(1 << 46)


def test_where_the_heap_cannot_be_trimmed_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """On other systems and with other C libraries."""
    for error in (AttributeError, OSError, TypeError):

        def none(_: object, error: type[Exception] = error) -> None:
            raise error

        monkeypatch.setattr(ctypes, "CDLL", none)
        give_back()
