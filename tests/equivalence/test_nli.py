"""Equivalence by natural language inference."""

from __future__ import annotations

import copy
import json
import math
import pickle
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations, product
from pathlib import Path
from typing import Any

import pytest

from confroute.equivalence import NLIEquivalence, cluster
from confroute.equivalence.nli import Verdict, label_columns, means_same
from confroute.errors import ConfigurationError, ModelError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

Folder = Callable[..., str]

QUESTION = "where is it ?"
PLACES = "paris lutetia rome somewhere".split()
PAIRS = [(a, b) for a in PLACES for b in PLACES]
LABELS = ("entailment", "neutral", "contradiction")
MAX_TOKENS = 48


def counted(equivalence: NLIEquivalence) -> list[int]:
    """The number of texts in each batch that the model gets from now on."""
    sizes: list[int] = []

    def count(module: Any, args: Any, kwargs: Any) -> None:
        sizes.append(len(kwargs["input_ids"]))
        assert kwargs["input_ids"].shape[1] <= MAX_TOKENS

    equivalence._encoder.load().model.register_forward_pre_hook(count, with_kwargs=True)
    return sizes


def close(ours: Sequence[tuple[Verdict, Verdict]], theirs: Sequence[tuple[Verdict, Verdict]]) -> bool:
    numbers = [[p for pair in judged for verdict in pair for p in verdict] for judged in (ours, theirs)]
    return all(math.isclose(x, y, abs_tol=1e-5) for x, y in zip(*numbers, strict=True))


E, N, C = (0.8, 0.15, 0.05), (0.2, 0.6, 0.2), (0.1, 0.3, 0.6)

TRUTH = [
    (E, E, True, True), (E, N, False, True), (E, C, False, False), (N, E, False, True), (N, N, False, False),
    (N, C, False, False), (C, E, False, False), (C, N, False, False), (C, C, False, False),
]  # fmt: skip


@pytest.mark.parametrize(("there", "back", "strict", "loose"), TRUTH)
def test_decision(there: Verdict, back: Verdict, strict: bool, loose: bool) -> None:
    """Strict takes entailment both ways; otherwise no contradiction and not both neutral, as in Farquhar's code."""
    assert means_same(there, back, strict=True) == strict
    assert means_same(there, back, strict=False) == loose


def test_ties_count_as_less_alike() -> None:
    """A model that cannot decide does not make two answers the same."""
    undecided = (0.4, 0.4, 0.2)
    assert not means_same(undecided, undecided, strict=True)
    assert not means_same(E, (0.4, 0.2, 0.4), strict=False)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_columns_follow_the_names(order: tuple[int, ...]) -> None:
    """Every order of the labels, in any case and with longer names, is found again."""
    labels = {column: LABELS[label].upper() for label, column in enumerate(order)}
    assert label_columns(labels) == order
    assert label_columns({i: f"{label.title()} (x)" for i, label in labels.items()}) == order


@pytest.mark.parametrize(
    "labels",
    [
        {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"},
        {0: "entailment", 1: "not_entailment"},
        {0: "entailment", 1: "neutral"},
        {0: "entailment", 1: "entailment", 2: "neutral"},
        {0: "entailment", 1: "neutral", 2: "contradiction", 3: "other"},
        {},
    ],
)
def test_unnamed_labels_are_refused(labels: dict[int, str]) -> None:
    """A guess at the label order could turn every verdict round, so there is none."""
    with pytest.raises(ConfigurationError, match="id2label"):
        label_columns(labels)


def test_generic_checkpoint_is_refused_with_its_labels(generic_folder: str) -> None:
    """The error shows the labels that were found, at load and at the first pair alike."""
    with pytest.raises(ConfigurationError, match="LABEL_0"):
        NLIEquivalence(generic_folder).load()
    with pytest.raises(ConfigurationError, match="LABEL_0"):
        NLIEquivalence(generic_folder).same([("a", "b")], question="")


@pytest.mark.parametrize("with_question", [True, False])
def test_known_verdicts(nli_folder: Folder, with_question: bool) -> None:
    """Of places that the model knows: two names of one city agree, a city entails "somewhere" but not the reverse."""
    strict = NLIEquivalence(nli_folder(), with_question=with_question, device="cpu")
    loose = NLIEquivalence(nli_folder(), with_question=with_question, strict=False, device="cpu")
    one = {frozenset(["paris", "lutetia"])}
    for pair, same, similar in zip(
        PAIRS, strict.same(PAIRS, question=QUESTION), loose.same(PAIRS, question=QUESTION), strict=True
    ):
        alike = len(set(pair)) == 1 or frozenset(pair) in one
        assert same == alike
        assert similar == (alike or "somewhere" in pair)
    [(there, back)] = strict.probabilities([("rome", "somewhere")], question=QUESTION)
    assert there[0] > 0.8
    assert back[1] > 0.8
    assert strict.probabilities([("somewhere", "rome")], question=QUESTION) == [(back, there)]


@pytest.mark.parametrize("labels", [LABELS, LABELS[::-1], ("NEUTRAL", "CONTRADICTION", "ENTAILMENT")])
def test_label_order_does_not_matter(nli_folder: Folder, labels: Sequence[str]) -> None:
    """The same model with its outputs in another order gives the same probabilities; hard-coded columns would not."""
    ours = NLIEquivalence(nli_folder(labels), device="cpu")
    reference = NLIEquivalence(nli_folder(), device="cpu")
    expected = reference.probabilities(PAIRS, question=QUESTION)
    assert close(ours.probabilities(PAIRS, question=QUESTION), expected)
    assert ours.same(PAIRS, question=QUESTION) == reference.same(PAIRS, question=QUESTION)


def test_probabilities_are_those_of_a_plain_forward_pass(nli_folder: Folder) -> None:
    """The texts are a pair for the tokenizer, with two segments, each behind the question."""
    import transformers

    folder = nli_folder()
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer(f"{QUESTION} rome", f"{QUESTION} somewhere", return_tensors="pt")
    assert encoded["token_type_ids"].tolist()[0] == [0] * 7 + [1] * 6
    with torch.inference_mode():
        expected = model(**encoded).logits.softmax(-1)[0].tolist()
    [(there, _)] = NLIEquivalence(folder, device="cpu").probabilities([("rome", "somewhere")], question=QUESTION)
    assert there == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_batch_size_does_not_matter(nli_folder: Folder, batch_size: int) -> None:
    """Padding beside longer texts changes no probability."""
    pairs = [*PAIRS, ("paris is it ?", "rome"), ("the a b c 1 2 " * 4, "somewhere is not the rome")]
    alone = NLIEquivalence(nli_folder(), device="cpu")
    expected = [alone.probabilities([pair], question=QUESTION)[0] for pair in pairs]
    batched = NLIEquivalence(nli_folder(), batch_size=batch_size, device="cpu")
    sizes = counted(batched)
    assert close(batched.probabilities(pairs, question=QUESTION), expected)
    assert max(sizes) <= batch_size


def test_each_pair_is_judged_once(nli_folder: Folder) -> None:
    """A pair, its mirror image, its repetition and its paddings are two encodings, now and later; equal texts none."""
    equivalence = NLIEquivalence(nli_folder(), device="cpu")
    sizes = counted(equivalence)
    pairs = [("paris", "rome"), ("rome", "paris"), ("paris", " rome\n"), ("paris", "paris"), ("rome", "rome ")]
    equivalence.same(pairs, question=QUESTION)
    assert sizes == [2]
    equivalence.similarity(pairs, question=f" {QUESTION}")
    assert sizes == [2]
    equivalence.same(pairs, question="")
    assert sizes == [2, 2]


def test_question_is_forgotten_where_it_takes_no_part(nli_folder: Folder) -> None:
    """Without the question, another question asks nothing new; with it, its words reach the model."""
    equivalence = NLIEquivalence(nli_folder(), with_question=False, device="cpu")
    sizes = counted(equivalence)
    first = equivalence.probabilities([("paris", "rome")], question=QUESTION)
    assert equivalence.probabilities([("paris", "rome")], question="not ?") == first
    assert sizes == [2]
    conditioned = NLIEquivalence(nli_folder(), device="cpu")
    assert conditioned.probabilities([("paris", "rome")], question="not ?") != first


def test_memory_is_bounded(nli_folder: Folder) -> None:
    """Of more pairs than are remembered, the oldest is judged again and the newest is not."""
    equivalence = NLIEquivalence(nli_folder(), remembered=2, device="cpu")
    sizes = counted(equivalence)
    pairs = [("paris", "rome"), ("paris", "lutetia"), ("paris", "somewhere")]
    for pair in [*pairs, pairs[2], pairs[0]]:
        equivalence.same([pair], question="")
    assert sizes == [2, 2, 2, 2]
    assert len(equivalence._memo) == 2


def test_long_answers_are_cut_by_tokens(nli_folder: Folder) -> None:
    """Ten thousand words fit: both are judged by their beginning, and the limit is the model's in tokens."""
    equivalence = NLIEquivalence(nli_folder(), device="cpu")
    counted(equivalence)
    long = "paris " * 10_000
    assert len(equivalence.same([(long, "rome " * 10_000), (long, "rome")], question=QUESTION)) == 2


@pytest.mark.parametrize("words", [10, 40, 10_000])
def test_a_long_question_does_not_hide_the_answers(nli_folder: Folder, words: int) -> None:
    """Cut at its end, "question answer" would lose the answers and every two would be the same: the question is cut
    at its beginning instead."""
    question = "the " * words + QUESTION
    equivalence = NLIEquivalence(nli_folder(), device="cpu")
    seen: list[list[int]] = []

    def see(module: Any, args: Any, kwargs: Any) -> None:
        seen.extend(kwargs["input_ids"].tolist())

    loaded = equivalence._encoder.load()
    loaded.model.register_forward_pre_hook(see, with_kwargs=True)
    equivalence.same([("paris", "rome")], question=question)
    paris, rome, mark = loaded.tokenizer.convert_tokens_to_ids(["paris", "rome", "?"])
    assert len(seen) == 2
    for ids in seen:
        assert {paris, rome} <= set(ids)
        assert ids.count(mark) == 2
        assert len(ids) <= MAX_TOKENS


def test_max_tokens_bounds_the_input(nli_folder: Folder) -> None:
    """A limit below the model's holds; one above does not lift the model's own."""
    for limit in (20, 10_000):
        equivalence = NLIEquivalence(nli_folder(), max_tokens=limit, device="cpu")
        assert equivalence._encoder.load().max_tokens == min(limit, MAX_TOKENS)
        equivalence.same([("paris " * 100, "rome " * 100)], question=QUESTION)


def test_temperature_flattens_grades_and_keeps_verdicts(nli_folder: Folder) -> None:
    """At temperature 3 each probability is the normalised cube root of what it was."""
    plain, warm = (NLIEquivalence(nli_folder(), temperature=t, device="cpu") for t in (1.0, 3.0))
    pairs = [("paris", "rome"), ("rome", "somewhere")]
    for before, after in zip(
        plain.probabilities(pairs, question=""), warm.probabilities(pairs, question=""), strict=True
    ):
        roots = [p ** (1 / 3) for p in before[0]]
        assert after[0] == pytest.approx([root / sum(roots) for root in roots], abs=1e-4)
    assert plain.same(PAIRS, question="") == warm.same(PAIRS, question="")


def test_similarity_is_its_equation(nli_folder: Folder) -> None:
    """Entailment plus half of neutral, or entailment alone, averaged over both directions."""
    graded = NLIEquivalence(nli_folder(), device="cpu")
    entailed = NLIEquivalence(nli_folder(), score="entailment", device="cpu")
    judged = graded.probabilities(PAIRS, question="")
    assert graded.similarity(PAIRS, question="") == pytest.approx(
        [(a[0] + a[1] / 2 + b[0] + b[1] / 2) / 2 for a, b in judged], abs=1e-6
    )
    assert entailed.similarity(PAIRS, question="") == pytest.approx([(a[0] + b[0]) / 2 for a, b in judged], abs=1e-6)


def test_blank_texts(nli_folder: Folder) -> None:
    """A blank answer is a blank answer and the contradiction of any other, though "question" and "question answer"
    would look alike to the model; it costs no encoding."""
    equivalence = NLIEquivalence(nli_folder(), strict=False, device="cpu")
    sizes = counted(equivalence)
    pairs = [("", " \n"), ("", "paris"), ("paris", "\t")]
    assert equivalence.same(pairs, question=QUESTION) == [True, False, False]
    assert equivalence.similarity(pairs, question=QUESTION) == [1.0, 0.0, 0.0]
    assert sizes == []


def test_clusters_meanings(nli_folder: Folder) -> None:
    """Answers group by city through `cluster`."""
    ids = cluster(["paris", "rome", "lutetia", "rome"], NLIEquivalence(nli_folder(), device="cpu"), question=QUESTION)
    assert ids == [0, 1, 0, 1]


def test_threads_agree(nli_folder: Folder) -> None:
    """Eight threads that start at once load one model and get what one gets."""
    equivalence = NLIEquivalence(nli_folder(), device="cpu", remembered=0)
    expected = NLIEquivalence(nli_folder(), device="cpu").same(PAIRS, question="")
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: equivalence.same(PAIRS, question=""), range(16)))
    assert results == [expected] * 16


def test_copies_load_their_own_weights(nli_folder: Folder) -> None:
    """A copy and a pickle judge as the original does; the pickle holds neither weights nor texts."""
    equivalence = NLIEquivalence(nli_folder(), strict=False, device="cpu")
    expected = equivalence.same(PAIRS, question=QUESTION)
    pickled = pickle.dumps(equivalence)
    assert len(pickled) < 2000
    assert b"lutetia" not in pickled
    for other in (pickle.loads(pickled), copy.deepcopy(equivalence)):  # noqa: S301
        assert other == equivalence
        assert other.same(PAIRS, question=QUESTION) == expected


def test_identity_names_the_model_and_what_changes_a_result(nli_folder: Folder) -> None:
    """The folder's name without its path, and no setting that only changes the cost."""
    equivalence = NLIEquivalence(nli_folder(), batch_size=4, device="cpu", remembered=9)
    assert equivalence.identity == "nli@1(model_name=tiny-nli)"
    assert NLIEquivalence("o/n", strict=False, temperature=3.0).identity == (
        "nli@1(strict=False,temperature=3.0,model_name=o/n)"
    )


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0},
        {"temperature": math.nan},
        {"temperature": -1.0},
        {"score": "both"},
        {"batch_size": 0},
        {"max_tokens": 3},
        {"remembered": -1},
    ],
)
def test_impossible_settings_are_refused(options: dict[str, Any]) -> None:
    """Before anything is loaded."""
    with pytest.raises(ConfigurationError):
        NLIEquivalence("owner/name", **options)


def test_a_missing_checkpoint_is_a_model_error(tmp_path: Path) -> None:
    """At the first pair, with the name and what to check."""
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(ModelError, match=r'"empty".*complete'):
        NLIEquivalence(str(folder)).same([("a", "b")], question="")


def test_a_checkpoint_without_a_head_is_a_model_error(random_encoder: str, tmp_path: Path) -> None:
    """Labels in the configuration do not make a classifier of an encoder: transformers would add a random one."""
    folder = tmp_path / "headless"
    shutil.copytree(random_encoder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"id2label": dict(enumerate(LABELS))}))
    with pytest.raises(ModelError, match="head"):
        NLIEquivalence(str(folder), device="cpu").load()


def test_a_failure_shows_no_text(nli_folder: Folder) -> None:
    """The model's error may quote its input; ours does not. What is not finite is an error, too, and not a verdict."""
    equivalence = NLIEquivalence(nli_folder(), device="cpu")
    model = equivalence._encoder.load().model

    def fail(module: Any, args: Any, kwargs: Any) -> None:
        raise RuntimeError("paris")

    hook = model.register_forward_pre_hook(fail, with_kwargs=True)
    with pytest.raises(ModelError, match="RuntimeError") as caught:
        equivalence.same([("paris", "rome")], question="")
    assert "paris" not in str(caught.value)
    hook.remove()
    with torch.no_grad():
        model.classifier.bias.fill_(math.nan)
    with pytest.raises(ModelError, match="not finite"):
        equivalence.same([("paris", "rome")], question="")


@pytest.mark.parametrize("pair", list(product(["paris", "rome", ""], repeat=2)))
def test_same_and_full_similarity_of_equal_texts(nli_folder: Folder, pair: tuple[str, str]) -> None:
    """Equal texts have similarity 1, others less."""
    equivalence = NLIEquivalence(nli_folder(), device="cpu")
    [similarity] = equivalence.similarity([pair], question="")
    assert (similarity == 1.0) == (pair[0] == pair[1])
