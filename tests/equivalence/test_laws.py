"""What holds for every equivalence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from confroute import TextEquivalence
from confroute.equivalence import (
    EmbeddingEquivalence,
    Equivalence,
    ExactEquivalence,
    JudgeEquivalence,
    NLIEquivalence,
    StructuredEquivalence,
    cluster,
)
from confroute.records import Generation, Message, SamplingOptions
from confroute.testing import says

texts = st.one_of(
    st.lists(st.sampled_from("paris lutetia rome somewhere not the 1 2 $5 [1] {}".split()), max_size=4).map(" ".join),
    st.sampled_from(['{"a": 1}', '{"a": [1, 2]}', "[]", "\n", "🙂", "東京", "the " * 60]),
)
questions = st.sampled_from(["", "where is it ?", "paris or rome ?", "the " * 60])


class Lengths:
    """An engine that calls two answers the same if the prompt about them is of even length."""

    model = "lengths"

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        even = len(messages[0]["content"]) % 2 == 0
        return Generation(samples=(says("yes" if even else "no"),), input_tokens=1)


KINDS = ["text", "exact", "structured", "unordered", "judge", "embedding", "embedding_alone", "nli", "nli_loose"]


@pytest.fixture(scope="module", params=KINDS)
def equivalence(request: pytest.FixtureRequest) -> Equivalence:
    kind: str = request.param
    makers: dict[str, Callable[[], Equivalence]] = {
        "text": TextEquivalence,
        "exact": ExactEquivalence,
        "structured": StructuredEquivalence,
        "unordered": lambda: StructuredEquivalence(ordered=False, otherwise=ExactEquivalence()),
        "judge": lambda: JudgeEquivalence(Lengths()),
        "embedding": lambda: EmbeddingEquivalence(request.getfixturevalue("random_encoder"), device="cpu"),
        "embedding_alone": lambda: EmbeddingEquivalence(
            request.getfixturevalue("random_encoder"), with_question=False, device="cpu"
        ),
        "nli": lambda: NLIEquivalence(request.getfixturevalue("nli_folder")(), device="cpu"),
        "nli_loose": lambda: NLIEquivalence(request.getfixturevalue("nli_folder")(), strict=False, device="cpu"),
    }
    return makers[kind]()


# The equivalences hold nothing that one example could leave behind for another but what they remember.
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)


@shared
@given(a=texts, b=texts, question=questions)
def test_symmetric(equivalence: Equivalence, a: str, b: str, question: str) -> None:
    """The order of a pair changes neither verdict nor grade."""
    assert equivalence.same([(a, b)], question=question) == equivalence.same([(b, a)], question=question)
    there, back = (equivalence.similarity([pair], question=question) for pair in ((a, b), (b, a)))
    assert there == back


@shared
@given(text=texts, question=questions)
def test_reflexive(equivalence: Equivalence, text: str, question: str) -> None:
    """Every text, also a blank one, is the same as itself and as itself between white space, wholly."""
    pairs = [(text, text), (text, f" {text}\n")]
    assert equivalence.same(pairs, question=question) == [True, True]
    assert equivalence.similarity(pairs, question=question) == [1.0, 1.0]


@shared
@given(pairs=st.lists(st.tuples(texts, texts), max_size=5), question=questions)
def test_a_batch_is_its_pairs(equivalence: Equivalence, pairs: list[tuple[str, str]], question: str) -> None:
    """A pair's verdict and grade do not depend on the pairs around it, and a grade is in [0, 1]."""
    singly = [equivalence.same([pair], question=question)[0] for pair in pairs]
    assert equivalence.same(pairs, question=question) == singly
    grades = equivalence.similarity(pairs, question=question)
    assert grades == pytest.approx([equivalence.similarity([pair], question=question)[0] for pair in pairs], abs=1e-5)
    assert all(0.0 <= grade <= 1.0 for grade in grades)


def test_a_blank_answer_is_no_other(equivalence: Equivalence) -> None:
    """Whatever the question says, nothing is not something."""
    question = "paris or rome ?"
    assert equivalence.same([("", "paris"), (" ", "{}"), ("", "🙂")], question=question) == [False] * 3


def test_clusters_and_has_an_identity(equivalence: Equivalence) -> None:
    """It works where equivalences are used, and is named without addresses or paths."""
    assert cluster(["paris", "paris", "paris "], equivalence, question="where is it ?") == [0, 0, 0]
    assert "0x" not in equivalence.identity
    assert "/" not in equivalence.identity


@pytest.mark.parametrize(
    "made",
    ["NLIEquivalence('owner/name')", "EmbeddingEquivalence('owner/name')", "StructuredEquivalence()"],
)
def test_making_one_imports_no_torch(made: str) -> None:
    """Neither importing the equivalences nor naming a model pays for torch, transformers or numpy."""
    if "owner" in made:
        pytest.importorskip("torch")
        pytest.importorskip("transformers")
    code = (
        f"import sys; from confroute.equivalence import *; {made}; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


def test_without_torch_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, before any pair."""
    from confroute.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "torch", None)
    makers: list[Callable[[str], Any]] = [NLIEquivalence, EmbeddingEquivalence]
    for make in makers:
        with pytest.raises(MissingExtraError, match=r"confroute\[transformers\]"):
            make("owner/name")
