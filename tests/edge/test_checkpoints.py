"""Weights that were converted once are kept, where there is a place for them; where there is none, they are served."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from confroute import ModelError
from tests.edge.tiny_models import of_characters, save_tiny

pytest.importorskip("torch")
pytest.importorskip("transformers")

Convert = Callable[[], Any]


@pytest.fixture
def converting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Convert, list[str]]:
    """Reads a GGUF file, or what was kept of it, and which files were converted for that."""
    from confroute.edge import checkpoints

    source = save_tiny(tmp_path / "source")
    (tmp_path / "x.gguf").write_bytes(b"GGUF" * 100)
    monkeypatch.setenv("CONFROUTE_CACHE", str(tmp_path / "cache"))
    read = checkpoints.from_pretrained
    converted: list[str] = []

    def convert(checkpoint: str, *, gguf_file: str = "", **options: Any) -> Any:
        if not gguf_file:
            return read(checkpoint, **options)
        converted.append(gguf_file)
        return read(source, dtype=options["dtype"])

    monkeypatch.setattr(checkpoints, "from_pretrained", convert)
    return lambda: checkpoints.from_gguf(tmp_path / "x.gguf", "float32"), converted


@pytest.mark.parametrize("damage", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_damaged_cache_is_made_again(
    damage: str, tmp_path: Path, converting: tuple[Convert, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    """What was converted from a GGUF file and cannot be read any more is converted again, once, with a warning."""
    convert, converted = converting
    for _ in range(2):
        convert()
    assert len(converted) == 1
    (cached,) = (tmp_path / "cache").iterdir()
    (cached / damage).write_bytes(b"{")
    for _ in range(2):
        model, tokenizer = convert()
        assert model.lm_head.weight.isfinite().all()
        assert tokenizer("abc").input_ids
    assert len(converted) == 2
    assert caplog.text.count("cannot be read") == 1


@pytest.mark.parametrize("place", ["a file", "a name too long", "no home"])
def test_where_nothing_can_be_kept_the_model_is_served(
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    converting: tuple[Convert, list[str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With a warning of what to do. It cannot even be asked whether a folder is there, as of one in another's home."""
    convert, _ = converting
    if place == "no home":  # as of a user in a container whom no file of passwords knows
        for name in ("CONFROUTE_CACHE", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)

        def home() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "home", home)
    else:
        folder = tmp_path / "x.gguf" if place == "a file" else tmp_path / (300 * "x")
        monkeypatch.setenv("CONFROUTE_CACHE", str(folder))
    with caplog.at_level(logging.WARNING, "confroute"):
        model, _ = convert()
    assert model.lm_head.weight.isfinite().all()
    assert caplog.text.count("set CONFROUTE_CACHE") == 1


def test_cache_folder_is_where_the_user_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CONFROUTE_CACHE comes before XDG_CACHE_HOME."""
    from confroute.edge.checkpoints import cache_folder

    monkeypatch.delenv("CONFROUTE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "confroute"
    monkeypatch.setenv("CONFROUTE_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


class MistralCommonBackend:
    """Named as transformers' own class for tokenizers of Mistral's format, which needs a package to be made."""


def refused() -> Any:
    raise ImportError("MistralConverter requires the mistral-common library")


@pytest.mark.parametrize("made", [MistralCommonBackend, refused], ids=["mistral-common is there", "it is not"])
def test_a_checkpoint_with_none_but_mistrals_own_tokenizer_is_told(
    made: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would write the words of a chat template, its marks among them, as any others."""
    import transformers

    from confroute.edge import checkpoints

    folder = save_tiny(tmp_path / "small")
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: made())
    with pytest.raises(ModelError, match=r'"small" has only Mistral.s own tokenizer \(tekken.json\)'):
        checkpoints.from_pretrained(folder)


def test_of_two_formats_the_one_with_a_chat_template_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where mistral-common is installed, as beside vLLM, transformers takes the other unless it is told."""
    import transformers

    from confroute.edge import checkpoints

    folder = save_tiny(tmp_path)

    def read(_: str, *, mistral_format: bool | None = None, **__: Any) -> Any:
        return of_characters() if mistral_format is False else MistralCommonBackend()

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", read)
    assert checkpoints.from_pretrained(folder)[1]("abc").input_ids
