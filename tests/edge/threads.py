"""The threads of confroute's that live."""

from __future__ import annotations

import threading


def names() -> set[str]:
    """Of those that live: one whose start was interrupted is listed, too."""
    return {each.name for each in threading.enumerate() if each.name.startswith("confroute-") and each.is_alive()}
