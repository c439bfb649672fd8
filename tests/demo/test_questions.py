"""The demo's questions and what counts as right."""

from __future__ import annotations

import pytest

from confroute.demo.questions import Question, load_questions


def test_the_sets_are_apart_and_large_enough() -> None:
    """No question of the demo is among those the threshold was fixed on."""
    demo, calibration = load_questions("demo"), load_questions("calibration")

    assert len(demo) >= 40
    assert len(calibration) >= 40
    assert not {q.id for q in demo} & {q.id for q in calibration}
    assert not {q.question.casefold() for q in demo} & {q.question.casefold() for q in calibration}


@pytest.mark.parametrize("name", ["demo", "calibration"])
def test_no_question_holds_its_own_answer(name: str) -> None:
    """Repeating the question is not a right answer."""
    assert [q.id for q in load_questions(name) if q.is_right(q.question)] == []  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["demo", "calibration"])
def test_every_accepted_answer_is_right(name: str) -> None:
    """Each accepted form counts as right, alone and in a sentence."""
    for question in load_questions(name):  # pyright: ignore[reportArgumentType]
        for accepted in question.accepted:
            assert question.is_right(accepted)
            assert question.is_right(f"It is {accepted}, of course.")


@pytest.mark.parametrize(
    ("accepted", "answer", "right"),
    [
        ("Au", "Augustus", False),
        ("12", "112", False),
        ("2,668", "2668", True),
        ("São Tomé", "sao tome", True),
        ("Paris", "", False),
    ],
)
def test_matching_is_by_whole_words(accepted: str, answer: str, right: bool) -> None:
    """A right answer holds an accepted one as words, not as letters."""
    question = Question(id="q", category="c", question="?", accepted=(accepted,))

    assert question.is_right(answer) is right
