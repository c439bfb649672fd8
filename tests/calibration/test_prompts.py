"""Reading the prompts that a threshold is calibrated on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from confroute.calibration.prompts import Prompt, read_prompts
from confroute.errors import InputError

SECRET = "Zanzibarland-4711"  # noqa: S105


def read(tmp_path: Path, *lines: Any, system: str | None = None) -> list[Prompt]:
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return read_prompts(path, system=system)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_forms_of_a_line(tmp_path: Path) -> None:
    """Question or prompt or messages; one reference or several or none; blank lines are skipped."""
    asked = read(
        tmp_path,
        {"question": "a", "references": ["x", "y"]},
        "",
        {"prompt": "a", "answer": 5},
        {"messages": [user("a")], "id": 7},
    )
    assert [prompt.references for prompt in asked] == [("x", "y"), ("5",), None]
    assert all(list(prompt.messages) == [user("a")] for prompt in asked)
    assert len({prompt.key for prompt in asked}) == 1


def test_system_goes_before_prompts_without_one(tmp_path: Path) -> None:
    """The given system message is put first, and leaves those that have their own."""
    own = {"role": "system", "content": "own"}
    first, second = read(tmp_path, {"question": "a"}, {"messages": [own, user("a")]}, system="given")
    assert [message["content"] for message in first.messages] == ["given", "a"]
    assert [message["content"] for message in second.messages] == ["own", "a"]
    assert first.key != second.key


def test_a_developer_message_is_a_system_message(tmp_path: Path) -> None:
    """It is read as one, which edge models know, and no other is put before it."""
    own = {"role": "developer", "content": "own"}
    asked = read(tmp_path, {"messages": [own, user("a")]}, system="given")[0]
    assert list(asked.messages) == [{"role": "system", "content": "own"}, user("a")]


def test_a_system_message_of_broken_bytes_is_told_first(tmp_path: Path) -> None:
    """What no model could be sent is told as what it is, not as a failure of the model."""
    with pytest.raises(InputError, match="system message is no UTF-8 text"):
        read(tmp_path, {"question": "a"}, system="caf\udce9")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f'{{"question": "{SECRET}"', "is not JSON"),
        (f'["{SECRET}"]', "not a JSON object"),
        ({"text": SECRET}, '"question" or "messages", and not both'),
        ({"question": SECRET, "messages": [user("a")]}, '"question" or "messages", and not both'),
        ({"question": " "}, "needs a text"),
        ({"question": 3}, "needs a text"),
        ({"messages": []}, "needs a text"),
        ({"messages": [SECRET]}, "needs a text"),
        ({"messages": [{"role": "user"}]}, "needs a text"),
        (
            {"messages": [{"role": SECRET, "content": "a"}]},
            '"role" is none of system, developer, user, assistant, tool',
        ),
        ({"question": SECRET, "references": {"a": 1}}, "references"),
        ({"question": SECRET, "references": [[SECRET]]}, "references"),
        (f'{{"question": "{SECRET}\\ud800"}}', "half a character"),
        pytest.param("[" * 200_000, "is not JSON", id="deep"),
    ],
)
def test_what_is_no_prompt(tmp_path: Path, line: Any, why: str) -> None:
    """The error has the line's number and says what is wrong with it, without its text."""
    with pytest.raises(InputError, match=why) as caught:
        read(tmp_path, {"question": "fine"}, line)
    assert "Line 2" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", ["one\u2028two", "one\u0085two", "one\x1ctwo", "one\u2029two"])
def test_a_line_ends_where_json_lines_do(tmp_path: Path, text: str) -> None:
    """Other characters that end a line somewhere are a text's own."""
    written = json.dumps({"question": text}, ensure_ascii=False)
    asked = read(tmp_path, written, written)
    assert [prompt.messages[0]["content"] for prompt in asked] == [text, text]


def test_files_of_windows(tmp_path: Path) -> None:
    """A byte order mark and CRLF are no part of what is asked."""
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"question": "a"}\r\n{"question": "b"}\r\n')
    assert [prompt.messages[0]["content"] for prompt in read_prompts(path)] == ["a", "b"]


@pytest.mark.parametrize("references", [[], "", [" ", ""], None])
def test_no_references_are_none(tmp_path: Path, references: Any) -> None:
    """What is empty or blank accepts no answer, and would call all of them wrong; beside others it does not count."""
    assert read(tmp_path, {"question": "a", "references": references})[0].references is None
    assert read(tmp_path, {"question": "a", "references": ["x", " "]})[0].references == ("x",)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00"])
def test_no_prompts_at_all(tmp_path: Path, content: bytes) -> None:
    """An empty file and one that is no text are told apart from a wrong line, by the file's name."""
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"prompts\.jsonl"):
        read_prompts(path)


def test_no_file(tmp_path: Path) -> None:
    """An absent file is named, without the folder it was looked for in."""
    with pytest.raises(InputError, match=r'"absent\.jsonl" cannot be read: No such file') as caught:
        read_prompts(tmp_path / "absent.jsonl")
    assert str(tmp_path) not in str(caught.value)
