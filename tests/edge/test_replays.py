"""Which passes are run, recorded and replayed; that a recorded one is right is tested where there is a CUDA device."""

from __future__ import annotations

from typing import Any

import pytest

from confroute.edge import replays
from confroute.edge.replays import Replays

torch = pytest.importorskip("torch")


class Recorded:
    """Stands for a recording."""

    made = 0

    def __init__(self, given: Any, forward: Any, other: Any) -> None:
        type(self).made += 1

    def replay(self, given: Any) -> str:
        return f"replayed {given}"


class NotRecorded(Recorded):
    """Stands for one that the device, or the model, does not allow."""

    made = 0

    def __init__(self, given: Any, forward: Any, other: Any) -> None:
        super().__init__(given, forward, other)
        raise RuntimeError("operation not permitted when stream is capturing")


def run(given: Any, wanted: Any) -> str:
    assert wanted is bool
    return f"run {given}"


def test_the_second_of_a_form_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes once is not worth recording; what was recorded is replayed, whatever came in between."""
    monkeypatch.setattr(replays, "_Recorded", Recorded)
    monkeypatch.setattr(Recorded, "made", 0)
    tried = Replays("cuda")
    told = [tried.run(form, given, run, bool) for given, form in enumerate("aaabaab")]
    assert told == ["run 0", "replayed 1", "replayed 2", "run 3", "replayed 4", "replayed 5", "replayed 6"]
    assert Recorded.made == 2


def test_only_the_last_forms_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recordings take memory of the device: one that has not been used for long makes way."""
    monkeypatch.setattr(replays, "_Recorded", Recorded)
    monkeypatch.setattr(replays, "_KEPT", 2)
    tried = Replays("cuda")
    told = [tried.run(form, given, run, bool) for given, form in enumerate("aabbacab")]
    assert told == [
        *("run 0", "replayed 1", "run 2", "replayed 3", "replayed 4"),
        *("run 5", "replayed 6", "run 7"),
    ]


def test_what_cannot_be_recorded_is_run(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A model whose passes cannot be recorded answers all the same; that is found out once and told in the log."""
    monkeypatch.setattr(replays, "_Recorded", NotRecorded)
    monkeypatch.setattr(NotRecorded, "made", 0)
    tried = Replays("cuda")
    with caplog.at_level("INFO", logger="confroute"):
        assert [tried.run("a", given, run, bool) for given in range(4)] == [f"run {given}" for given in range(4)]
    assert NotRecorded.made == 1
    assert [record.message for record in caplog.records] == ["Passes are not recorded on cuda (RuntimeError)."]


def test_an_error_of_the_pass_itself_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails while it is recorded, and again when run, is an error of the request."""

    def fail(given: Any, wanted: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(replays, "_Recorded", NotRecorded)
    tried = Replays("cuda")
    tried.run("a", 0, run, bool)
    with pytest.raises(MemoryError):
        tried.run("a", 1, fail, bool)
