"""The one way to a terminal: text is shown as it is."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console


def console(
    *, stderr: bool = False, width: int | None = None, file: TextIO | None = None, record: bool = False
) -> Console:
    """A console that leaves `:x:` alone, which rich would show as an emoji: models answer with code and prices."""
    return Console(stderr=stderr, width=width, file=file, record=record, emoji=False)
