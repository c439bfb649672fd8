"""Where labels come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from confroute import Evidence
from confroute.calibration.collection import Collected
from confroute.calibration.labels import CloudModel, answer_of, by_agreement, by_references
from confroute.calibration.prompts import Prompt
from confroute.errors import InputError
from confroute.records import Message
from confroute.testing import says


def prompt(text: str, *references: str) -> Prompt:
    return Prompt(messages=({"role": "user", "content": text},), references=references or None)


def item(question: str, text: str) -> Collected:
    return Collected(key=question, evidence=Evidence(question=question, answer=says(text)))


PROMPTS = [prompt("Capital of France?", "Paris"), prompt("Capital of Japan?", "Tokyo", "Tōkyō"), prompt("2 + 2?", "4")]
ANSWERS = [item("Capital of France?", "It is Paris."), item("Capital of Japan?", "Kyoto"), item("2 + 2?", " ")]
FAILED = Collected(key="x", error="ModelError")


class Cloud:
    """A cloud model that says these, and counts how often it was asked."""

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)
        self.asked: list[str] = []

    def __call__(self, messages: Sequence[Message]) -> str:
        self.asked.append(str(messages[-1]["content"]))
        return self.replies[len(self.asked) - 1]


def test_references_are_looked_for_as_words() -> None:
    """Any accepted answer will do, within a sentence too; a blank answer, or no references, are never right."""
    assert by_references(PROMPTS, ["It is Paris.", "Tōkyō!", ""]) == [True, True, False]
    assert by_references([prompt("q")], ["x"]) == [False]
    assert by_references([prompt("q", "")], ["x"]) == [False]


def test_agreement_is_meaning_the_same() -> None:
    """Sentence and word agree; a blank or failed answer agrees with nothing, not even with a blank one."""
    assert by_agreement(ANSWERS, ["Paris", "Tokyo", " "]) == [True, False, False]
    assert by_agreement([FAILED], [""]) == [False]


def test_json_agrees_by_its_values() -> None:
    """The order of keys is no difference, one value of three is."""
    edge = item("Where?", '{"city": "Paris", "country": "France", "continent": "Europe"}')
    same = '{"continent": "Europe", "country": "France", "city": "Paris"}'

    assert by_agreement([edge], [same]) == [True]
    assert by_agreement([edge], [same.replace("Paris", "Lyon")]) == [False]


def test_cloud_answers_are_paid_once(tmp_path: Path) -> None:
    """A second run takes the answers from the file; another model's name asks anew elsewhere."""
    path = tmp_path / "cloud.jsonl"
    first = Cloud("a", "b", "c")
    assert list(CloudModel(name="big", ask=first).answers(PROMPTS, path)) == ["a", "b", "c"]
    again = Cloud()
    assert list(CloudModel(name="big", ask=again).answers(PROMPTS, path)) == ["a", "b", "c"]
    assert again.asked == []


def test_cloud_answers_are_those_of_one_cloud(tmp_path: Path) -> None:
    """Another model, or the same name at another URL, is not taken for the one that answered; no URL is written."""
    path = tmp_path / "cloud.jsonl"
    there = "https://user:secret@there/v1"
    assert list(CloudModel(name="big", url=there, ask=Cloud("a")).answers(PROMPTS[:1], path)) == ["a"]

    for other in (CloudModel(name="bigger", url=there, ask=Cloud()), CloudModel(name="big", url="x", ask=Cloud())):
        with pytest.raises(InputError, match="made with other settings"):
            list(other.answers(PROMPTS[:1], path))
    assert "there" not in path.read_text() + repr(CloudModel(name="big", url=there, ask=Cloud()))


def test_a_verdict_is_of_one_answer(tmp_path: Path) -> None:
    """Another edge's answer to the same prompt is judged anew; the same answer is not."""
    path, question = tmp_path / "verdicts.jsonl", "Capital of France?"
    cloud = Cloud("yes", "no")
    judge = CloudModel(name="judge", ask=cloud)

    verdicts = [list(judge.verdicts([item(question, text)], path)) for text in ("Paris", "Lyon", "Paris")]

    assert verdicts == [[True], [False], [True]]
    assert len(cloud.asked) == 2


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("yes", True),
        ("Yes.", True),
        ("**YES**", True),
        ("no", False),
        ("Not yes", False),
        ("", False),
        ("maybe", False),
    ],
)
def test_verdicts(tmp_path: Path, reply: str, verdict: bool) -> None:
    """Only a reply that begins with yes is one; the judge sees question and answer."""
    cloud = Cloud(reply)
    verdicts = CloudModel(name="judge", ask=cloud).verdicts(ANSWERS[:1], tmp_path / "verdicts.jsonl")
    assert list(verdicts) == [verdict]
    assert "Capital of France?" in cloud.asked[0]
    assert "It is Paris." in cloud.asked[0]


def test_a_failed_answer_is_not_acceptable_whatever_the_judge_says(tmp_path: Path) -> None:
    """Nor is the judge asked."""
    cloud = CloudModel(name="judge", ask=Cloud())
    assert list(cloud.verdicts([FAILED], tmp_path / "verdicts.jsonl")) == [False]
    assert answer_of(FAILED).text == ""
