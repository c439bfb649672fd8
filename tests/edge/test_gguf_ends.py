"""Where a model's turn ends is more than the one token that a GGUF file calls the end of a text."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from confroute.edge.gguf_ends import ends_of


def header(**told: int) -> bytes:
    """As GGUF writes numbers, between names and texts of other kinds."""
    begin = b"GGUF" + 200 * b"a tokenizer.ggml.eot_token_id "
    for name, number in told.items():
        key = f"tokenizer.ggml.{name}".encode()
        begin += struct.pack("<Q", len(key)) + key + struct.pack("<II", 4, number)
    return begin + 200 * b"weights"


@pytest.mark.parametrize(
    ("told", "vocabulary", "ends"),
    [
        ({"eos_token_id": 1}, {"<eos>": 1, "a": 2}, set()),
        ({"eos_token_id": 1, "eot_token_id": 106}, {"<eos>": 1}, {106}),
        ({"eom_token_id": 7, "eot_token_id": 6}, {}, {6, 7}),
        ({"eos_token_id": 1}, {"<eos>": 1, "<start_of_turn>": 105, "<end_of_turn>": 106}, {106}),
        ({}, {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2}, {0, 2}),
        ({}, {"<|end|>": 7, "<|endoftext|>": 0}, {0, 7}),
        ({}, {"<|end|>": 7, "<|call|>": 12, "<|endoftext|>": 0}, {0, 7, 12}),
        ({"eot_token_id": 7}, {"<|end|>": 7, "<|call|>": 12, "<|return|>": 2}, {2, 12}),
    ],
    ids=[
        "only eos",
        "told",
        "two told",
        "Gemma",
        "ChatML",
        "Phi",
        "Phi with a call's end",
        "gpt-oss's messages end so",
    ],
)
def test_ends_are_told_by_number_or_known_by_name(
    told: dict[str, int], vocabulary: dict[str, int], ends: set[int], tmp_path: Path
) -> None:
    """As to llama.cpp."""
    path = tmp_path / "x.gguf"
    path.write_bytes(header(**told))
    assert ends_of(path, vocabulary) == ends


def test_a_file_that_says_nothing_has_the_ends_of_its_vocabulary(tmp_path: Path) -> None:
    """Empty or cut short where a number would be."""
    path = tmp_path / "x.gguf"
    whole = header(eot_token_id=106)
    for content in (b"", whole[: whole.index(struct.pack("<I", 106)) + 2]):
        path.write_bytes(content)
        assert ends_of(path, {"<|im_end|>": 2}) == {2}


def test_a_converted_file_ends_where_the_turn_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Converted now or earlier, when only the end of a text was kept."""
    pytest.importorskip("torch")
    from confroute.edge import checkpoints
    from tests.edge.tiny_models import EOS, save_tiny

    source = save_tiny(tmp_path / "source", eos=1)
    path = tmp_path / "x.gguf"
    path.write_bytes(header(eos_token_id=1, eot_token_id=9))
    monkeypatch.setenv("CONFROUTE_CACHE", str(tmp_path / "cache"))
    read = checkpoints.from_pretrained

    def convert(checkpoint: str, *, gguf_file: str = "", **options: Any) -> Any:
        model, tokenizer = read(source if gguf_file else checkpoint, dtype=options["dtype"])
        tokenizer.add_special_tokens({"additional_special_tokens": ["<end_of_turn>"]})
        return model, tokenizer

    monkeypatch.setattr(checkpoints, "from_pretrained", convert)
    for _ in range(2):
        model, tokenizer = checkpoints.from_gguf(path, "float32")
        assert model.generation_config.eos_token_id == [EOS, 1, 9, len(tokenizer) - 1]
