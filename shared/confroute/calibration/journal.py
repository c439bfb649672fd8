"""A file of results, one JSON line each, that an interrupted run goes on from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, cast

from confroute.errors import InputError


class Journal:
    """Results by key, each in the file before it is used, so that a run that is killed loses at most the one it was at.

    The first line holds the *settings* that the results were made with; a file made with others is refused, but for
    the *later* ones, which a file of an older version does not name. One without results is made with none yet. The
    file may hold prompts and answers in plain text and is readable by its owner only. *read* is what a result will be
    used by; what it cannot read is told at once.

        with Journal(path, settings={"edge": "smollm2-135m"}) as journal:
            if key not in journal.results:
                journal.add(key, {"text": ...})

    Raises:
        InputError: the file was made with other settings, or is no such file; on construction, and on the first `add`
            where another run has begun the file in between.
    """

    def __init__(
        self,
        path: Path,
        *,
        settings: Mapping[str, Any],
        later: Collection[str] = (),
        read: Callable[[dict[str, Any]], object] = dict,
    ) -> None:
        self.path = path
        self.settings = json.loads(json.dumps(settings))
        self.later = later
        self.read = read
        self.results: dict[str, dict[str, Any]] = {}
        self._file: TextIO | None = None
        # What cannot be gone on with is told before anything is asked, or a bar is drawn.
        self._read()

    def __enter__(self) -> Journal:  # noqa: PYI034
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        # Half a character, which models may say, is written as the JSON escape that it is read from again.
        self._file = open(descriptor, "a", encoding="utf-8", errors="backslashreplace")  # noqa: PTH123
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, key: str, result: Mapping[str, Any]) -> None:
        if self._file is None:
            raise ValueError("The journal is not open; use it in a with statement.")
        lines = [{"key": key, **result}]
        if not self.results:
            # The settings come with the first result: until there is one, a run with others may take the file.
            self._read()
            if not self.path.stat().st_size:
                lines = [{"settings": self.settings}, *lines]
        self._file.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        self._file.flush()
        self.results[key] = dict(result)

    def _read(self) -> None:
        # In bytes, since a run that was killed while it wrote leaves a line without its end, or half a character.
        content = self.path.read_bytes() if self.path.exists() else b""
        *lines, rest = content.split(b"\n")
        try:
            if not content.startswith(_BEGINNING[: len(content)]):
                raise ValueError
            first, *others = [json.loads(line) for line in lines] or [{"settings": self.settings}]
            settings = {**{name: self.settings[name] for name in self.later}, **first["settings"]}
            # Two runs that began together have both written the first line.
            self.results = {line.pop("key"): line for line in others if line != first}
            changed = _differences(settings, self.settings)
            for result in () if changed else self.results.values():
                self.read(result)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(
                f'"{self.path.name}" is not a file of results to go on from ({type(error).__name__}). Name another '
                "place for them, or remove the file to begin anew."
            ) from None
        if changed and not self.results:
            os.truncate(self.path, 0)
        elif changed:
            raise InputError(
                f'The folder "{self.path.parent}" holds "{self.path.name}", made with other settings: '
                f"{', '.join(changed)}. Use the same ones, name another folder (--out), or remove the file to begin "
                "anew."
            )
        elif rest:
            # Only shortened: a run that is killed here, too, must find all that was whole.
            os.truncate(self.path, len(content) - len(rest))


def digest_of(url: str) -> str:
    """What a file names an address by, which may hold a key."""
    return hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]


_BEGINNING = b'{"settings"'
_DIGESTS = ("url", "weights")


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs, setting by setting, those within a setting by their own names."""
    before, now = _flat(before), _flat(now)
    told: list[str] = []
    for name in sorted(before.keys() | now.keys()):
        values = before.get(name), now.get(name)
        if values[0] == values[1]:
            continue
        # A list may hold texts of a prompt.
        unquoted = name in _DIGESTS or any(isinstance(value, (list, dict)) for value in values)
        told.append(f"{name} differs" if unquoted else "{} was {!r} and is now {!r}".format(name, *values))
    return told


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat.update(cast("dict[str, Any]", value) if isinstance(value, dict) else {name: value})
    return flat
