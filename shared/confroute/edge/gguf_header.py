"""What a GGUF file says of its model before its vocabulary, which is long."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO, cast

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_LONGEST = 1 << 20
"""Of a text, in bytes, and of an array: what is longer is none that a model is described by."""
_FLOAT16 = 2


def cache_bytes(path: Path) -> int | None:
    """The bytes that the keys and values of a token take in float16, in all layers; None where *path* does not say."""
    try:
        with path.open("rb") as file:
            told = _read(file)
        kind = told["general.architecture"]
        heads = told[f"{kind}.attention.head_count"]
        layers, width = told[f"{kind}.block_count"], told[f"{kind}.embedding_length"]
        size = width // max(_each(heads, layers))
        of_a_head = sum(told.get(f"{kind}.attention.{name}_length", size) for name in ("key", "value"))
        all_heads = sum(_each(told.get(f"{kind}.attention.head_count_kv", heads), layers))
        return max(0, all_heads * of_a_head * _FLOAT16) or None
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, struct.error, RecursionError):
        return None


def _each(heads: Any, layers: int) -> list[int]:
    """Those of each layer, of which a file may tell one for all."""
    return cast("list[int]", heads) if isinstance(heads, list) else [heads] * min(layers, _LONGEST)


def _read(file: BinaryIO) -> dict[str, Any]:
    """What is told up to the vocabulary, by its names."""
    magic, version, _, count = struct.unpack("<4sIQQ", file.read(24))
    if magic != _MAGIC or version not in _VERSIONS:
        raise ValueError
    told: dict[str, Any] = {}
    for _ in range(count):
        name = _string(file)
        if name.startswith("tokenizer."):
            break
        told[name] = _value(file, _number(file, "<I"))
    return told


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        kind, count = _number(file, "<I"), _number(file, "<Q")
        if count > _LONGEST:
            raise ValueError
        return [_value(file, kind) for _ in range(count)]
    return _number(file, _SCALARS[kind])


def _string(file: BinaryIO) -> str:
    size = _number(file, "<Q")
    if size > _LONGEST:
        raise ValueError
    return file.read(size).decode()


def _number(file: BinaryIO, form: str) -> Any:
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]
