"""Asking the edge a set of prompts, with all that a threshold may need."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from confroute import (
    ConfigurationError,
    ContextLengthError,
    Disagreement,
    Generation,
    InputError,
    MeanLogprob,
    ModelError,
    Sample,
    SamplingOptions,
)
from confroute.calibration.collection import Collected, Collection
from confroute.calibration.journal import Journal
from confroute.calibration.prompts import Prompt
from confroute.edge.refusals import LostError
from confroute.edge.server import ServerEngine
from confroute.estimators import Estimator, PTrue, TokenEntropy
from confroute.records import Message
from confroute.testing import ScriptedEngine, says

QUESTIONS = ("one", "two", "three", "blank", "broken")
PROMPTS = [Prompt(messages=({"role": "user", "content": question},)) for question in QUESTIONS]
RICH = Sample(
    text="a b", token_logprobs=(-0.5, -1.5), tokens=("a", " b"), alternatives=((("a", -0.5), ("b", -1.0)),) * 2
)


class Engine(ScriptedEngine):
    """Answers by script, and True to every question about an answer."""

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        if "Proposed answer" in str(messages[-1]["content"]):
            self.requests.append((list(messages), n, options))
            return Generation(samples=(says("True"),), input_tokens=3)
        return super().generate(messages, n=n, options=options)


def engine() -> Engine:
    script = dict.fromkeys(QUESTIONS[:3], (RICH, [RICH, "c"]))
    return Engine(script | {"blank": (" ", ["x"]), "broken": RuntimeError("quotes the prompt")})


def collection(*estimators: Estimator, edge: Engine | None = None, samples: int = 4) -> Collection:
    return Collection(edge=edge or engine(), estimators=estimators or (Disagreement(),), samples=samples)


def test_all_samples_are_drawn_and_a_failure_is_no_end(tmp_path: Path) -> None:
    """Each prompt gets its answer and all samples, a blank answer none, and a failed one its error's class."""
    results = list(collection().gather(PROMPTS, tmp_path / "answers.jsonl"))
    assert [len(item.evidence.samples) if item.evidence else None for item in results] == [4, 4, 4, 0, None]
    assert [item.error for item in results] == [None, None, None, None, "RuntimeError"]
    assert results[0].evidence is not None
    assert results[0].evidence.answer == RICH
    assert "quotes" not in (tmp_path / "answers.jsonl").read_text(encoding="utf-8")


def test_read_back_it_is_the_same(tmp_path: Path) -> None:
    """What the file gives back equals what was handed out, alternatives, replies and usage included."""
    path = tmp_path / "answers.jsonl"
    first = list(collection(Disagreement(), PTrue()).gather(PROMPTS[:4], path))
    again = engine()
    assert list(collection(Disagreement(), PTrue(), edge=again).gather(PROMPTS[:4], path)) == first
    assert again.requests == []
    assert first[0].evidence is not None
    assert set(first[0].evidence.replies) == {"p_true"}


@pytest.mark.parametrize("done", range(len(PROMPTS)))
def test_interrupted_it_goes_on(tmp_path: Path, done: int) -> None:
    """Stopped after any number of prompts, a second run asks the rest only, and the results are in order."""
    path = tmp_path / "answers.jsonl"
    run = collection().gather(PROMPTS, path)
    for _ in range(done):
        next(run)
    run.close()
    edge = engine()
    results = list(collection(edge=edge).gather(PROMPTS, path))
    assert [item.key for item in results] == [prompt.key for prompt in PROMPTS]
    asked = [str(messages[-1]["content"]) for messages, _, _ in edge.requests]
    assert list(dict.fromkeys(asked)) == list(QUESTIONS[done:])


def test_only_what_is_needed_is_asked_for(tmp_path: Path) -> None:
    """No samples for estimators that look at none; as many alternatives as the greediest of them wants."""
    edge = engine()
    list(collection(MeanLogprob(), TokenEntropy(k=7), edge=edge).gather(PROMPTS[:1], tmp_path / "answers.jsonl"))
    assert [(n, options.alternatives) for _, n, options in edge.requests] == [(1, 7)]


def test_hidden_states_are_not_asked_for(tmp_path: Path) -> None:
    """No file holds hidden states: options that ask for them ask the edge for none, and name the same settings."""
    edge = engine()
    probing = Collection(
        edge=edge, estimators=(Disagreement(),), samples=4, options=SamplingOptions(hidden_layer=1, max_tokens=9)
    )
    list(probing.gather(PROMPTS[:1], tmp_path / "answers.jsonl"))
    assert {options.hidden_layer for _, _, options in edge.requests} == {None}
    plain = Collection(edge=edge, estimators=(Disagreement(),), samples=4, options=SamplingOptions(max_tokens=9))
    assert probing.settings == plain.settings


@pytest.mark.parametrize(
    "other",
    [collection(samples=5), collection(TokenEntropy(), Disagreement()), collection(Disagreement(), PTrue())],
    ids=["samples", "alternatives", "questions"],
)
def test_other_settings_are_refused(tmp_path: Path, other: Collection) -> None:
    """Answers made with fewer samples, fewer alternatives or without a question are not gone on with."""
    path = tmp_path / "answers.jsonl"
    list(collection().gather(PROMPTS[:1], path))
    with pytest.raises(InputError, match="other settings"):
        list(other.gather(PROMPTS, path))


def test_another_file_of_the_same_name_is_another_edge(tmp_path: Path) -> None:
    """Answers of one model are not gone on with by another of its name; those of an older version, which did not tell
    them apart, are."""
    path = tmp_path / "answers.jsonl"
    list(collection().gather(PROMPTS[:1], path))
    lines = path.read_text(encoding="utf-8").split("\n")
    older = json.loads(lines[0])
    assert older["settings"].pop("weights") is None
    path.write_text("\n".join([json.dumps(older), *lines[1:]]), encoding="utf-8")
    edge = engine()
    edge.path = tmp_path / "model.gguf"  # type: ignore[attr-defined]
    (tmp_path / "model.gguf").write_bytes(b"GGUF one")
    assert len(list(collection(edge=edge).gather(PROMPTS[:2], path))) == 2
    list(collection(edge=edge).gather(PROMPTS[:1], tmp_path / "new.jsonl"))
    (tmp_path / "model.gguf").write_bytes(b"GGUF two")
    with pytest.raises(InputError, match="other settings: weights differs"):
        list(collection(edge=edge).gather(PROMPTS[:2], tmp_path / "new.jsonl"))


def test_a_setting_that_fails_everywhere_is_raised(tmp_path: Path) -> None:
    """A missing chat template would fail on all prompts: it ends the run instead of filling the file with failures."""
    edge = Engine({"one": ConfigurationError("no chat template")})
    with pytest.raises(ConfigurationError, match="chat template"):
        list(collection(edge=edge).gather(PROMPTS[:1], tmp_path / "answers.jsonl"))


def test_a_prompt_that_comes_twice_is_asked_once(tmp_path: Path) -> None:
    """The same prompt has the same answer in both places."""
    edge = engine()
    first, second = collection(edge=edge).gather([PROMPTS[0], PROMPTS[0]], tmp_path / "answers.jsonl")
    assert isinstance(first, Collected)
    assert first == second
    assert [n for _, n, _ in edge.requests] == [1, 4]


class Unreliable(Engine):
    """Fails on the requests whose numbers are *down*, from 0 on."""

    def __init__(self, down: range) -> None:
        super().__init__(dict.fromkeys(QUESTIONS, (RICH, [RICH])))
        self.down = down
        self.asked = 0

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        self.asked += 1
        if self.asked - 1 in self.down:
            raise LostError("out of reach")
        return super().generate(messages, n=n, options=options)


@pytest.mark.parametrize("before", [0, 1])
def test_an_edge_out_of_reach_ends_the_run(tmp_path: Path, before: int) -> None:
    """A server that is down, from the first prompt on or later, is one error; what was answered is kept, and the same
    run goes on once it is back."""
    path = tmp_path / "answers.jsonl"
    down = collection(edge=Unreliable(range(2 * before, 99)))
    with pytest.raises(ModelError, match=r"failed 3 times in a row \(LostError\).*goes on"):
        list(down.gather(PROMPTS, path))
    back = Unreliable(range(0))
    results = list(collection(edge=back).gather(PROMPTS, path))
    assert [item.error for item in results] == [None] * len(PROMPTS)
    assert back.asked == 2 * (len(PROMPTS) - before)


def test_prompts_that_fail_one_after_the_other_are_no_end(tmp_path: Path) -> None:
    """While the edge still answers what it has answered before, three failures are those of three prompts."""
    results = list(collection(edge=Unreliable(range(2, 5))).gather(PROMPTS, tmp_path / "answers.jsonl"))
    assert [item.error for item in results] == [None, *["LostError"] * 3, None]


def test_an_edge_that_refuses_prompts_is_in_reach(tmp_path: Path) -> None:
    """However many in a row, even from the first on, do not fit."""
    edge = Engine(dict.fromkeys(QUESTIONS, ContextLengthError(9, 9, 9)))
    results = list(collection(edge=edge).gather(PROMPTS, tmp_path / "answers.jsonl"))
    assert [item.error for item in results] == ["ContextLengthError"] * 5


def test_what_failed_is_asked_again(tmp_path: Path) -> None:
    """An edge that was given more context, or is back, answers in the next run, even where a file of an older version
    holds the failure; only what has no answer is asked."""
    path = tmp_path / "answers.jsonl"
    edge = Engine({"one": ContextLengthError(9, 9, 9), "two": LostError("away"), "three": (RICH, [RICH])})
    list(collection(edge=edge).gather(PROMPTS[:3], path))
    assert "Error" not in path.read_text(encoding="utf-8")
    with path.open("a", encoding="utf-8") as older:
        failed = {"evidence": None, "usage": None, "error": "ContextLengthError"}
        older.write(json.dumps({"key": PROMPTS[0].key, **failed}) + "\n")
    again = engine()
    assert [item.error for item in collection(edge=again).gather(PROMPTS[:3], path)] == [None] * 3
    assert {str(messages[-1]["content"]) for messages, _, _ in again.requests} == {"one", "two"}
    last = engine()
    list(collection(edge=last).gather(PROMPTS[:3], path))
    assert last.requests == []


def test_a_model_of_the_same_name_at_another_address_is_another_edge(tmp_path: Path) -> None:
    """Its answers are asked anew; those of an older version's file, which names no address, are taken. No address is
    written, and a password, which may change, is no part of it."""
    pytest.importorskip("openai")
    path, edge = tmp_path / "answers.jsonl", engine()
    list(collection(edge=edge).gather(PROMPTS[:1], path))
    lines = path.read_text(encoding="utf-8").split("\n")
    older = json.loads(lines[0])
    assert older["settings"].pop("url") is None
    path.write_text("\n".join([json.dumps(older), *lines[1:]]), encoding="utf-8")
    edge.base_url = ServerEngine("m", "http://me:secret@one.example/v1").base_url  # type: ignore[attr-defined]
    assert edge.base_url == "http://one.example/v1"  # type: ignore[attr-defined]
    assert len(list(collection(edge=edge).gather(PROMPTS[:2], path))) == 2

    list(collection(edge=edge).gather(PROMPTS[:1], tmp_path / "new.jsonl"))
    assert "one.example" not in (tmp_path / "new.jsonl").read_text(encoding="utf-8")
    edge.base_url = "http://two.example/v1"  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="other settings: url differs"):
        collection(edge=edge).gather(PROMPTS[:2], tmp_path / "new.jsonl")


@pytest.mark.parametrize(
    "damaged",
    [{}, {"evidence": {"question": "", "answer": {"text": None}}, "usage": None, "error": None}, {"evidence": 3}],
)
def test_a_damaged_answer_is_told_before_the_edge_is_asked(tmp_path: Path, damaged: dict[str, Any]) -> None:
    """A line that is JSON, but no answer, ends in the same error as one that is no JSON."""
    path = tmp_path / "answers.jsonl"
    with Journal(path, settings=collection().settings) as journal:
        journal.add(PROMPTS[0].key, damaged)
    with pytest.raises(InputError, match="not a file of results to go on from"):
        collection().gather(PROMPTS, path)
