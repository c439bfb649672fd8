"""What an application has called with the record of each answer."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable

from confroute.errors import ConfigurationError, told_without_prompt
from confroute.records import ConfidenceRecord

logger = logging.getLogger("confroute")

Hook = Callable[[ConfidenceRecord], object]


def checked_hooks(given: Iterable[Hook]) -> tuple[Hook, ...]:
    """The hooks that were *given*. ConfigurationError for what cannot be called, or would have to be awaited."""
    try:
        hooks = tuple(given)
    except TypeError:
        hooks = None
    if hooks is None or not all(map(callable, hooks)):
        raise ConfigurationError(
            "hooks must be a list of functions that take a ConfidenceRecord, as in hooks=[function], and no "
            f"{type(given).__name__} of anything else."
        )
    called = [getattr(hook, "__call__", None) for hook in hooks]  # noqa: B004 - it is looked at, not called
    if any(map(inspect.iscoroutinefunction, (*hooks, *called))):
        raise ConfigurationError("A hook is called, not awaited: give a plain function, which may start a task.")
    return hooks


def tell(hooks: Iterable[Hook], record: ConfidenceRecord) -> None:
    """Have each of the *hooks* see the record. One that fails is logged, and those after it are called."""
    for hook in hooks:
        try:
            hook(record)
        except Exception as error:
            # No traceback: it would go on with the error of the cloud, which may quote the prompt and a key.
            logger.error(
                "A confroute hook failed (%s %s); the answer is not affected.",
                told_without_prompt(error),
                _place(hook, error),
            )


def _place(hook: Hook, error: Exception) -> str:
    """Where in the *hook* it was: its line, or its type where it is none of Python's functions."""
    within = error.__traceback__ and error.__traceback__.tb_next
    if within is None:
        return f"in {type(hook).__name__}"
    return f"at {within.tb_frame.f_code.co_filename}:{within.tb_lineno}"
