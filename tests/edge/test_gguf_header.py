"""What a GGUF file says of its model is read before llama.cpp loads it, to bound what that keeps."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.edge.gguf_header import cache_bytes
from confroute.edge.naming import resolve_edge

LLAMA: Mapping[str, Any] = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def value(told: Any) -> bytes:
    """As GGUF writes it: a type, and what is of it."""
    if isinstance(told, str):
        return struct.pack("<I", 8) + text(told)
    if isinstance(told, list):
        return struct.pack("<IIQ", 9, 4, len(told)) + b"".join(struct.pack("<I", each) for each in told)
    return struct.pack("<II", 4, told)


def header(told: Mapping[str, Any], *, magic: bytes = b"GGUF", version: int = 3) -> bytes:
    fields = b"".join(text(name) + value(each) for name, each in told.items())
    return struct.pack("<4sIQQ", magic, version, 0, len(told)) + fields


def read(content: bytes, folder: Path) -> int | None:
    path = folder / "model.gguf"
    path.write_bytes(content)
    return cache_bytes(path)


@pytest.mark.parametrize(
    ("told", "numbers"),
    [
        ({}, 2 * 4 * (16 + 16)),
        ({"llama.attention.head_count_kv": 1}, 2 * 1 * (16 + 16)),
        ({"llama.attention.head_count_kv": [4, 0]}, 4 * (16 + 16)),
        ({"llama.attention.head_count": [4, 2], "llama.attention.head_count_kv": 1}, 2 * (16 + 16)),
        ({"llama.attention.key_length": 24, "llama.attention.value_length": 8}, 2 * 4 * (24 + 8)),
        ({"general.tags": [1, 2, 3], "tokenizer.ggml.tokens": "and whatever follows"}, 2 * 4 * (16 + 16)),
    ],
    ids=str,
)
def test_keys_and_values_of_a_token(tmp_path: Path, told: Mapping[str, Any], numbers: int) -> None:
    """So many numbers of two bytes, layer by layer."""
    assert read(header({**LLAMA, **told}), tmp_path) == 2 * numbers


def test_of_the_packaged_model() -> None:
    """SmolLM2-135M has 30 layers of 3 heads of keys and values, of 64 numbers each."""
    edge: Any = resolve_edge("smollm2-135m", engine="llamacpp")
    assert cache_bytes(edge.path) == 30 * 3 * 2 * 64 * 2


def test_a_file_that_does_not_say(tmp_path: Path) -> None:
    """Whatever it is, it is llama.cpp that refuses it, or does not."""
    whole = header(LLAMA)
    for content in (
        *(whole[:end] for end in range(len(whole))),
        header(LLAMA, magic=b"GGML"),
        header(LLAMA, version=1),
        header({**LLAMA, "llama.attention.head_count": 0}),
        header({**LLAMA, "llama.block_count": "two"}),
        header({"general.architecture": "mamba", "mamba.block_count": 2}),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + struct.pack("<Q", 1 << 60),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + text("x") + struct.pack("<IIQ", 9, 4, 1 << 60),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + text("x") + 10_000 * struct.pack("<IIQ", 9, 9, 1)[4:],
    ):
        assert read(content, tmp_path) is None
    assert cache_bytes(tmp_path / "none.gguf") is None
    assert cache_bytes(tmp_path) is None


@given(st.binary(max_size=200))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """None of them is an exception."""
    assert read(struct.pack("<4sI", b"GGUF", 3) + content, tmp_path_factory.getbasetemp()) is None


_OWN_PROMPTS = """
import os
from confroute import SamplingOptions, resolve_edge
from confroute.edge.llamacpp import LlamaCppEngine

edge = LlamaCppEngine(resolve_edge("smollm2-135m", engine="llamacpp").path, threads=1, context_tokens=512, parallel=4)

def held():
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1_000_000

def ask(number):
    words = " ".join(str(number * 1000 + i) for i in range(48))
    edge.generate([{"role": "user", "content": words}], n=1, options=SamplingOptions(max_tokens=1))

for number in range(3):
    ask(number)
before = held()
for number in range(3, 11):
    ask(number)
print(held() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc")
def test_prompts_are_not_kept_for_ever() -> None:
    """llama.cpp keeps what it has read until that is 8 GiB: 6 MB of each of these, beside 12 of its cache."""
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", _OWN_PROMPTS], capture_output=True, text=True, check=True, env=env)  # noqa: S603
    assert int(done.stdout) < 28
