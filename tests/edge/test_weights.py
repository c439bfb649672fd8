"""The digest that tells two files of one name apart."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from confroute.edge.weights import PIECE_BYTES, PIECES, weights_of
from confroute.testing import ScriptedEngine


@dataclass
class Named:
    path: Path


def digest(folder: Path, content: bytes) -> str | None:
    folder.mkdir(exist_ok=True)
    (folder / "model.gguf").write_bytes(content)
    return weights_of(Named(folder / "model.gguf"))


SIZE = PIECES * PIECE_BYTES
LARGE = random.Random(0).randbytes(SIZE + 999)


@pytest.mark.parametrize("content", [b"", b"GGUF one", LARGE], ids=["empty", "short", "large"])
def test_it_is_the_content_that_counts(tmp_path: Path, content: bytes) -> None:
    """The same bytes have the same digest wherever they lie, sixteen hexadecimal digits."""
    first = digest(tmp_path / "a", content)
    assert first == digest(tmp_path / "b", content) != digest(tmp_path / "c", content + b"x")
    assert first is not None
    assert len(first) == len(f"{int(first, 16):016x}") == 16


@pytest.mark.parametrize("at", [0, 1000, SIZE // 2, -1])
def test_a_byte_makes_another(tmp_path: Path, at: int) -> None:
    """At the beginning, in the middle or at the end of a file that is hardly longer than what is read."""
    other = bytearray(LARGE)
    other[at] ^= 1
    assert digest(tmp_path / "a", LARGE) != digest(tmp_path / "b", bytes(other))


def test_other_engines_have_none(tmp_path: Path) -> None:
    """No path, a folder, a file that is gone."""
    for engine in (ScriptedEngine({}), Named(tmp_path), Named(tmp_path / "absent.gguf"), object()):
        assert weights_of(engine) is None
