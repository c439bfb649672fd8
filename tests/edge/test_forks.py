"""What is renewed after a fork leaves nothing behind."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

from confroute.edge import forks

_ENDING = """
from llama_index.core.llms import MockLLM

from confroute.edge.llamacpp import LlamaCppEngine
from confroute_llamaindex import ConfidenceRoutedLLM

model = ConfidenceRoutedLLM(edge=LlamaCppEngine("none.gguf"), cloud=MockLLM())
"""


def test_the_end_of_a_process_is_silent() -> None:
    """A model that lives until then is taken apart in whichever order, which weakref.WeakMethod minds."""
    done = subprocess.run([sys.executable, "-c", _ENDING], capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
    assert done.stderr == ""


def test_what_is_to_be_renewed_may_go() -> None:
    """Nothing is held for it."""
    gc.collect()  # what others left in cycles
    lock = forks.RenewedLock()
    before, gone = len(forks._renewed), weakref.ref(lock)
    del lock
    gc.collect()
    assert gone() is None
    assert len(forks._renewed) == before - 1
