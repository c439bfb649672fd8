"""Equivalence of answers by natural language inference: each entails the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Final, Literal, TypeAlias

from confroute.equivalence.base import Equivalence, Pair
from confroute.equivalence.encoder import Encoder, Loaded, short_name
from confroute.equivalence.memo import Memo
from confroute.errors import ConfigurationError

Verdict: TypeAlias = tuple[float, float, float]
"""The probabilities that a premise entails, is neutral to and contradicts a hypothesis; they sum to 1."""

Span: TypeAlias = tuple[int, int]

_LABELS: Final = ("entail", "neutral", "contradict")
_SAME: Final[Verdict] = (1.0, 0.0, 0.0)
_UNLIKE: Final[Verdict] = (0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class NLIEquivalence(Equivalence):
    """Two answers mean the same if each entails the other by an NLI model: the equivalence of semantic entropy.

    As in Farquhar et al. (2024), who take microsoft/deberta-v2-xlarge-mnli: both texts are read behind the question
    ("What is the capital of Japan? Tokyo"), each is premise once, and the likeliest of entailment, neutral and
    contradiction counts. A tie counts as the less alike. Which output is which label is read from the checkpoint's
    ``config.id2label``, as models differ.

    `similarity`, in [0, 1], higher is more alike, is the mean over both directions of p(entailment) + p(neutral)/2
    with ``score="graded"``, which is 1 - d² of semantic density (Qiu & Miikkulainen, 2024) and the edge weight of
    kernel language entropy (Nikitin et al., 2024), or of p(entailment) with ``score="entailment"`` (Lin et al., 2024).

    Equal texts, the white space around them aside, are the same and never judged: a model need not find that a text
    entails itself. A text of white space alone contradicts every other but such a one. Where question and answers are
    longer than the model's limit, the beginning of the question is cut, then the end of the answers, so that answers
    are judged by their beginning.

    Cost: two encodings for each unordered pair of distinct texts, at xlarge about 1 TFLOP for a pair of sentences;
    the last *remembered* pairs are not judged again. Threads wait for each other.

    Args:
        model: an MNLI-style checkpoint with three labels, "owner/name" on the Hub or a folder.
        strict: whether both directions must be entailment. If not, neither may be contradiction and not both neutral,
            so that one answer may say more than the other.
        with_question: whether the texts are read behind the question.
        batch_size: how many directed pairs the model takes at once.
        max_tokens: the most tokens of a directed pair; at most, and by default, the model's own limit.
        device: a torch device such as "cuda:1"; by default the accelerator that torch finds, or the CPU.
        temperature: what the model's logits are divided by before the softmax; above 1 makes grades less extreme (Lin
            et al. take 3) and changes no verdict.
        score: what `similarity` is made of.
        remembered: of how many pairs the result is kept.

    Raises:
        ConfigurationError: at the first pair or `load`, if the checkpoint does not name the three labels.
    """

    name = "nli"
    model: str = field(compare=False)
    _: KW_ONLY
    strict: bool = True
    with_question: bool = True
    batch_size: int = field(default=32, compare=False)
    max_tokens: int | None = None
    device: str | None = field(default=None, compare=False)
    temperature: float = 1.0
    score: Literal["graded", "entailment"] = "graded"
    remembered: int = field(default=16384, compare=False)
    # A folder's place differs from machine to machine and would make thresholds belong to one of them.
    model_name: str = field(init=False, repr=False)
    _encoder: Encoder = field(init=False, repr=False, compare=False)
    _memo: Memo[tuple[Verdict, Verdict]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ConfigurationError(f"temperature must be a finite number above 0, not {self.temperature}.")
        if self.score not in ("graded", "entailment"):
            raise ConfigurationError(f'score must be "graded" or "entailment", not "{self.score}".')
        encoder = Encoder(
            self.model,
            head="AutoModelForSequenceClassification",
            wanted_by="The NLI equivalence",
            device=self.device,
            max_tokens=self.max_tokens,
            batch_size=self.batch_size,
        )
        object.__setattr__(self, "_encoder", encoder)
        object.__setattr__(self, "_memo", Memo[tuple[Verdict, Verdict]](self.remembered))
        object.__setattr__(self, "model_name", short_name(self.model))

    def load(self) -> None:
        """Load the weights and read the labels now rather than at the first pair."""
        label_columns(self._encoder.load().model.config.id2label)

    def same(self, pairs: Sequence[Pair], *, question: str) -> list[bool]:
        judged = self.probabilities(pairs, question=question)
        return [means_same(there, back, strict=self.strict) for there, back in judged]

    def similarity(self, pairs: Sequence[Pair], *, question: str) -> list[float]:
        neutral = 0.5 if self.score == "graded" else 0.0
        judged = self.probabilities(pairs, question=question)
        # Clipped, as the three need not sum to 1 to the last bit.
        return [min(1.0, (there[0] + back[0] + neutral * (there[1] + back[1])) / 2) for there, back in judged]

    def probabilities(self, pairs: Sequence[Pair], *, question: str) -> list[tuple[Verdict, Verdict]]:
        """For each pair (a, b), (entailment, neutral, contradiction) with a as premise and with b as premise."""
        asked = question.strip() if self.with_question else ""
        stripped = [(a.strip(), b.strip()) for a, b in pairs]
        # A pair and its mirror image are one judgement.
        keys = {pair: (asked, min(pair), max(pair)) for pair in stripped if all(pair) and pair[0] != pair[1]}
        judged = dict(zip(keys, self._memo.values(list(keys.values()), self._judge), strict=True))
        return [_verdicts(a, b, judged) for a, b in stripped]

    def _judge(self, keys: Sequence[tuple[str, ...]]) -> list[tuple[Verdict, Verdict]]:
        columns = label_columns(self._encoder.load().model.config.id2label)

        def directed(loaded: Loaded) -> list[Pair]:
            asked = {question: loaded.spans(question) for question, _, _ in keys}
            texts = [_behind_question(loaded, question, asked[question], a, b) for question, a, b in keys]
            return [pair for a, b in texts for pair in ((a, b), (b, a))]

        rows = self._encoder.run(directed, lambda output, _: (output.logits.float() / self.temperature).softmax(-1))
        verdicts: list[Verdict] = [(row[columns[0]], row[columns[1]], row[columns[2]]) for row in rows]
        return list(zip(verdicts[::2], verdicts[1::2], strict=True))


def means_same(there: Verdict, back: Verdict, *, strict: bool) -> bool:
    """Whether verdicts in both directions make an equivalence: both entailment or, if not *strict*, no contradiction
    and not both neutral."""
    labels = _likeliest(there), _likeliest(back)
    return labels == (0, 0) if strict else 2 not in labels and labels != (1, 1)


def label_columns(labels: Mapping[int, str]) -> tuple[int, int, int]:
    """Which outputs of a model are entailment, neutral and contradiction, by the names in its ``id2label``.

    >>> label_columns({0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"})
    (2, 1, 0)
    """
    found = [[int(i) for i, label in labels.items() if label.casefold().startswith(name)] for name in _LABELS]
    if len(labels) != 3 or any(len(columns) != 1 for columns in found):
        named = ", ".join(map(repr, labels.values())) or "nothing"
        raise ConfigurationError(
            "The NLI model's config.id2label must name entailment, neutral and contradiction, in any order, but names "
            f"{named}. Use a checkpoint trained on MNLI; if this one was, write its "
            "labels into id2label in its config.json."
        )
    return found[0][0], found[1][0], found[2][0]


def _likeliest(verdict: Verdict) -> int:
    return max(range(3), key=lambda label: (verdict[label], label))


def _verdicts(a: str, b: str, judged: Mapping[Pair, tuple[Verdict, Verdict]]) -> tuple[Verdict, Verdict]:
    if a == b:
        return _SAME, _SAME
    if not a or not b:
        return _UNLIKE, _UNLIKE
    there, back = judged[a, b]
    # Judged with the lesser text as the first premise.
    return (there, back) if a < b else (back, there)


def _behind_question(loaded: Loaded, question: str, asked: Sequence[Span], a: str, b: str) -> Pair:
    """Both texts behind the question, or behind as much of its end as the model's limit leaves room for.

    Without this, the tokenizer would cut the answers off a long question, and the rest would be equal.
    """
    a, b = (_beginning(text, loaded.spans(text), loaded.max_tokens) for text in (a, b))
    special: int = loaded.tokenizer.num_special_tokens_to_add(pair=True)
    answers = len(loaded.spans(a)) + len(loaded.spans(b))
    # A cut or a joint can split a word into other tokens than before, some more of them.
    room = max(0, (loaded.max_tokens - special - answers) // 2 - 4)
    if len(asked) > room:
        question = question[asked[-room][0] :] if room else ""
    return f"{question} {a}".strip(), f"{question} {b}".strip()


def _beginning(text: str, spans: Sequence[Span], tokens: int) -> str:
    # Fast tokenizers take quadratic time to cut a pair of very long texts: they keep all that they cut off.
    return text[: spans[tokens - 1][1]] if len(spans) > tokens else text
