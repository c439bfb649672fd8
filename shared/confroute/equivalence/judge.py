"""Equivalence of answers by asking an edge model whether they mean the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Final

from confroute.edge.base import EdgeEngine
from confroute.equivalence.base import Equivalence, Pair
from confroute.equivalence.memo import Memo
from confroute.errors import ConfigurationError, ModelError
from confroute.records import SamplingOptions

PROMPT: Final = """Two answers were given to one question.

Question: {question}

Answer 1: {first}

Answer 2: {second}

Do both answers mean the same, as answers to the question? Wording, length and extra detail do not matter; another \
fact, name or number does. Reply with one word, yes or no."""

_WORD: Final = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class JudgeEquivalence(Equivalence):
    """Two answers mean the same if a language model says so.

    The model is asked once for each unordered pair of distinct texts, the texts in alphabetical order, so that its
    taste for the first or the second cannot make the verdict depend on which came first. It is asked greedily; the
    first word of the reply must be "yes", in any case and behind any punctuation, and anything else means that the
    answers differ. Farquhar et al. (2024) ask GPT models so, for entailment each way; this is one question for both.

    Equal texts, the white space around them aside, are the same without asking; a text of white space alone is the
    same as no other. `similarity` is 1 or 0. An answer that says what to reply may sway the model; models that think
    aloud before they answer are of no use here.

    Cost: one call of the engine for each pair, one after the other, with a prompt of question and both answers; up to
    n(n - 1)/2 for n samples that all differ. The last *remembered* pairs are not asked again.

    Args:
        engine: what answers; it may be the router's own edge.
        prompt: what it is asked, with {question}, {first} and {second}; the last two are needed.
        max_tokens: the most tokens of its reply.
        remembered: of how many pairs the verdict is kept.

    Raises:
        ModelError: the engine failed.
    """

    name = "judge"
    engine: EdgeEngine = field(repr=False, compare=False)
    _: KW_ONLY
    prompt: str = field(default=PROMPT, repr=False)
    max_tokens: int = field(default=4, compare=False)
    remembered: int = field(default=16384, compare=False)
    model_name: str = field(init=False)
    _memo: Memo[bool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            shown = self.prompt.format(question="", first="\x01", second="\x02")
        except (LookupError, ValueError, AttributeError):
            shown = ""
        if "\x01" not in shown or "\x02" not in shown:
            raise ConfigurationError(
                "The judge's prompt must hold {first} and {second}, may hold {question}, and nothing else in braces; "
                "write braces that are meant as such twice."
            )
        if self.max_tokens < 1:
            raise ConfigurationError(f"max_tokens must be at least 1, not {self.max_tokens}.")
        object.__setattr__(self, "model_name", self.engine.model)
        object.__setattr__(self, "_memo", Memo[bool](self.remembered))

    def same(self, pairs: Sequence[Pair], *, question: str) -> list[bool]:
        stripped = [(a.strip(), b.strip()) for a, b in pairs]
        keys = {pair: (question, min(pair), max(pair)) for pair in stripped if all(pair) and pair[0] != pair[1]}
        said = dict(zip(keys, self._memo.values(list(keys.values()), self._ask), strict=True))
        return [a == b or said.get((a, b), False) for a, b in stripped]

    def _ask(self, keys: Sequence[tuple[str, ...]]) -> list[bool]:
        return [says_yes(self._reply(*key)) for key in keys]

    def _reply(self, question: str, first: str, second: str) -> str:
        content = self.prompt.format(question=question, first=first, second=second)
        options = SamplingOptions(temperature=0.0, max_tokens=self.max_tokens)
        generation = self.engine.generate([{"role": "user", "content": content}], n=1, options=options)
        if len(generation.samples) != 1:
            raise ModelError(f'"{self.engine.model}" returned {len(generation.samples)} replies instead of 1.')
        return generation.samples[0].text


def says_yes(reply: str) -> bool:
    """Whether the first word of *reply* is "yes".

    >>> says_yes("**Yes**, they do."), says_yes("Not quite; yes and no.")
    (True, False)
    """
    word = _WORD.search(reply)
    return word is not None and word[0].casefold() == "yes"
