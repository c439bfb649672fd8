"""A checkpoint's model as it is run: as fast as it goes without another answer, which is tried over some ten tokens."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from confroute.edge.joined import join_linears
from confroute.edge.norms import fuse_norms
from confroute.edge.one_by_one import CopiedPasses, RereadPasses
from confroute.edge.packed import pack_linears
from confroute.edge.passes import Passes
from confroute.edge.ragged import RaggedPasses
from confroute.edge.ragged_trial import runs_ragged
from confroute.edge.trial import Trial
from confroute.edge.waiting import in_thread_that_ends
from confroute.errors import ModelError

logger = logging.getLogger("confroute")

Tokenizer = TypeVar("Tokenizer")


def laid_out(read: Callable[[], tuple[Any, Tokenizer]], *, name: str, rounded: bool) -> tuple[Any, Tokenizer, Passes]:
    """The model and tokenizer that *read* gives, and how the model is run, its weights *rounded* if that helps. It is
    read again where it says something else once its layers are laid out for speed, as where it uses their weights
    beside them; the first is given up before.

    Raises:
        ModelError: it says something else whichever way it is run, over some ten tokens already.
    """
    kind = ""
    for layouts in (True, False):
        model, tokenizer = read()
        make = partial(_passes, model, layouts=layouts, rounded=rounded)
        passes = in_thread_that_ends(make) if model.device.type == "cpu" else make()
        if passes is not None:
            if not passes.together:
                logger.info('"%s" cannot be run in ragged passes: requests wait for each other.', name)
            return model, tokenizer, passes
        kind = type(model).__name__
        # Two do not always fit into memory, and errors caught while it ran may hold the first in a cycle.
        del model, make
        gc.collect()
    raise ModelError(
        f'"{name}" ({kind}) says something else token by token than about whole texts, over ten tokens already, so '
        "the transformers engine cannot run it. Take another checkpoint, or have a server run it and give its address."
    )


def _passes(model: Any, *, layouts: bool, rounded: bool) -> Passes | None:
    import torch

    # In inference mode the trial could not give weights another type on devices that torch does not know.
    with torch.no_grad():
        trial = Trial(model)
        ragged = runs_ragged(model, trial.exact)
        if layouts:
            if model.device.type == "cpu":
                pack_linears(model, rounded=rounded)
            else:
                join_linears(model)
            fuse_norms(model)
        if not trial.is_passed_by(model):
            return None
        if ragged:
            return RaggedPasses(model)
        trial = Trial(model, trial)
        if not trial.is_causal(model):
            return None
        ways: tuple[Passes, ...] = CopiedPasses(model), RereadPasses(model)
        return next((passes for passes in ways if trial.is_passed_in(passes)), None)
