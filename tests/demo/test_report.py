"""The demo's tables."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from confroute.demo.experiment import Row, summarise
from confroute.demo.report import show

QUESTION = "Which sea does the river Nile flow into, seen from its source?"


def rows(n: int, wrong: int) -> list[Row]:
    """So many questions, the first *wrong* of them answered wrongly and escalated."""
    return [
        Row(
            question=QUESTION,
            edge_answer="The Mediterranean Sea",
            edge_right=i >= wrong,
            edge_tokens=20,
            edge_seconds=0.1,
            final_answer="The Mediterranean Sea",
            final_right=True,
            cloud_right=True,
            cloud_tokens=20,
            cloud_seconds=0.1,
            seconds=0.1,
            record={
                "route": "cloud" if i < wrong else "edge",
                "confidence": 0.1 if i < wrong else 0.9,
                "uncertainty": 0.9 if i < wrong else 0.1,
                "edge": {"input_tokens": 10, "output_tokens": 10},
            },
        )
        for i in range(n)
    ]


def shown(items: list[Row], width: int = 132) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(console, items, summarise(items), cloud_note="A stand-in.")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_few_answers_tell_nothing_of_the_uncertainty() -> None:
    """One wrong answer of five is no AUROC of 1 with an interval of no width; with enough there is a number."""
    assert '"the edge is wrong": too few right or wrong answers to tell.' in " ".join(shown(rows(5, 1)).split())
    assert "1.00 (95 % interval 0.85 to 1.00, n = 30)" in " ".join(shown(rows(30, 10)).split())


@pytest.mark.parametrize("width", [48, 60, 72, 80, 100, 132])
def test_a_narrow_terminal_shows_fewer_columns(width: int) -> None:
    """What is left can be read: the question in lines of a few words, the route and whether the answer is right."""
    lines = shown(rows(3, 1), width).splitlines()
    heading = next(line for line in lines if "question" in line)
    assert max(map(len, lines)) <= width
    assert len(heading.split("┃")[2]) >= 18
    for kept in ("route", "right?"):
        assert kept in heading
    assert ("edge answer" in heading) == (width >= 100)
