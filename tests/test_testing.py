"""The scripted models that other tests rely on."""

from __future__ import annotations

import pytest

from confroute import ConfigurationError, EdgeEngine, ModelError, SamplingOptions
from confroute.testing import ScriptedEngine, equiprobable_meanings, says

QUESTION = [{"role": "user", "content": "q"}]
GREEDY, SAMPLING = SamplingOptions(), SamplingOptions(temperature=0.7)


def test_says_counts_words_or_logprobs() -> None:
    """Tokens are counted by words, unless logprobs tell how many there were."""
    assert says("two words").output_tokens == 2
    assert says("two words").token_logprobs is None
    assert says("two words", -0.1, -0.2, -0.3).output_tokens == 3


def test_scripted_engine_is_an_engine() -> None:
    """It satisfies the protocol that users' engines must satisfy."""
    assert isinstance(ScriptedEngine({}), EdgeEngine)


def test_answer_and_samples_are_told_apart() -> None:
    """One greedy request gets the served answer, a sampling one the samples in turn, from the first again."""
    engine = ScriptedEngine({"q": ("served", ["a", "b"])})
    assert [s.text for s in engine.generate(QUESTION, n=1, options=GREEDY).samples] == ["served"]
    assert [s.text for s in engine.generate(QUESTION, n=3, options=SAMPLING).samples] == ["a", "b", "a"]
    assert [(n, options) for _, n, options in engine.requests] == [(1, GREEDY), (3, SAMPLING)]


def test_scripted_exception_is_raised() -> None:
    """An exception in the script is what the engine raises."""
    failure = ModelError("as scripted")
    with pytest.raises(ModelError) as caught:
        ScriptedEngine({"q": failure}).generate(QUESTION, n=1, options=GREEDY)
    assert caught.value is failure


def test_unscripted_question_is_an_error_without_its_text() -> None:
    """A question that is not in the script is named by its number, not quoted."""
    with pytest.raises(ConfigurationError, match="question 1") as caught:
        ScriptedEngine({}).generate([{"role": "user", "content": "secret"}], n=1, options=GREEDY)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("k", [0, 13, -1])
def test_impossible_numbers_of_meanings(k: int) -> None:
    """More meanings than there are names, or none, are refused."""
    with pytest.raises(ConfigurationError):
        equiprobable_meanings(k)


@pytest.mark.parametrize(("k", "per_meaning"), [(1, 1), (3, 2), (12, 5)])
def test_meanings_are_equally_frequent(k: int, per_meaning: int) -> None:
    """k texts, each as often as asked."""
    texts = [sample.text for sample in equiprobable_meanings(k, per_meaning=per_meaning)]
    assert len(set(texts)) == k
    assert {texts.count(text) for text in texts} == {per_meaning}
