"""The command line, run as a user would run it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import pytest
import typer

pytest.importorskip("langchain_openai")
pytest.importorskip("xllamacpp")

from confroute.demo.command import run_demo
from confroute.demo.questions import load_questions
from confroute.records import Generation
from confroute.testing import ScriptedEngine, says

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}


def confroute(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "confroute.cli", *arguments],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, **environment},
        timeout=300,
        check=False,
    )


@pytest.mark.real_model
def test_demo_prints_one_json_document() -> None:
    """`--json` prints the summary and every row, and the signal of the real edge is better than chance."""
    done = confroute("demo", "--json", "--samples", "5")

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    summary, rows = document["summary"], document["rows"]
    assert summary["n"] == len(rows) >= 40
    assert summary["escalated"] == sum(row["record"]["route"] == "cloud" for row in rows)
    assert "STAND-IN" in document["cloud"]
    assert summary["auroc"] > 0.5
    assert [tier["name"] for tier in summary["tiers"]] == ["edge alone", "routed", "cloud alone"]


@pytest.mark.real_model
def test_ask_without_a_key_stays_on_this_machine() -> None:
    """An answer that would have been escalated is shown as such, with its record."""
    done = confroute("ask", "Who was mayor of Oslo in 1937?", "--json", "--samples", "16", "--threshold", "1")

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["answer"]
    assert (answer["record"]["route"], answer["record"]["cloud"]) == ("cloud", None)


@pytest.mark.real_model
def test_ask_says_that_an_answer_is_cut_short() -> None:
    """At the limit that was set it is served; and nothing is told of what there is not."""
    done = confroute("ask", "What is the capital of France?", "--max-tokens", "2", "--threshold", "0")
    assert done.returncode == 0, done.stderr
    assert "cut short" in done.stdout
    assert "None" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ask", "q", "--edge", "no-such-model"], "Unknown edge model"),
        (["ask", "q", "--edge", "absent.gguf"], "cannot be read"),
        (["ask", "q", "--edge", "owner/name", "--engine", "llamacpp"], "llama.cpp runs .gguf files"),
        (["ask", "q", "--edge", "http://localhost:1/v1#m"], "cannot be reached"),
        (["ask", "   "], "The question is empty"),
        (["ask", "q", "--samples", "1"], "samples"),
        (["demo", "--threshold", "-1"], "threshold"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: list[str], message: str) -> None:
    """Bad input ends with exit code 2 and the fix, not with a traceback."""
    done = confroute(*arguments)

    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.real_model
def test_what_the_edge_cannot_answer_is_told_in_the_error_s_words() -> None:
    """Without a cloud there is no answer: the numbers and the fix on stderr, nothing that looks like an answer on
    stdout, and exit code 2; JSON has the record."""
    question = "Where is the fox? " * 3000
    done = confroute("ask", question)
    assert (done.returncode, done.stdout) == (2, "")
    shown = " ".join(done.stderr.split())
    assert "The prompt has" in shown
    assert "Shorten the prompt" in shown
    assert "escalating" not in shown
    done = confroute("ask", question, "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["record"]["error"] == "ContextLengthError"


@pytest.mark.real_model
@pytest.mark.skipif(os.name == "nt", reason="needs a shell that closes streams")
@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_error(closed: str) -> None:
    """What a caller does not want to read is not written."""
    command = f"{sys.executable} -m confroute.cli ask hi {closed}"
    done = subprocess.run(  # noqa: S602
        command, shell=True, capture_output=True, text=True, env=ENVIRONMENT, timeout=300, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("module", ["typer", "rich.progress", "confroute.calibration.command"])
def test_ctrl_c_while_it_is_imported_is_no_traceback(module: str) -> None:
    """The first moments are like any other: it says that it was interrupted, once, and exits with 130."""
    script = f"""
import sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from confroute.cli import main
main()
"""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT, timeout=300, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


@pytest.mark.parametrize(("command", "width"), [("ask", "80"), ("calibrate", "60"), ("calibrate", "80")])
def test_help_has_no_half_lines(command: str, width: str) -> None:
    """A paragraph goes on where the terminal ends, not where the source's line did."""
    shown = confroute(command, "--help", COLUMNS=width).stdout.split("╭─ Arguments")[0]
    _, _, *paragraphs = shown.split("\n" + " " * int(width))  # without the usage
    for paragraph in paragraphs:
        for line, following in itertools.pairwise(each.rstrip() for each in paragraph.splitlines() if each.strip()):
            assert len(line) + 1 + len(following.split()[0]) > int(width) - 2, line
    assert len(paragraphs) >= 2


def test_ctrl_c_shows_what_was_done(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted demo ends with exit code 130 and the outcome of the questions answered so far."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    class Interrupted:
        model = "interrupted"

        def __init__(self) -> None:
            self.asked = 0

        def generate(self, messages: object, *, n: int, options: object) -> Generation:
            self.asked += n == 1
            if self.asked == 4:
                raise KeyboardInterrupt
            return Generation(samples=(says("Paris"),) * n, input_tokens=3)

    with pytest.raises(typer.Exit) as exit_:
        run_demo(Interrupted(), threshold=None, samples=2, as_json=True)

    shown = capsys.readouterr()
    assert exit_.value.exit_code == 130
    assert json.loads(shown.out)["summary"]["n"] == 3
    assert "Interrupted after 3 of" in shown.err


def test_the_tables_hold_every_question(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --json the demo prints each question, the three tiers and that the cloud is a stand-in."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    questions = load_questions("demo")
    edge = ScriptedEngine(
        {q.question: (q.accepted[0], [q.accepted[0]] if i % 2 else ["x", "y"]) for i, q in enumerate(questions)}
    )

    run_demo(edge, threshold=None, samples=2, as_json=False)

    shown = capsys.readouterr().out
    assert f"{len(questions) // 2} of {len(questions)} escalated" in shown
    assert all(question.question.split()[1] in shown for question in questions)
    assert shown.count("✓ right") == len(questions)
    for text in ("edge alone", "routed", "cloud alone", "STAND-IN", f"100% ({len(questions)}/{len(questions)})"):
        assert text in shown
