"""Which tokens end a turn, of a GGUF file: its ``eos_token_id`` alone is often that of a whole text."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

_TOLD = "eot_token_id", "eom_token_id"
_UINT32 = 4
_HEAD = 1 << 26
"""Where a file is looked through, in bytes: the longest vocabularies take a third of it."""
# Of ChatML, Llama 3, Gemma, Phi, gpt-oss, Kimi and others; llama.cpp knows them by name, too.
_NAMES = (
    *("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<turn|>", "<|end|>", "<|return|>", "<|call|>"),
    *("<EOT>", "[EOT]", "<end_of_utterance>", "<|endoftext|>", "<|end_of_text|>"),
)
_OF_MESSAGE, _OF_TURNS = "<|end|>", {"<|return|>", "<|call|>"}


def ends_of(file: Path, vocabulary: Mapping[str, int]) -> set[int]:
    """The tokens that *file* tells, and those in its *vocabulary* whose names do. Takes milliseconds."""
    ends = {*_told(file), *(vocabulary[name] for name in _NAMES if name in vocabulary)}
    if vocabulary.keys() >= _OF_TURNS:  # a turn is several messages then
        ends.discard(vocabulary.get(_OF_MESSAGE, -1))
    return ends


def _told(file: Path) -> Iterator[int]:
    """What follows their names: to read all that is before them, word by word, would take seconds."""
    size = min(file.stat().st_size, _HEAD)
    if not size:
        return
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), size, access=mmap.ACCESS_READ) as head:
        for name in _TOLD:
            key = f"tokenizer.ggml.{name}".encode()
            field = struct.pack("<Q", len(key)) + key + struct.pack("<I", _UINT32)
            at = head.find(field) + len(field)
            if len(field) <= at <= size - 4:
                yield struct.unpack_from("<I", head, at)[0]
