"""Settings all tests share."""

from __future__ import annotations

from hypothesis import settings

# The same examples on every run, without a deadline: a shared machine may pause in the middle of an example.
settings.register_profile("confroute", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("confroute")
