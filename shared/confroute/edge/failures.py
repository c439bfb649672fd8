"""What is to be known, and done, about an error from within a model."""

from __future__ import annotations

import asyncio
import re
import traceback

_SCARCE = re.compile(r"out ?of ?memory|not enough memory|can(not|.?t) allocate memory|alloc_failed", re.IGNORECASE)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, the device's or the machine's. Not all such errors of torch have a type of their own."""
    return isinstance(error, MemoryError) or bool(_SCARCE.search(f"{type(error).__name__} {error}"))


def let_go(error: BaseException) -> None:
    """Drop what the functions held that *error* ended, tensors of gigabytes perhaps, which it would keep as long as
    somebody has it. Where it happened stays known."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__


def passed_on(error: BaseException) -> BaseException:
    """What a future is given for *error*. One that is awaited would refuse those that Python ends generators and tasks
    with, or end whoever awaits it."""
    if isinstance(error, (StopIteration, GeneratorExit, asyncio.CancelledError)):
        return RuntimeError(f"A model raised {type(error).__name__}.")
    return error
