"""The general-knowledge questions written for this project, and what counts as a right answer.

Two sets: on "calibration" the default threshold was fixed, "demo" is only shown. The first 160 were split by a hash of
their ids; 90 were added to the former later.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from confroute.grading import contains_answer

SYSTEM = "Answer with just the answer, a word or a short phrase."


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    id: str
    category: str
    question: str
    accepted: tuple[str, ...]

    def is_right(self, answer: str) -> bool:
        """Whether an accepted answer stands in *answer* as whole words, case, accents and punctuation aside.

        >>> Question(id="", category="", question="", accepted=("Tokyo",)).is_right("It is TOKYO.")
        True
        """
        return contains_answer(answer, self.accepted)


def load_questions(name: Literal["demo", "calibration"]) -> list[Question]:
    """The questions of one set, in a fixed order."""
    lines = files("confroute.demo").joinpath(f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [_question(json.loads(line)) for line in lines]


def _question(fields: dict[str, Any]) -> Question:
    return Question(
        id=fields["id"],
        category=fields["category"],
        question=fields["question"],
        accepted=tuple(fields["accepted"]),
    )
