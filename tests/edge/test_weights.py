"""The digest that tells two files of one name apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from confroute.edge.weights import weights_of
from confroute.testing import ScriptedEngine


@dataclass
class Named:
    path: Path


def digest(folder: Path, content: bytes) -> str | None:
    folder.mkdir(exist_ok=True)
    (folder / "model.gguf").write_bytes(content)
    return weights_of(Named(folder / "model.gguf"))


LARGE = bytes(range(256)) * 4096


@pytest.mark.parametrize("content", [b"", b"GGUF one", LARGE], ids=["empty", "short", "large"])
def test_it_is_the_content_that_counts(tmp_path: Path, content: bytes) -> None:
    """The same bytes have the same digest wherever they lie, sixteen hexadecimal digits."""
    first = digest(tmp_path / "a", content)
    assert first == digest(tmp_path / "b", content) != digest(tmp_path / "c", content + b"x")
    assert first is not None
    assert first == f"{int(first, 16):016x}"


@pytest.mark.parametrize("part", [0, 25, 49])
def test_a_fiftieth_makes_another(tmp_path: Path, part: int) -> None:
    """Wherever it lies in a file of the same size."""
    block = len(LARGE) // 50
    other = LARGE[: part * block] + bytes(block) + LARGE[(part + 1) * block :]
    assert digest(tmp_path / "a", LARGE) != digest(tmp_path / "b", other)


def test_other_engines_have_none(tmp_path: Path) -> None:
    """No path, a folder, a file that is gone."""
    for engine in (ScriptedEngine({}), Named(tmp_path), Named(tmp_path / "absent.gguf"), object()):
        assert weights_of(engine) is None
