"""The command line where the cloud, the environment or the terminal fails."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("langchain_openai")

from confroute import ConfigurationError, Generation, InputError, ModelError, SamplingOptions, cli
from confroute.demo import command
from confroute.demo.questions import load_questions
from confroute.demo.stand_in import stand_in_cloud
from confroute.environment import has_openai_key, openai_access, openai_model
from confroute.records import Message
from confroute.testing import says

QUESTIONS = {question.question: question.accepted[0] for question in load_questions("demo")}
SECRET = "sk-SECRET123"  # noqa: S105


class Unsure:
    """Answers each question with *text* and draws samples that differ."""

    def __init__(self, text: str = "Paris", model: str = "unsure") -> None:
        self.text = text
        self.model = model

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        return Generation(samples=tuple(says(self.text if n == 1 else f"x{i}") for i in range(n)), input_tokens=3)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)


def demo(engine: Unsure | None = None, *, svg: Path | None = None) -> None:
    command.run_demo(engine or Unsure(), threshold=None, samples=2, as_json=True, svg=svg)


def resolving(monkeypatch: pytest.MonkeyPatch, engine: Unsure) -> None:
    def resolved(*_: object, **__: object) -> Unsure:
        return engine

    monkeypatch.setattr(command, "resolve_edge", resolved)


def ask(monkeypatch: pytest.MonkeyPatch, *arguments: str, engine: Unsure | None = None) -> Result:
    resolving(monkeypatch, engine or Unsure())
    return CliRunner().invoke(cli.app(), ["ask", *arguments])


def test_a_cloud_that_fails_does_not_lose_the_rows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows so far are shown, and the error is one line with the class of what was raised."""
    known = dict(list(QUESTIONS.items())[:3])
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with stand_in_cloud(known) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        with pytest.raises(ModelError, match=r"cloud model gpt-5-mini failed \(\w+\)") as caught:
            demo()
    assert json.loads(capsys.readouterr().out)["summary"]["n"] == 3
    assert caught.value.__cause__ is None
    assert not any(question in str(caught.value) for question in QUESTIONS)


def test_ask_tells_that_the_cloud_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cloud out of reach is a ModelError, not what its client raised."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with stand_in_cloud({}) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        result = ask(monkeypatch, "Who?")
    assert isinstance(result.exception, ModelError)
    assert SECRET not in str(result.exception)


def test_variables_of_a_file_with_windows_line_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What surrounds a key, a URL or a model's name is no part of it, and blanks alone are no key."""
    monkeypatch.setenv("OPENAI_API_KEY", f"{SECRET}\r")
    monkeypatch.setenv("OPENAI_MODEL", "gpt-9\r")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://host/v1\r")
    assert openai_access() == {"api_key": SECRET, "base_url": "http://host/v1"}
    assert openai_model() == "gpt-9"
    monkeypatch.setenv("OPENAI_API_KEY", " \r")
    assert not has_openai_key()


@pytest.mark.parametrize("key", ["sk-SECRÉT", "sk-SEC\nRET"])
def test_a_key_that_no_header_holds_is_not_quoted(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """It is refused before a client could quote it."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY must be") as caught:
        openai_access()
    assert "SEC" not in str(caught.value)


def test_the_stand_in_is_not_asked_through_a_proxy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the environment names a proxy, the server on this machine is still called directly."""
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    demo()
    assert json.loads(capsys.readouterr().out)["summary"]["n"] == len(QUESTIONS)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize("arguments", [["ask", "Who?"], ["ask", "Who?", "--json"]])
def test_an_encoding_that_lacks_a_character(
    monkeypatch: pytest.MonkeyPatch, encoding: str, arguments: list[str]
) -> None:
    """What stdout cannot show is a question mark, and an escape in JSON; it is no error after the work."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    monkeypatch.setattr(sys, "argv", ["confroute", *arguments])
    resolving(monkeypatch, Unsure("Łódź ✓ \ud800"))
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    sys.stdout.flush()
    shown = raw.getvalue().decode(encoding)
    assert not exit_.value.code
    if "--json" in arguments:
        assert json.loads(shown)["answer"] == "Łódź ✓ \ud800"
    else:
        assert "?" in shown


def test_a_picture_that_cannot_be_written_is_told_first(tmp_path: Path) -> None:
    """A folder that is not there ends the demo before a question is asked."""
    engine = Unsure()
    engine.generate = None  # type: ignore[assignment]
    with pytest.raises(InputError, match="cannot be written"):
        demo(engine, svg=tmp_path / "absent" / "x.svg")


@pytest.mark.parametrize("model", ["[/m]", "[legal]"])
def test_brackets_in_a_name_are_no_markup(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    """A name is shown as it is."""
    engine = Unsure(model=model)
    engine.load = lambda: None  # type: ignore[attr-defined]
    result = ask(monkeypatch, "Who?", engine=engine)
    assert result.exit_code == 0


@pytest.mark.parametrize("threshold", ["inf", "2", "-1"])
def test_a_threshold_is_from_0_to_1(monkeypatch: pytest.MonkeyPatch, threshold: str) -> None:
    """As the help says."""
    result = ask(monkeypatch, "Who?", "--threshold", threshold)
    assert result.exit_code == 2
    assert "--threshold" in result.output


def test_ctrl_c_says_interrupted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it comes, and the exit code is that of an interrupt."""
    engine = Unsure()
    engine.load = lambda: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    result = ask(monkeypatch, "Who?", engine=engine)
    assert (result.exit_code, result.stdout, result.stderr.count("Interrupted")) == (130, "", 1)


@pytest.mark.parametrize(
    ("error", "told"), [(ModelError("Its tokens ran out."), "Its tokens ran out."), (KeyError("Who?"), "KeyError")]
)
def test_an_edge_that_fails_is_told_where_there_is_no_cloud(
    monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    """In the words of our errors, but by the class of another's, which may quote the question."""
    engine = Unsure()

    def failing(*_: object, **__: object) -> Generation:
        raise error

    engine.generate = failing  # type: ignore[method-assign]
    result = ask(monkeypatch, "Who?", engine=engine)
    assert isinstance(result.exception, ModelError)
    assert told in str(result.exception)
    assert "OPENAI_API_KEY" in str(result.exception)
    assert "Who?" not in str(result.exception)
    assert "escalating" not in result.output


def test_a_question_of_broken_bytes_is_told_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a terminal of another encoding: nothing is asked, nor is a failure of the model told."""
    result = ask(monkeypatch, "caf\udce9?")
    assert isinstance(result.exception, InputError)
    assert "question is no UTF-8 text" in str(result.exception)


def test_an_empty_answer_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as that, not shown as an empty line."""
    result = ask(monkeypatch, "Who?", engine=Unsure(" "))
    assert isinstance(result.exception, ModelError)
    assert "is empty" in str(result.exception)


@pytest.mark.parametrize("answer", ["x[:a:2]", ":100: :x:", "[bold]b[/bold]"])
def test_an_answer_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """What rich would take for an emoji or for markup may be code."""
    result = ask(monkeypatch, "Who?", "--threshold", "0", engine=Unsure(answer, model=":a:"))
    assert answer in result.stdout.splitlines()


def test_an_error_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """So is what it quotes."""
    monkeypatch.setattr(sys, "argv", ["confroute", "ask", "Who?", "--edge", "no:x:such"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "no:x:such" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_a_full_disk_is_one_line(arguments: list[str]) -> None:
    """What cannot be written is told, without a traceback."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "confroute.cli", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.strip() == "Error: The output could not be written: No space left on device."
