"""Memory that goes back to the system once nobody needs it, and not into the heap of the process."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

from confroute.edge.passes import Tensor


def mapped(numbers: int, dtype: Any) -> Tensor:
    """So many zeros on the CPU, in pages of their own.

    Among small pieces in the heap, those of tens of megabytes would leave holes that nothing fits into.

    Raises:
        MemoryError: there is not so much.
    """
    import torch

    bytes_wanted = max(1, numbers) * dtype.itemsize
    # A forked child must not write into its parent's; Windows has neither forks nor such flags.
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    try:
        pages = mmap.mmap(-1, bytes_wanted, **private)
    except OSError as error:
        raise MemoryError(f"{bytes_wanted:,} bytes were not to be had.") from error
    return torch.frombuffer(pages, dtype=dtype)[:numbers]


def give_back() -> None:
    """Return what the heap has free, where the C library can do that (glibc): half a gigabyte after a model of 135
    million parameters was converted from GGUF. Takes some .03 s."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # TypeError: Windows names its libraries
        return
    trim(0)
