"""The file of results that an interrupted run goes on from."""

from __future__ import annotations

import resource
import stat
from operator import itemgetter
from pathlib import Path

import pytest

from confroute.calibration.journal import Journal
from confroute.errors import InputError

SETTINGS = {"edge": "tiny", "options": {"stop": ["\n"]}}


def write(path: Path, *keys: str) -> None:
    with Journal(path, settings=SETTINGS) as journal:
        for key in keys:
            journal.add(key, {"text": f"Größe {key}\n"})


def test_what_was_added_is_there_again(tmp_path: Path) -> None:
    """Results survive, with line breaks and umlauts, and further ones come behind them."""
    path = tmp_path / "new" / "results.jsonl"
    write(path, "a")
    write(path, "b")
    with Journal(path, settings=SETTINGS) as journal:
        assert journal.results == {key: {"text": f"Größe {key}\n"} for key in ("a", "b")}


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    """Prompts and answers in plain text are nobody else's business."""
    write(tmp_path / "results.jsonl")
    assert stat.S_IMODE((tmp_path / "results.jsonl").stat().st_mode) == 0o600


def test_each_result_is_on_disk_before_the_next(tmp_path: Path) -> None:
    """A run that is killed has lost nothing that it had."""
    path = tmp_path / "results.jsonl"
    with Journal(path, settings=SETTINGS) as journal:
        journal.add("a", {})
        assert len(path.read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.parametrize("cut", range(1, 20))
def test_half_a_line_is_forgotten(tmp_path: Path, cut: int) -> None:
    """A run killed while it wrote costs its last result, wherever it was cut, and the file is whole again."""
    path = tmp_path / "results.jsonl"
    write(path, "a", "b")
    path.write_bytes(path.read_bytes()[:-cut])
    write(path, "c")
    with Journal(path, settings=SETTINGS) as journal:
        assert list(journal.results) == ["a", "c"]


def test_cut_in_the_first_line(tmp_path: Path) -> None:
    """A run killed while it wrote its settings begins anew."""
    path = tmp_path / "results.jsonl"
    path.write_text('{"sett', encoding="utf-8")
    write(path, "a")
    with Journal(path, settings=SETTINGS) as journal:
        assert list(journal.results) == ["a"]


def test_other_settings_are_refused(tmp_path: Path) -> None:
    """Results of another model must not be mixed in; the error says what was and what is, where they lie and what to
    do, and nothing of what is in the file."""
    path = tmp_path / "results.jsonl"
    write(path, "secret-key")
    with pytest.raises(InputError) as caught:
        Journal(path, settings={**SETTINGS, "edge": "big", "extra": 1})
    told = str(caught.value)
    for part in ("edge was 'tiny' and is now 'big'", "extra was None and is now 1", str(tmp_path), "--out"):
        assert part in told
    assert "secret" not in told
    with Journal(path, settings=SETTINGS) as journal:
        assert list(journal.results) == ["secret-key"]


def test_of_options_the_one_that_differs_is_told(tmp_path: Path) -> None:
    """Not all of them as one; texts, which may be a prompt's, are not quoted."""
    path = tmp_path / "results.jsonl"
    options = {"max_tokens": 256, "seed": None, "stop": ["end"], "tools": []}
    with Journal(path, settings={"options": options}) as journal:
        journal.add("a", {})
    with pytest.raises(InputError) as caught:
        Journal(path, settings={"options": {**options, "max_tokens": 16, "seed": 0, "stop": ["my secret"]}})
    assert "max_tokens was 256 and is now 16, seed was None and is now 0, stop differs" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "tools" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "no json\n",
        pytest.param("[" * 200_000 + "\n", id="deep"),
        "[]\n",
        "{}\n",
        '{"settings": 3}\n',
        '{"settings": {}}\n{"text": "x"}\n',
        '{"settings": {"edge": "big"}}\n{"key": "a"}\n{"ke',
        pytest.param('{"a document": "without a last newline"}', id="not even a whole line"),
        pytest.param('{"lines": 1}\n{"lines": 2}', id="without a last newline"),
    ],
)
def test_no_journal(tmp_path: Path, text: str) -> None:
    """Another file is refused and left as it is."""
    path = tmp_path / "results.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError), Journal(path, settings={}):
        pass
    assert path.read_text(encoding="utf-8") == text


def test_two_runs_that_began_together(tmp_path: Path) -> None:
    """Both have written the settings; what either has answered counts."""
    path = tmp_path / "results.jsonl"
    write(path, "a")
    path.write_text(2 * (path.read_text(encoding="utf-8").split("\n")[0] + "\n"), encoding="utf-8")
    write(path, "b", "c")
    with Journal(path, settings=SETTINGS) as journal:
        assert list(journal.results) == ["b", "c"]


def test_half_a_character_is_kept(tmp_path: Path) -> None:
    """A model may end in the middle of one, which UTF-8 cannot write."""
    path = tmp_path / "results.jsonl"
    with Journal(path, settings=SETTINGS) as journal:
        journal.add("a", {"text": "\ud83d ü \U0001f600"})
    with Journal(path, settings=SETTINGS) as journal:
        assert journal.results == {"a": {"text": "\ud83d ü \U0001f600"}}


def test_closed_it_takes_nothing(tmp_path: Path) -> None:
    """Adding outside of the with statement is a mistake that is told."""
    with pytest.raises(ValueError, match="not open"):
        Journal(tmp_path / "results.jsonl", settings={}).add("a", {})


def test_killed_while_it_goes_on_it_loses_nothing(tmp_path: Path) -> None:
    """What was whole is not written again, which would leave nothing for a moment: it works where no byte may be."""
    path = tmp_path / "results.jsonl"
    write(path, "a", "b")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"key": "c", "te')
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        Journal(path, settings=SETTINGS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == whole


def test_without_results_it_takes_on_other_settings(tmp_path: Path) -> None:
    """A run that was started wrongly, and answered nothing, does not lock the folder; neither does one of a version
    that wrote the settings first."""
    path = tmp_path / "results.jsonl"
    with Journal(path, settings={"edge": "mistyped"}):
        pass
    with Journal(path, settings={"edge": "meant"}):
        pass
    path.write_text('{"settings": {"edge": "mistyped"}}\n', encoding="utf-8")
    with Journal(path, settings={"edge": "meant"}) as journal:
        journal.add("a", {})
    with pytest.raises(InputError, match="edge was 'meant'"):
        Journal(path, settings={"edge": "mistyped"})


def test_two_runs_of_different_settings_do_not_mix(tmp_path: Path) -> None:
    """Where another run has given the file its settings since it was opened, the first result is refused."""
    path = tmp_path / "results.jsonl"
    with Journal(path, settings={"edge": "a"}) as first, Journal(path, settings={"edge": "b"}) as second:
        first.add("x", {})
        with pytest.raises(InputError, match="edge was 'a' and is now 'b'"):
            second.add("x", {})
        first.add("y", {})
    assert list(Journal(path, settings={"edge": "a"}).results) == ["x", "y"]


def test_a_result_that_cannot_be_read_is_told_at_once(tmp_path: Path) -> None:
    """Valid JSON may be damaged, too; other settings, for which it may be right, are told first."""
    path = tmp_path / "results.jsonl"
    write(path, "a")
    with pytest.raises(InputError, match=r"not a file of results to go on from \(KeyError\)"):
        Journal(path, settings=SETTINGS, read=itemgetter("evidence"))
    with pytest.raises(InputError, match="other settings"):
        Journal(path, settings={"edge": "big"}, read=itemgetter("evidence"))
