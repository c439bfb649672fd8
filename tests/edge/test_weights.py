"""The digest that tells two files of one name apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from confroute.edge.transformers import TransformersEngine
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


def test_a_folder_is_all_its_weights(tmp_path: Path) -> None:
    """A folder of checkpoints is another where one of its files is, or is gone, or has another name; whatever else lies
    there does not count."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    engine = TransformersEngine(str(folder))
    seen: list[str | None] = [weights_of(engine)]
    for change in (
        lambda: (folder / "model-1.safetensors").write_bytes(b"one"),
        lambda: (folder / "model-2.safetensors").write_bytes(b"two"),
        lambda: (folder / "model-2.safetensors").write_bytes(b"2"),
        lambda: (folder / "model-2.safetensors").rename(folder / "model-3.safetensors"),
        lambda: (folder / "model-3.safetensors").unlink(),
    ):
        change()
        seen.append(weights_of(engine))
    assert seen[0] is None
    assert len(set(seen)) == 5
    assert seen[1] == seen[5]
    (folder / "README.md").write_text("read me")
    assert weights_of(engine) == seen[5]


def test_a_gguf_file_has_one_digest_on_both_engines(tmp_path: Path) -> None:
    """As it is the file that counts, and no other in its folder."""
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(name.encode())
    on_torch = TransformersEngine(str(tmp_path), gguf_file="a.gguf")
    assert weights_of(on_torch) == weights_of(Named(tmp_path / "a.gguf")) is not None
    assert weights_of(TransformersEngine("owner/name")) is None


def test_other_engines_have_none(tmp_path: Path) -> None:
    """No path, a folder without weights, a file that is gone."""
    (tmp_path / "config.json").write_text("{}")
    for engine in (ScriptedEngine({}), Named(tmp_path), Named(tmp_path / "absent.gguf"), object()):
        assert weights_of(engine) is None
