"""Which weights an edge engine runs, where they lie on this machine: two files of one name are two models."""

from __future__ import annotations

import hashlib
from pathlib import Path

_SUFFIXES = frozenset({".safetensors", ".bin", ".pt", ".pth", ".gguf"})


def weights_of(engine: object) -> str | None:
    """The `fingerprint` of the file at ``engine.path``, or one of all files of weights in a folder there, with their
    names; None where there is none."""
    path = getattr(engine, "path", None)
    if not isinstance(path, Path):
        return None
    if path.is_file():
        return fingerprint(path)
    files = sorted(file for file in path.glob("*") if file.suffix in _SUFFIXES and file.is_file())
    if not files:
        return None
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {fingerprint(file)}\n".encode())
    return digest.hexdigest()[:16]


def fingerprint(file: Path) -> str:
    """Sixteen hexadecimal digits that tell files apart by their sizes and by parts of their contents: reading gigabytes
    would take longer than loading them does, and models trained on from one another differ in most parts."""
    size = file.stat().st_size
    digest = hashlib.sha256(f"2 {size}".encode())
    with file.open("rb") as content:
        for place in range(64):
            content.seek(place * size // 64)
            digest.update(content.read(4096))
    return digest.hexdigest()[:16]
