"""Names of a package whose modules are imported when they are first used, which keeps ``import confroute`` quick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` (PEP 562) of *package* for names that stand in *modules*, by the name of the module."""

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{modules[name]}"), name)
        # The next access finds it without asking here.
        setattr(sys.modules[package], name, value)
        return value

    return load
