"""Where labels come from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from confroute import Evidence
from confroute.calibration.collection import Collected
from confroute.calibration.labels import CloudModel, answer_of, by_agreement, by_references, cloud_is_right
from confroute.calibration.prompts import Prompt
from confroute.errors import InputError, ModelError
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
        ("maybe", False),
        (" ", None),
    ],
)
def test_verdicts(tmp_path: Path, reply: str, verdict: bool | None) -> None:
    """Only a reply that begins with yes is one, a blank one is none; the judge sees question and answer."""
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


def test_a_blank_reply_is_no_answer_and_asked_for_again(tmp_path: Path) -> None:
    """Nor is one kept that a file of an older version holds; what was answered is not asked for again."""
    path = tmp_path / "cloud.jsonl"
    assert list(CloudModel(name="big", ask=Cloud("a", " ", "c")).answers(PROMPTS, path)) == ["a", None, "c"]
    with path.open("a") as older:
        older.write(json.dumps({"key": PROMPTS[1].key, "text": ""}) + "\n")
    again = Cloud("b")
    assert list(CloudModel(name="big", ask=again).answers(PROMPTS, path)) == ["a", "b", "c"]
    assert again.asked == ["Capital of Japan?"]


def test_no_answer_of_the_cloud_counts_against_the_edge() -> None:
    """For a regret the cloud may have been right; and nothing agrees with what was not said."""
    assert cloud_is_right(PROMPTS, ["Lyon", None, "4"]) == [False, True, True]
    assert by_agreement(ANSWERS[:1], [None]) == [False]


@pytest.mark.parametrize("judged", [False, True])
def test_a_cloud_that_answers_nothing_ends_the_run(tmp_path: Path, judged: bool) -> None:
    """After three blank replies, where it never gave another; one that has answered before is asked on."""
    items = [item(f"{i}?", "x") for i in range(5)]
    asked = [prompt(f"{i}?") for i in range(5)]

    def replies(*texts: str) -> list[str | None] | list[bool | None]:
        model, path = CloudModel(name="big", ask=Cloud(*texts)), tmp_path / "cloud.jsonl"
        return list(model.verdicts(items, path)) if judged else list(model.answers(asked, path))

    with pytest.raises(ModelError, match=r"big gave no answer 3 times in a row.*OPENAI_MODEL"):
        replies("", " ", "\n")
    assert replies("no", "", "", "", "no")[1:4] == [None] * 3
