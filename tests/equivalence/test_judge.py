"""Equivalence by the verdict of a language model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import pytest

from confroute.equivalence import JudgeEquivalence, cluster
from confroute.equivalence.judge import says_yes
from confroute.errors import ConfigurationError, ModelError
from confroute.records import Generation, Message, SamplingOptions
from confroute.testing import says


class Judge:
    """An engine that replies to each prompt by a rule; remembers the prompts and their options."""

    model = "scripted-judge"

    def __init__(self, rule: Callable[[str], str | Exception], *, replies: int = 1) -> None:
        self.rule = rule
        self.replies = replies
        self.asked: list[tuple[str, int, SamplingOptions]] = []

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        [message] = messages
        self.asked.append((message["content"], n, options))
        reply = self.rule(message["content"])
        if isinstance(reply, Exception):
            raise reply
        return Generation(samples=(says(reply),) * self.replies, input_tokens=9)


def tokyo(prompt: str) -> str:
    return "Yes." if prompt.count("Tokyo") == 2 else "No."


@pytest.mark.parametrize("reply", ["yes", "Yes.", "YES", " **Yes**, both say so", "\n'yes'", "- yes"])
def test_yes(reply: str) -> None:
    """Case, punctuation and what follows do not matter."""
    assert says_yes(reply)


@pytest.mark.parametrize(
    "reply", ["no", "No, yes", "", "...", "yesterday", "They mean the same: yes", "<think>yes", "1", "Yess", "はい"]
)
def test_anything_else_is_not_yes(reply: str) -> None:
    """A reply that does not begin with the word joins nothing."""
    assert not says_yes(reply)


def test_each_unordered_pair_is_asked_once() -> None:
    """A pair, its mirror image and its paddings are one greedy question of few tokens, now and later; equal and blank
    texts are none."""
    engine = Judge(tokyo)
    judge = JudgeEquivalence(engine)
    pairs = [("Tokyo", "It is Tokyo"), ("It is Tokyo", "Tokyo "), ("Kyoto", "Kyoto"), ("", " "), ("", "Tokyo")]
    assert judge.same(pairs, question="Capital?") == [True, True, True, True, False]
    assert judge.similarity(pairs, question="Capital?") == [1.0, 1.0, 1.0, 1.0, 0.0]
    [(prompt, n, options)] = engine.asked
    assert (n, options.temperature, options.max_tokens) == (1, 0.0, 4)
    assert prompt.index("Capital?") < prompt.index("It is Tokyo") < prompt.rindex("Tokyo")
    judge.same([("Tokyo", "It is Tokyo")], question="Largest city?")
    assert len(engine.asked) == 2


def test_order_cannot_sway_it() -> None:
    """An engine that always prefers the first answer gives one verdict for a pair and its mirror image."""

    def first_is_tokyo(prompt: str) -> str:
        return "yes" if "Answer 1: Tokyo" in prompt else "no"

    judge = JudgeEquivalence(Judge(first_is_tokyo), remembered=0)
    forwards, backwards = (judge.same([pair], question="") for pair in (("Tokyo", "Ueno"), ("Ueno", "Tokyo")))
    assert forwards == backwards == [True]


def test_memory_is_bounded() -> None:
    """Of more pairs than are remembered the oldest is asked again, the newest not."""
    engine = Judge(tokyo)
    judge = JudgeEquivalence(engine, remembered=2)
    for pair in [("a", "b"), ("a", "c"), ("a", "d"), ("a", "d"), ("a", "b")]:
        judge.same([pair], question="")
    assert len(engine.asked) == 4


def test_answers_with_braces_are_not_templates() -> None:
    """An answer of JSON, or one that names a field of the prompt, stands in the prompt as it is."""
    engine = Judge(tokyo)
    JudgeEquivalence(engine).same([('{"a": 1}', "{question}")], question="{first}?")
    [(prompt, _, _)] = engine.asked
    assert '{"a": 1}' in prompt
    assert "{question}" in prompt
    assert "{first}?" in prompt


@pytest.mark.parametrize(
    "prompt", ["", "{first}", "{first} {first}", "{first} {second} {third}", "{first} {second} {", "{} {}"]
)
def test_a_prompt_without_the_answers_is_refused(prompt: str) -> None:
    """At once: the engine would judge what it was not shown."""
    with pytest.raises(ConfigurationError, match=r"\{first\} and \{second\}"):
        JudgeEquivalence(Judge(tokyo), prompt=prompt)


def test_a_prompt_of_ones_own() -> None:
    """Doubled braces are braces; the question may be left out."""
    engine = Judge(tokyo)
    JudgeEquivalence(engine, prompt="{{{first}}} = {second}?").same([("a", "b")], question="q")
    assert engine.asked[0][0] == "{a} = b?"


def test_failures_are_told() -> None:
    """An engine's error is the caller's, and a missing reply is an error, not a no; neither is remembered."""
    failing = JudgeEquivalence(Judge(lambda _: ModelError("broken")))
    for _ in range(2):
        with pytest.raises(ModelError, match="broken"):
            failing.same([("a", "b")], question="")
    with pytest.raises(ModelError, match="0 replies"):
        JudgeEquivalence(Judge(tokyo, replies=0)).same([("a", "b")], question="")
    with pytest.raises(ConfigurationError):
        JudgeEquivalence(Judge(tokyo), max_tokens=0)


def test_identity_and_copies() -> None:
    """The identity names the model that judges and not where it runs; a repr shows no prompt; a copy judges alike."""
    judge = JudgeEquivalence(Judge(tokyo))
    assert judge.identity == "judge@1(model_name=scripted-judge)"
    assert "question" not in repr(judge)
    assert copy.deepcopy(judge).same([("Tokyo", "In Tokyo")], question="") == [True]


def test_clusters() -> None:
    """Greedy clustering asks it about seeds only."""
    engine = Judge(tokyo)
    ids = cluster(["Tokyo", "Kyoto", "In Tokyo", "Tokyo"], JudgeEquivalence(engine), question="")
    assert ids == [0, 1, 0, 0]
