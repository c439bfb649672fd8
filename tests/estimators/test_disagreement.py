"""The share of samples that say something else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import Disagreement, Evidence, TextEquivalence
from confroute.testing import says


def disagreement(answer: str, samples: Sequence[str], question: str = "") -> float:
    evidence = Evidence(question=question, answer=says(answer), samples=tuple(map(says, samples)))
    return Disagreement().estimate(evidence).uncertainty


@pytest.mark.parametrize(
    ("answer", "samples", "expected"),
    [
        ("Paris", ["Paris"] * 4, 0.0),
        ("Paris", ["Lyon"] * 10, 1.0),
        ("Paris", ["Paris.", "paris", "It is Paris", "Lyon"], 0.25),
        ("Paris", ["Paris", "", "  "], 2 / 3),
        ("Paris", ["Paris", "Not Paris"], 0.5),
        ("32", ["32", "32.5", "32.0", "33"], 0.5),
        ("Paris", ["Lyon"], 1.0),
    ],
)
def test_known_cases(answer: str, samples: list[str], expected: float) -> None:
    """Cases with a share that can be counted by hand; empty samples disagree."""
    assert disagreement(answer, samples) == pytest.approx(expected)


def test_question_words_do_not_agree() -> None:
    """Sentences that share only the question's words disagree."""
    question = "What is the capital of Egypt?"
    samples = ["The capital of Egypt is Alexandria", "Cairo"]
    assert disagreement("The capital of Egypt is Cairo", samples, question) == 0.5


texts = st.sampled_from(["Paris", "paris!", "It is Paris", "Lyon", "", "5", "five", "not Paris", "🙂"])


@given(texts.filter(bool), st.lists(texts, min_size=1, max_size=12))
def test_equation(answer: str, samples: list[str]) -> None:
    """(1/N) sum (1 - same(y*, y_i)), an empty sample never the same."""
    equivalence = TextEquivalence()
    same = [bool(s.strip()) and equivalence.same([(answer, s)], question="")[0] for s in samples]
    assert disagreement(answer, samples) == pytest.approx(sum(1 - verdict for verdict in same) / len(samples))


@given(texts.filter(bool), st.lists(texts, min_size=1, max_size=8), st.integers(2, 3))
def test_repeating_all_samples_changes_nothing(answer: str, samples: list[str], times: int) -> None:
    """It is a share: ten samples or the same twice over give the same number."""
    assert disagreement(answer, samples * times) == pytest.approx(disagreement(answer, samples))
