"""How the next token is drawn on torch: with the model's probabilities, and from the nucleus only."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import SamplingOptions

torch = pytest.importorskip("torch")

from confroute.edge.answers import Answer, Answers, draw  # noqa: E402 - it needs torch


def asked_for(n: int, **options: Any) -> Answers:
    """*n* samples at temperature 1."""
    return Answers(n, 9, SamplingOptions(temperature=1.0, **options), eos=frozenset(), decode=lambda _: "")


def drawn(probabilities: list[float], n: int, **options: Any) -> list[int]:
    """*n* tokens of this distribution at temperature 1."""
    logits = torch.tensor([[math.log(each) if each else -math.inf for each in probabilities]]).expand(n, -1)
    return draw([asked_for(n, seed=3, **options)], logits).tolist()


def test_tokens_are_drawn_with_their_probabilities() -> None:
    """Within five standard errors for each of them, among tokens that are never drawn."""
    probabilities = [0.0, 0.5, 0.0, 0.3, 0.15, 0.05, 0.0]
    n = 20_000
    tokens = drawn(probabilities, n)
    for token, probability in enumerate(probabilities):
        assert abs(tokens.count(token) / n - probability) <= 5 * math.sqrt(probability * (1 - probability) / n)


def test_the_nucleus_is_drawn_from_in_proportion() -> None:
    """The tokens before which top-p is not yet reached, with their probabilities among themselves."""
    tokens = drawn([0.05, 0.5, 0.1, 0.3, 0.05], 20_000, top_p=0.75)
    assert set(tokens) == {1, 3}
    assert abs(tokens.count(1) / len(tokens) - 0.625) <= 5 * math.sqrt(0.625 * 0.375 / len(tokens))


@given(
    st.lists(st.integers(0, 50), min_size=2, max_size=40).filter(any),
    st.floats(0.01, 0.99),
)
def test_no_token_outside_of_the_nucleus_is_drawn(weights: list[int], top_p: float) -> None:
    """Whatever the distribution is: nothing that more likely tokens, reaching top-p, stand before."""
    probabilities = [weight / sum(weights) for weight in weights]
    for token in set(drawn(probabilities, 50, top_p=top_p)):
        assert probabilities[token] > 0
        assert sum(each for each in probabilities if each > probabilities[token]) < top_p + 1e-5


def test_a_nucleus_of_many_tokens_is_not_cut() -> None:
    """A flat distribution needs more tokens than are sorted at first: half of 4,000 are drawn from, none left out."""
    size = 4000
    flat = [1 / size] * size
    assert len(set(drawn(flat, 20_000, top_p=0.5))) == pytest.approx(size / 2, rel=0.01)
    # One row that needs many beside one that needs few.
    peaked = torch.full((size,), -20.0)
    peaked[7] = 0.0
    both = torch.stack([peaked, torch.zeros(size)])
    seen = {tuple(draw([asked_for(2, seed=seed, top_p=0.9)], both).tolist()) for seed in range(200)}
    assert {first for first, _ in seen} == {7}
    assert len({second for _, second in seen}) > 150


@pytest.mark.parametrize("size", [1, 255, 256, 257, 300])
@pytest.mark.parametrize("top_p", [0.9, 1.0])
def test_no_token_beyond_the_vocabulary_is_drawn(size: int, top_p: float) -> None:
    """However large it is; nor of a model that gives no numbers, since an index beyond it ends all work on CUDA."""
    broken, one = torch.full((1, size), math.nan), torch.full((1, size), -math.inf)
    one[0, -1] = 0.0
    assert max(drawn([1 / size] * size, 300, top_p=top_p)) < size
    assert draw([asked_for(1, top_p=top_p)], one).tolist() == [size - 1]
    assert 0 <= draw([asked_for(1, top_p=top_p)], broken).item() < size


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.5, 1.0, 1.7]),
            st.sampled_from([0.3, 0.9, 1.0]),
            st.integers(1, 4),
            st.booleans(),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_drawn_beside_others_tokens_are_those_drawn_alone(asked: list[tuple[float, float, int, bool]]) -> None:
    """Whatever others are asked for in the same pass: the seed decides, and the request's own options."""

    def requests() -> list[tuple[Answers, Any]]:
        made: list[tuple[Answers, Any]] = []
        for seed, (temperature, top_p, n, flat) in enumerate(asked):
            options = SamplingOptions(temperature=temperature, top_p=top_p, seed=seed)
            random = torch.Generator().manual_seed(seed)
            logits = torch.randn(n, 60, generator=random) * (0.1 if flat else 3)
            made.append((Answers(n, 9, options, eos=frozenset(), decode=lambda _: ""), logits))
        return made

    together, alone = requests(), requests()
    for _ in range(3):
        drawn = draw([answers for answers, _ in together], torch.cat([logits for _, logits in together]))
        assert drawn.tolist() == [token for answers, logits in alone for token in draw([answers], logits).tolist()]


def test_tokens_drawn_again_before_they_were_taken_are_the_same() -> None:
    """Where drawing fails for others, and is done again, a seed gives what it always gives."""
    logits = torch.zeros(2, 1000)
    once, twice = asked_for(2, seed=5), asked_for(2, seed=5)
    draw([twice], logits)
    for _ in range(3):
        tokens = draw([once], logits).tolist()
        assert draw([twice], logits).tolist() == tokens
        for each in (once, twice):
            each.take(tokens, [0.0, 0.0], [[], []], None)


@pytest.mark.parametrize("seed", [-(2**63) - 1, -1, 2**64 - 1, 2**64, 10**30])
def test_any_integer_is_a_seed(seed: int) -> None:
    """The router counts on from the caller's seed, which may be the largest."""
    logits = torch.zeros(3, 1000)
    assert draw([asked_for(3, seed=seed)], logits).tolist() == draw([asked_for(3, seed=seed)], logits).tolist()


@pytest.mark.parametrize("temperature", [5e-324, 1e-39, 1e-7])
@pytest.mark.parametrize("top_p", [0.0, 0.9, 1.0])
def test_next_to_no_temperature_draws_the_likeliest(temperature: float, top_p: float) -> None:
    """Divided by it, logits are no numbers any more."""
    asked = Answers(50, 9, SamplingOptions(temperature=temperature, top_p=top_p), eos=frozenset(), decode=lambda _: "")
    logits = torch.linspace(-20, 20, 300)[torch.randperm(300, generator=torch.Generator().manual_seed(1))]
    assert draw([asked], logits.repeat(50, 1)).tolist() == [int(logits.argmax())] * 50


@pytest.mark.parametrize("temperature", [1e7, 1e39, 1e300])
def test_at_any_temperature_what_is_excluded_stays_so(temperature: float) -> None:
    """As a schema excludes tokens; the others are as likely."""
    asked = Answers(400, 9, SamplingOptions(temperature=temperature, seed=1), eos=frozenset(), decode=lambda _: "")
    logits = torch.full((400, 300), -torch.inf)
    logits[:, 7], logits[:, 250] = -3.0, 9.0
    drawn = draw([asked], logits).tolist()
    assert set(drawn) == {7, 250}
    assert 150 < drawn.count(7) < 250


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.integers(0, 3))
def test_the_texts_of_the_tokens_are_the_text_of_the_answer(text: str, missing: int) -> None:
    """Also where a character is several tokens, here bytes, and where the last one is not complete."""
    tokens = list(text.encode())
    tokens = tokens[: max(1, len(tokens) - missing)]
    answer = Answer()
    answer.tokens, answer.logprobs = tokens, [-1.0] * len(tokens)
    sample = answer.sample(lambda some: bytes(some).decode(errors="replace"), ())
    assert sample.tokens is not None
    assert len(sample.tokens) == sample.output_tokens == len(tokens)
    assert "".join(sample.tokens).strip() == sample.text


def test_a_stop_string_behind_a_character_of_several_tokens_takes_none_of_them() -> None:
    """Its first ones decode to one sign, too, which is as long."""
    answer = Answer()
    answer.tokens = list("é\U0001f5fc\nNext".encode())
    answer.logprobs = [-1.0] * len(answer.tokens)
    sample = answer.sample(lambda some: bytes(some).decode(errors="replace"), ("\n",))
    assert (sample.text, sample.output_tokens) == ("é\U0001f5fc", 6)
    assert "".join(sample.tokens or ()) == sample.text


@pytest.mark.parametrize("stop", [(), (" of",)])
def test_the_texts_of_words_keep_their_spaces(stop: tuple[str, ...]) -> None:
    """Those of Llama 2, too, whose decoder takes the first one of a text away, as it does of a word alone."""
    pytest.importorskip("transformers")
    from confroute.edge.chat_format import ChatFormat
    from tests.edge.tiny_models import WORDS, of_pieces

    tokenizer = of_pieces()
    answer = Answer()
    paris = ["<0xF0>", "<0x9F>", "<0x97>", "<0xBC>"]
    answer.tokens = tokenizer.convert_tokens_to_ids([*(f"\u2581{word}" for word in WORDS), *paris])
    answer.logprobs = [-1.0] * len(answer.tokens)
    answer.alternatives = [[(token, -1.0)] for token in answer.tokens]
    sample = answer.sample(ChatFormat(tokenizer, "m").continued, stop)
    words = tuple(f" {word}" for word in WORDS)
    assert sample.text == ("The capital" if stop else "The capital of France is Paris\U0001f5fc")
    assert sample.tokens == (words[:2] if stop else (*words, "", "", "", "\U0001f5fc"))
    assert sample.alternatives is not None
    assert tuple(place[0][0] for place in sample.alternatives[:6]) == (words[:2] if stop else words)


def test_a_character_cut_off_breaks_no_other() -> None:
    """Where all bytes of a run count as broken because one is."""
    pytest.importorskip("transformers")
    from confroute.edge.chat_format import ChatFormat
    from tests.edge.tiny_models import of_pieces

    tokenizer = of_pieces()
    answer = Answer()
    answer.tokens = tokenizer.convert_tokens_to_ids([f"<0x{byte:02X}>" for byte in "\U0001f5fc\U0001f5fc".encode()[:5]])
    answer.logprobs = [-1.0] * len(answer.tokens)
    sample = answer.sample(ChatFormat(tokenizer, "m").continued, ())
    assert sample.tokens == ("", "", "", "\U0001f5fc", "\ufffd")
    assert sample.text == "\U0001f5fc\ufffd"
