"""A framework's model that loads what it runs on when it is first asked, and so in each copy that is asked."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

from confroute.edge.in_process import PACKAGES

logger = logging.getLogger("confroute")

_WEIGHTS = (*PACKAGES, "torch.nn.", "transformers.")


class Loads:
    """Says once of the model of this *name* that its copies load their own weights: they are not handed on, as nobody
    knows what else of a copy's settings is in them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_told = False

    @contextmanager
    def told(self, chain: Sequence[Any]) -> Generator[None]:
        """Around a call of a copy, the first of the *chain* of models that are around each other."""
        if self._is_told:
            yield
            return
        before = [_weights_in(model) for model in chain]
        yield
        if not self._is_told and any(_weights_in(model) - own for model, own in zip(chain, before, strict=True)):
            self._is_told = True
            logger.warning(
                '"%s" loads what it runs on when it is first asked, and a copy of it is asked for each sample: each '
                "loads that again. Load it in its constructor, or ask it once before it is an edge.",
                self._name,
            )


def _weights_in(model: Any) -> set[str]:
    """The attributes that are what a model runs on."""
    held: dict[str, Any] = {**vars(model), **(getattr(model, "__pydantic_private__", None) or {})}
    return {name for name, value in held.items() if _are_weights(cast("type[Any]", type(value)))}


@lru_cache(maxsize=1024)
def _are_weights(kind: type[Any]) -> bool:
    return any(f"{each.__module__}.".startswith(_WEIGHTS) for each in kind.__mro__)
