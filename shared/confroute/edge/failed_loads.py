"""A load that failed, told again for a while: it took seconds, and each request would wait for another."""

from __future__ import annotations

from collections.abc import Generator, Hashable
from contextlib import contextmanager
from pathlib import Path

from confroute.edge.renewals import Renewals
from confroute.errors import ConfrouteError

_SECONDS = 60.0


class FailedLoads:
    """Of one engine, the last. Whoever loads in several threads holds a lock."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Have the next load tried, however soon."""
        self._renewals = Renewals(_SECONDS)
        self._told: tuple[type[ConfrouteError], str] | None = None
        self._version: Hashable = None

    @contextmanager
    def told_again(self, path: Path | None) -> Generator[None]:
        """Around a load of what lies at *path*, if it is not the Hub's. What it fails with is raised in its place for
        the next minute, as long as the same lies there."""
        version = None if path is None else _seen(path)
        if self._told is not None and version == self._version and not self._renewals.is_old:
            kind, words = self._told
            raise kind(f"{words} It is tried again in a minute, or once the files are others; `load` tries it now.")
        try:
            yield
        except ConfrouteError as error:
            self._told, self._version = (type(error), str(error)), version
            self._renewals.begin()
            raise
        self.forget()


def version_of(path: Path) -> tuple[Hashable, ...]:
    """Where a file or folder lies, and what changes when others take its place. Raises OSError where there is none."""
    place = path.resolve()
    found = [(file.name, file.lstat()) for file in (sorted(place.iterdir()) if place.is_dir() else [place])]
    return place, *((name, status.st_size, status.st_mtime_ns) for name, status in found)


def _seen(path: Path) -> Hashable:
    try:
        return version_of(path)
    except OSError:
        return None
