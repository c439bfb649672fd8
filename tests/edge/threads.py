"""The threads of confroute's that live, and those that a forked process lacks."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def names() -> set[str]:
    """Of those that live: one whose start was interrupted is listed, too."""
    return {each.name for each in threading.enumerate() if each.name.startswith("confroute-") and each.is_alive()}


def assert_a_fork_has_turns(edge: Any, begun: threading.Event, go: threading.Event, **asked: Any) -> None:
    """While a thread has *begun* to ask here, and waits for *go*, a forked process is answered, and the thread then."""
    with ThreadPoolExecutor(1) as parent:
        waiting = parent.submit(edge.generate, n=2, **asked)
        assert begun.wait(20)
        child = os.fork()
        if not child:
            go.set()
            os._exit(len(edge.generate(n=3, **asked).samples))
        go.set()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        assert len(waiting.result(20).samples) == 2
