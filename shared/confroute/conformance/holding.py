"""The assert of a law: it holds under ``python -O`` too, which drops the statement."""

from __future__ import annotations


def hold(condition: object, otherwise: str) -> None:
    """AssertionError with *otherwise* unless *condition* is true."""
    if not condition:
        raise AssertionError(otherwise)
