"""What `confroute calibrate` refuses before it asks the edge anything, and what it shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("scipy")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytest.importorskip("openai")

from confroute import Generation, Router, SamplingOptions, errors
from confroute.calibration import command
from confroute.calibration.certificate import Certificate
from confroute.cli import app
from confroute.demo.stand_in import stand_in_cloud
from confroute.errors import ConfrouteError, ContextLengthError, ModelError, UnsupportedRequestError
from confroute.estimators import VoteShare
from confroute.records import Message, question_of
from confroute.testing import says

WRONG = {"question": "0?", "references": ["Oslo"]}


class Lima:
    """Answers Lima to all, and draws more of it the higher the number in the question."""

    model = "[/m]"

    def __init__(self) -> None:
        self.asked = 0

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        self.asked += 1
        agreeing = 1 if n == 1 else sum(map(ord, question_of(messages))) % (n + 1)
        samples = ["Lima" if i < agreeing else f"x{i}" for i in range(n)]
        return Generation(samples=tuple(map(says, samples)), input_tokens=3)


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> Lima:
    engine = Lima()
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def resolved(*_: object, **__: object) -> Lima:
        return engine

    monkeypatch.setattr(command, "resolve_edge", resolved)
    return engine


def asked(n: int = 40, *, references: bool = True, **more: Any) -> list[dict[str, Any]]:
    return [{"question": f"{i}?", **({"references": ["Lima"]} if references else {}), **more} for i in range(n)]


def calibrate(tmp_path: Path, items: Sequence[dict[str, Any]], *arguments: str) -> Result:
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
    out = [] if "--out" in arguments else ["--out", str(tmp_path / "out")]
    return CliRunner().invoke(app(), ["calibrate", str(file), "--samples", "4", *out, *arguments])


TWO_SYSTEMS = [
    {"messages": [{"role": "system", "content": str(i % 2)}, {"role": "user", "content": f"{i}?"}]} for i in range(40)
]


@pytest.mark.parametrize(
    ("items", "arguments", "message"),
    [
        (asked(), ["--delta", "1"], "delta must be between 0 and 1"),
        (asked(), ["--delta", "0", "--target", "error=0.1"], "on average"),
        (asked(), ["--calibrator", "isotonic", "--target", "error=0.1"], "isotonic"),
        (asked(references=False), ["--calibrator", "platt", "--target", "cost=0.5"], "needs labels"),
        (TWO_SYSTEMS, ["--target", "cost=0.5"], "2 different system prompts"),
    ],
)
def test_what_can_never_work_is_told_first(
    tmp_path: Path, edge: Lima, items: Any, arguments: list[str], message: str
) -> None:
    """A setting that no answers of the edge could save costs none of them."""
    result = calibrate(tmp_path, items, *arguments)
    assert isinstance(result.exception, ConfrouteError)
    assert message in str(result.exception)
    assert edge.asked == 0


@pytest.mark.parametrize(
    ("references", "arguments", "way_out"),
    [
        (True, ["--target", "regret=0.1"], "right. Set OPENAI_API_KEY (and OPENAI_BASE_URL for another server)."),
        (True, ["--labels", "judge"], "server), or leave --labels out."),
        (False, ["--labels", "judge", "--target", "cost=0.5"], "server), or leave --labels out."),
        (False, ["--labels", "judge"], "server), or put references into all prompts and leave --labels out."),
        (False, [], "server), or put references into all prompts."),
    ],
)
def test_without_a_cloud_only_what_helps_is_advised(
    tmp_path: Path, edge: Lima, references: bool, arguments: list[str], way_out: str
) -> None:
    """References are not asked for where they are there, or where only the cloud knows."""
    result = calibrate(tmp_path, asked(references=references), *arguments)
    assert str(result.exception).endswith(way_out)
    assert edge.asked == 0


@pytest.mark.parametrize(("absent", "arguments"), [("matplotlib", []), ("sklearn", ["--calibrator", "platt"])])
def test_a_missing_package_is_told_first(
    tmp_path: Path, edge: Lima, monkeypatch: pytest.MonkeyPatch, absent: str, arguments: list[str]
) -> None:
    """What is needed after the edge was asked is looked for before."""
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == absent else find_spec(name))  # type: ignore[arg-type]
    result = calibrate(tmp_path, asked(), *arguments)
    assert f'package "{absent}"' in str(result.exception)
    assert edge.asked == 0


@pytest.mark.parametrize("out", ["prompts.jsonl/x", "/proc/absent"])
def test_a_folder_that_takes_no_files_is_told_first(tmp_path: Path, edge: Lima, out: str) -> None:
    """One clear error before the edge is asked."""
    result = calibrate(tmp_path, asked(), "--out", str(tmp_path / out))
    assert isinstance(result.exception, ConfrouteError)
    assert "cannot be written" in str(result.exception)
    assert edge.asked == 0


def test_one_wrong_answer_is_enough_for_a_calibrator(tmp_path: Path, edge: Lima) -> None:
    """Where the answers of one kind are too few to be held out, the curve is drawn on what was fitted."""
    result = calibrate(tmp_path, [WRONG, *asked(300)[1:]], "--calibrator", "platt", "--target", "harm=0.1")
    assert result.exit_code == 0, result.exception
    made = Certificate.load(tmp_path / "out" / "certificate.json")
    assert made.calibrator is not None
    assert edge.asked == 600


def test_a_prompt_counts_once(tmp_path: Path, edge: Lima) -> None:
    """Copies of a prompt are left out, and how many is said; JSON on stdout stays JSON."""
    result = calibrate(tmp_path, [*asked(20), *asked(19)], "--target", "cost=0.5", "--json")
    assert "19 of 39 prompts repeat another" in result.stderr
    assert json.loads(result.stdout)["n"] == 20


def test_what_failed_is_told_by_its_kinds(tmp_path: Path, edge: Lima, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many of each, and that they are asked again."""
    failures: dict[str, Exception] = dict.fromkeys(("1?", "2?"), ContextLengthError(9, 9, 9))
    failures["3?"] = UnsupportedRequestError("x")
    answer = edge.generate

    def generate(messages: Sequence[Message], **given: Any) -> Generation:
        if failure := failures.get(question_of(messages)):
            raise failure
        return answer(messages, **given)

    monkeypatch.setattr(edge, "generate", generate)
    told = " ".join(calibrate(tmp_path, asked(), "--target", "cost=0.5").stdout.split())
    assert "ContextLengthError: 2, UnsupportedRequestError: 1" in told
    assert "asked again" in told


@pytest.mark.parametrize("task", ["[/x]", "[legal]"])
def test_brackets_in_names_are_no_markup(tmp_path: Path, edge: Lima, task: str) -> None:
    """A task and a model are shown as they are called."""
    result = calibrate(tmp_path, asked(), "--target", "cost=0.5", "--task", task)
    assert result.exit_code == 0, result.exception
    assert task in result.stdout
    assert edge.model in result.stdout


def test_a_folder_of_another_run_is_told_before_a_bar_is_drawn(tmp_path: Path, edge: Lima) -> None:
    """By the option that differs, its values, the folder and the way out; the edge is not asked."""
    calibrate(tmp_path, asked(20), "--target", "cost=0.5")
    before = edge.asked
    result = calibrate(tmp_path, asked(20), "--target", "cost=0.5", "--max-tokens", "16")
    assert isinstance(result.exception, ConfrouteError)
    for part in ("max_tokens was 256 and is now 16", str(tmp_path / "out"), "--out"):
        assert part in str(result.exception)
    assert (result.stdout, result.stderr, edge.asked) == ("", "", before)


def test_a_certificate_that_keeps_nothing_is_not_recommended(tmp_path: Path, edge: Lima) -> None:
    """What to do is told instead: more prompts, in the same file and folder."""
    result = calibrate(tmp_path, asked(3), "--target", "harm=0.05")
    told = " ".join(result.stdout.split())
    assert "none: escalate everything" in told
    assert "Use it" not in told
    assert "Add prompts to" in told
    more = " ".join(calibrate(tmp_path, asked(60), "--target", "harm=0.05").stdout.split())
    assert "Use it: Router(samples=4, certificate=" in more


def test_the_line_to_paste_makes_the_router(tmp_path: Path, edge: Lima, monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs from a router's defaults is in it, and it runs; what requests must be like is told."""
    given = ("--samples", "3", "--max-tokens", "12", "--edge", "lima", "--estimator", "vote_share", "--task", "facts")
    result = calibrate(tmp_path, asked(), "--target", "cost=0.5", "--system", "Be secret.", *given)
    line = re.search("Use it: (.*), or the same", result.stdout)
    assert line is not None, result.stdout
    monkeypatch.setattr("confroute.router.resolve_edge", lambda edge: {"lima": Lima()}[edge])  # type: ignore[misc]
    assert "from confroute.estimators import VoteShare" in result.stdout
    made = eval(line[1], {"Router": Router, "VoteShare": VoteShare})  # noqa: S307
    assert (made.samples, made.certificate.task) == (3, "facts")
    assert "max_tokens=12 and the system message of these prompts only" in result.stdout
    assert "secret" not in result.stdout


def test_what_is_a_router_s_default_is_not_in_the_line(tmp_path: Path, edge: Lima) -> None:
    """Short where it can be; and a password of an address is not in it."""
    plain = ("--target", "cost=0.5", "--samples", "10")
    assert f'Router(certificate="{tmp_path}' in calibrate(tmp_path, asked(), *plain).stdout
    result = calibrate(tmp_path, asked(), *plain, "--edge", "http://me:hidden@host/v1#m", "--engine", "llamacpp")
    assert 'resolve_edge("…", engine="llamacpp"), certificate=' in result.stdout
    assert "max_tokens=256 and no system message only" in result.stdout
    assert "hidden" not in result.stdout


def test_another_cloud_model_is_refused_before_the_edge_is_asked(
    tmp_path: Path, edge: Lima, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cloud's file is read first; where the first run got no answer of it, it is no obstacle."""
    items = asked(12, references=False)
    monkeypatch.setenv("OPENAI_API_KEY", "not-needed")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert isinstance(calibrate(tmp_path, items, "--target", "harm=0.5").exception, ModelError)
    with stand_in_cloud({item["question"]: "Lima" for item in items}) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        assert calibrate(tmp_path, items, "--target", "harm=0.5").exit_code == 0
    (tmp_path / "out" / "answers.jsonl").unlink()
    before = edge.asked
    monkeypatch.setenv("OPENAI_MODEL", "another")
    result = calibrate(tmp_path, items, "--target", "harm=0.5")
    assert "cloud.jsonl" in str(result.exception)
    assert edge.asked == before


def test_codes_of_emoji_are_shown_as_they_are(tmp_path: Path, edge: Lima) -> None:
    """In a name, a folder or a task they are no pictures."""
    edge.model = "m:x:"
    result = calibrate(tmp_path, asked(), "--target", "cost=0.5", "--task", ":100:", "--out", str(tmp_path / ":a:"))
    assert result.exit_code == 0, result.exception
    for part in ("m:x:", ":100:", ":a:"):
        assert part in result.stdout


class Stingy(BaseHTTPRequestHandler):
    """A cloud that holds back its answers but for those to questions that begin with one of *told*."""

    told: ClassVar[tuple[str, ...]] = ()
    held_back: ClassVar[list[dict[str, Any]] | None] = []
    refusal: ClassVar[dict[str, Any] | None] = None

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
        said = {"message": {"role": "assistant", "content": "Oslo"}, "finish_reason": "stop"}
        choices = [said] if question.startswith(self.told) else self.held_back
        body: dict[str, Any] = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
        refused = self.refusal is not None and choices is self.held_back
        told = choices and [{"index": 0, **choice} for choice in choices]
        sent = json.dumps({"error": self.refusal} if refused else {**body, "choices": told}).encode()
        self.send_response(self.refusal.get("status", 200) if refused and self.refusal else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def stingy(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Stingy]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Stingy) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OPENAI_API_KEY", "not-needed")
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        yield Stingy
        server.shutdown()
        thread.join()


BLANK = {"message": {"role": "assistant", "content": None}, "finish_reason": "length"}
FILTERED = {"message": {"role": "assistant", "content": "I cannot"}, "finish_reason": "content_filter"}


# Azure's word on a prompt.
REFUSED = {"status": 400, "code": "content_filter", "message": "The response was filtered.", "param": "prompt"}
IN_ERROR = {"message": {"role": "assistant", "content": ""}, "finish_reason": "error"}


@pytest.mark.parametrize(
    ("held_back", "refusal"),
    [([], {"code": 429, "message": "slow down"}), (None, None), ([IN_ERROR], None)],
    ids=["status 200", "no list", "a choice in error"],
)
def test_a_cloud_in_error_is_no_cloud_that_holds_back(
    tmp_path: Path, edge: Lima, stingy: type[Stingy], monkeypatch: pytest.MonkeyPatch, held_back: Any, refusal: Any
) -> None:
    """The run ends, also after answers, and the same command goes on."""
    items = [{"question": f"{i}?", "references": ["Quito"]} for i in range(4)]
    monkeypatch.setattr(stingy, "held_back", held_back)
    monkeypatch.setattr(stingy, "refusal", refusal)
    monkeypatch.setattr(stingy, "told", ("0",))
    ended = calibrate(tmp_path, items, "--target", "regret=0.3")
    assert "replied with an error" in str(ended.exception)
    assert not list(tmp_path.rglob("certificate.json"))
    monkeypatch.setattr(stingy, "told", tuple("0123"))
    assert calibrate(tmp_path, items, "--target", "regret=0.3").exit_code == 0
    assert edge.asked == 8


def test_a_cloud_that_answers_in_parts(
    tmp_path: Path, edge: Lima, stingy: type[Stingy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mistral's thinking models do, thoughts apart."""
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Oslo?"}]}, {"type": "text", "text": "Lima"}]
    monkeypatch.setattr(stingy, "held_back", [{"message": {"role": "assistant", "content": parts}}])
    monkeypatch.setattr(stingy, "told", ())
    items = [{"question": f"{i}?"} for i in range(4)]
    done = calibrate(tmp_path, items, "--target", "harm=0.3", "--labels", "agreement")
    assert done.exit_code == 0
    assert "Oslo" not in (tmp_path / "out" / "cloud.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("held_back", [[BLANK], [FILTERED], [], REFUSED], ids=["blank", "filtered", "no choice", "400"])
def test_nothing_is_promised_on_a_cloud_that_holds_back_its_answers(
    tmp_path: Path, edge: Lima, stingy: type[Stingy], monkeypatch: pytest.MonkeyPatch, held_back: Any
) -> None:
    """Where it answers nothing, that is an error; single prompts count as right in the cloud, how many is told, and
    they are asked again, alone."""
    items = [{"question": f"{i}?", "references": ["Quito"]} for i in range(40)]
    regret = ("--target", "regret=0.3", "--json")
    monkeypatch.setattr(stingy, "refusal", held_back if held_back is REFUSED else None)
    monkeypatch.setattr(stingy, "held_back", [] if held_back is REFUSED else held_back)
    monkeypatch.setattr(stingy, "told", ())
    assert "gave no answer 3 times in a row" in str(calibrate(tmp_path, items, *regret).exception)

    monkeypatch.setattr(stingy, "told", ("0",))
    mostly = calibrate(tmp_path, items, *regret)
    assert "no answer to 39 of 40" in " ".join(mostly.stderr.split())
    assert json.loads(mostly.stdout)["threshold"] is None

    monkeypatch.setattr(stingy, "told", tuple("0123456789"))
    after = calibrate(tmp_path, items, *regret)
    assert "no answer" not in after.stderr
    assert json.loads(after.stdout)["threshold"] is not None
    assert edge.asked == 80
