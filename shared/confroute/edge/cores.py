"""On how many of the processor's cores torch computes an operation, told for the calling thread alone.

To hand work to the other cores and wait for them takes up to 0.1 ms on a virtual machine, many times as long as an
operation on a few rows. ``torch.set_num_threads`` would be for the whole process.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _Here(threading.local):
    cores = 0
    """How many there are, in a thread that is to leave most of them alone; 0 elsewhere."""


_here = _Here()


@contextmanager
def one_core() -> Generator[None]:
    """Operations of this thread are computed on one core, but for what is called by `on_all_cores`. Nothing changes
    where torch does not use OpenMP, or there is but one."""
    import torch

    tell, cores = _openmp(), torch.get_num_threads()
    if tell is None or cores == 1 or _here.cores:
        yield
        return
    tell(1)
    _here.cores = cores
    try:
        yield
    finally:
        _here.cores = 0
        tell(cores)


def on_all_cores(operation: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What *operation* gives; worth it where much is to be computed, or read from memory."""
    cores, tell = _here.cores, _openmp()
    if not cores or tell is None:
        return operation(*args, **kwargs)
    tell(cores)
    try:
        return operation(*args, **kwargs)
    finally:
        tell(1)


@cache
def _openmp() -> Callable[[int], Any] | None:
    """OpenMP's own setting for the calling thread, if it is the OpenMP that torch uses."""
    import torch

    try:
        tell = ctypes.CDLL(None).omp_set_num_threads
    except (AttributeError, OSError, TypeError):
        return None
    tell.argtypes, tell.restype = [ctypes.c_int], None
    cores = torch.get_num_threads()
    tell(cores + 1)
    heeded = torch.get_num_threads() == cores + 1
    tell(cores)
    return tell if heeded else None
