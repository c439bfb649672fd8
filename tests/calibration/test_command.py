"""`confroute calibrate`, run as a user would run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("xllamacpp")
pytest.importorskip("scipy")
pytest.importorskip("matplotlib")

from confroute import ConfigurationError, Router
from confroute.demo.questions import SYSTEM, load_questions
from confroute.demo.stand_in import stand_in_cloud

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
COMMAND = [sys.executable, "-m", "confroute.cli", "calibrate"]


def calibrate(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT | environment,
        timeout=300,
        check=False,
    )


def prompts(path: Path, *, n: int = 12, references: bool = True) -> Path:
    lines: list[dict[str, Any]] = [{"question": question.question} for question in load_questions("calibration")[:n]]
    for line, question in zip(lines, load_questions("calibration"), strict=False):
        if references:
            line["references"] = question.accepted
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


SETTINGS = ("--system", SYSTEM, "--max-tokens", "16", "--samples", "4")


@pytest.mark.real_model
def test_from_prompts_to_a_router(tmp_path: Path) -> None:
    """A cost target on real answers gives a certificate that a router takes; run again with another target, the edge
    is not asked again; the plots are there, and another estimator is refused."""
    out = tmp_path / "out"
    file = prompts(tmp_path / "prompts.jsonl")
    done = calibrate(file, "--target", "cost=0.6", "--delta", "0", *SETTINGS, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "Certificate" in done.stdout
    assert "share escalated at most 60.0%" in done.stdout
    answers = (out / "answers.jsonl").read_text(encoding="utf-8")
    assert len(answers.splitlines()) == 13

    again = calibrate(file, "--target", "harm=0.01", *SETTINGS, "--out", out, "--json", "--task", "facts")
    assert again.returncode == 0, again.stderr
    certificate = json.loads(again.stdout)
    assert (certificate["kind"], certificate["threshold"], certificate["task"]) == ("harm", None, "facts")
    assert certificate["labels_needed"] is None or certificate["labels_needed"] > 12
    assert (out / "answers.jsonl").read_text(encoding="utf-8") == answers
    assert {path.suffix for path in out.iterdir()} == {".jsonl", ".json", ".svg"}

    router = Router("smollm2-135m", samples=4, certificate=out / "certificate.json", task="facts")
    record = router.decide([{"role": "system", "content": SYSTEM}, {"role": "user", "content": "2 + 2?"}]).record
    assert record.reason == "uncertified"
    with pytest.raises(ConfigurationError, match="samples 4, now 10"):
        Router("smollm2-135m", certificate=out / "certificate.json")


@pytest.mark.real_model
def test_plots_of_an_earlier_run_do_not_stay_beside_a_certificate(tmp_path: Path) -> None:
    """Where the answers are all of one kind there is nothing to draw."""
    out, file = tmp_path / "out", prompts(tmp_path / "prompts.jsonl", n=6)
    drawn = calibrate(file, "--target", "cost=0.6", "--delta", "0", *SETTINGS, "--out", out)
    assert list(out.glob("*.svg")), drawn.stdout
    wrong = [json.loads(line) | {"references": ["nothing it says"]} for line in file.read_text("utf-8").splitlines()]
    file.write_text("\n".join(map(json.dumps, wrong)), encoding="utf-8")
    assert calibrate(file, "--target", "cost=0.6", "--delta", "0", *SETTINGS, "--out", out).returncode == 0
    assert not list(out.glob("*.svg"))


@pytest.mark.real_model
def test_labels_of_a_cloud_over_http(tmp_path: Path) -> None:
    """Without references a server that speaks OpenAI's protocol labels the answers, and is not asked twice; one that
    refuses is one clear line, and nothing of what was answered is lost."""
    file = prompts(tmp_path / "prompts.jsonl", n=4, references=False)
    asked = load_questions("calibration")[:4]
    settings = ("--target", "harm=0.4", *SETTINGS, "--out", tmp_path / "out", "--json")
    with stand_in_cloud({question.question: question.accepted[0] for question in asked}) as url:
        environment = {"OPENAI_API_KEY": "not-needed", "OPENAI_BASE_URL": url}
        done = calibrate(file, *settings, **environment)
        refused = calibrate(file, *settings, "--labels", "judge", **environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["labels"] == "agreement"
    assert refused.returncode == 2
    assert "failed (NotFoundError)" in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr
    # The server is gone: what it said is in the folder.
    again = calibrate(file, *settings, **environment)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["threshold"] == json.loads(done.stdout)["threshold"]


@pytest.mark.real_model
def test_interrupted_it_goes_on(tmp_path: Path) -> None:
    """Ctrl-C ends it with 130 and no traceback, what was answered stays, and the same command ends the work."""
    out, file = tmp_path / "out", prompts(tmp_path / "prompts.jsonl")
    arguments = [*COMMAND, str(file), "--target", "cost=0.6", *SETTINGS, "--out", str(out)]
    with subprocess.Popen(  # noqa: S603
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        # A shell's background jobs, which CI may be, ignore Ctrl-C, and their children with them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509, RUF100
    ) as run:
        answers = out / "answers.jsonl"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (answers.exists() and answers.read_bytes().count(b"\n") >= 3):
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 130, errors
    assert "goes on from here" in errors
    assert "Traceback" not in errors
    before = answers.read_text(encoding="utf-8")
    done = calibrate(*arguments[len(COMMAND) :])
    assert done.returncode == 0, done.stderr
    assert answers.read_text(encoding="utf-8").startswith(before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "harm"], "The target must be one of"),
        (["--target", "speed=0.1"], "The target must be one of"),
        (["--target", "harm=5"], "between 0 and 1"),
        (["--estimator", "vibes"], "Unknown estimator"),
        (["--edge", "no-such-model"], "Unknown edge model"),
        (["--labels", "agreement"], "OPENAI_API_KEY"),
        (["--labels", "judge"], "OPENAI_API_KEY"),
        (["--target", "regret=0.1"], "OPENAI_API_KEY"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    """Bad input is told before the edge is asked anything: exit code 2, the fix, no traceback, nothing written."""
    done = calibrate(prompts(tmp_path / "prompts.jsonl"), *arguments, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_labels_that_are_not_there(tmp_path: Path) -> None:
    """Gold labels need references in all prompts; a quality target without them needs a key; the count is told."""
    file = prompts(tmp_path / "prompts.jsonl", references=False)
    gold = calibrate(file, "--labels", "gold", "--out", tmp_path / "out")
    assert gold.returncode == 2
    assert "12 of 12 prompts have no references" in " ".join(gold.stderr.split())
    quality = calibrate(file, "--target", "harm=0.1", "--out", tmp_path / "out")
    assert quality.returncode == 2
    assert "OPENAI_API_KEY" in quality.stderr
