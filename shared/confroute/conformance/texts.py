"""The laws of what is said: how many samples, how different, how long, and of what prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from confroute.conformance.holding import hold
from confroute.conformance.subject import STORY, Subject, user
from confroute.edge import EdgeEngine
from confroute.records import Message, Sample

_TEXTS: Final = ("東京とは？ 🙂", "Что такое Москва?", "a\x00b", '"{}<|im_end|>', "e\u0301", " ")
_MANY: Final = 17
"""Samples: more than engines draw at a time, 8 or 16."""


def is_named(subject: Subject) -> None:
    engine: Any = subject.engine
    hold(isinstance(engine, EdgeEngine), "It lacks `model` or `generate`.")
    hold(isinstance(engine.model, str), f"Its model is a {type(engine.model).__name__}, no name.")
    hold(engine.model, "Its model is named ''.")


def are_counted(subject: Subject) -> None:
    one = subject.ask(STORY, temperature=1.0, max_tokens=2)
    for n in (1, 3, _MANY):
        many = subject.ask(STORY, n=n, temperature=1.0, max_tokens=2)
        hold(len(many.samples) == n, f"Asked for {n} samples it gave {len(many.samples)}.")
        hold(
            many.input_tokens == one.input_tokens,
            f"The prompt is counted as {many.input_tokens} tokens for {n} samples, {one.input_tokens} for one.",
        )
    hold(one.input_tokens > 0, "The prompt is counted as 0 tokens.")


def are_drawn(subject: Subject) -> None:
    first, again, seeded = (
        [sample.text for sample in subject.tell(16, n=_MANY, temperature=1.2, **seed)] for seed in ({}, {}, {"seed": 5})
    )
    for texts, asked in ((first, "at temperature 1.2"), (seeded, "with a seed")):
        different = len(set(texts))
        hold(different > 1, f"{_MANY} samples {asked} are all the same.")
        hold(different > 3, f"Of {_MANY} samples {asked} only {different} are different.")
        for period in range(1, _MANY // 2 + 1):
            hold(texts[period:] != texts[:-period], f"Of {_MANY} samples {asked} the first {period} come again.")
    hold(first != again, f"Asked again without a seed, it gives the same {_MANY} samples.")


def is_likeliest(subject: Subject) -> None:
    for question, word in subject.facts.items():
        otherwise = f"At temperature 0 its answer to a question it knows lacks {word!r}."
        subject.hold_right(question, subject.answers[question], otherwise)
    told = [subject.tell(12, alternatives=5)[0] for _ in range(3)]
    # Rounding may decide between two words that are as likely, once.
    hold(len({sample.text for sample in told}) < 3, "Asked three times at temperature 0, it gives three answers.")
    likeliest = _likeliest(told[0])
    # Penalties for what was said before, which some servers have by default, may move a word.
    hold(sum(likeliest) >= 0.8 * len(likeliest), "Words at temperature 0 are not the likeliest of their alternatives.")


def _likeliest(sample: Sample) -> Sequence[bool]:
    """Whether each token is the likeliest at its place; nothing where that is not known."""
    places = [place for place in sample.alternatives or () if place]
    logprobs = sample.token_logprobs or ()
    return [logprob > place[0][1] - 0.01 for logprob, place in zip(logprobs, places, strict=False)]


def is_cut(subject: Subject) -> str | None:
    (whole,) = subject.tell(24)
    if whole.finish_reason == "stop" and whole.output_tokens <= 2:
        return "It says too little to be cut short."
    cut = subject.answer(STORY, max_tokens=2)
    hold(0 < cut.output_tokens <= 2, f"{cut.output_tokens} tokens where 2 were allowed.")
    hold(len(cut.text) < len(whole.text) or not whole.text, "With 2 tokens it says as much as with 24.")
    hold(cut.finish_reason == "length", f"Cut short, it says finish_reason={cut.finish_reason!r}.")
    return None


def is_stopped(subject: Subject) -> str | None:
    (whole,) = subject.tell(24)
    words = whole.text.split()
    # Not all languages put spaces between words.
    stop = words[:4][-1] if len(words) > 1 else whole.text[len(whole.text) // 2 :][:2].strip()
    before = whole.text[: whole.text.find(stop)].strip()
    if not stop or not before:
        return "It said too little in 24 tokens to be stopped in the middle."
    (cut,) = subject.tell(24, stop=(stop,))
    hold(stop not in cut.text, "A stop string stands in the answer.")
    hold(cut.finish_reason == "stop", f"Stopped by a string, it says finish_reason={cut.finish_reason!r}.")
    if subject.thinks and not cut.text:
        return "The stop string may have come in its thoughts."
    hold(cut.text, "Of an answer with a stop string in the middle nothing is left.")
    hold(cut.text.strip() == before, "An answer does not go to the stop string.")
    return None


def is_any(subject: Subject) -> None:
    for text in _TEXTS:
        generation = subject.ask(user(text), n=2, max_tokens=3, temperature=1.0)
        hold(len(generation.samples) == 2, f"Asked {text!r}, it gave {len(generation.samples)} samples.")


def are_turns(subject: Subject) -> None:
    turns: Sequence[Message] = (
        {"role": "system", "content": "Answer briefly."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello! How can I help?"},
        user(subject.question),
    )
    asked = subject.ask(*turns, max_tokens=1).input_tokens
    # Made longer, not left out: templates put a system message of their own where there is none.
    for i, turn in enumerate(turns):
        longer = {**turn, "content": " ".join([turn["content"]] * 4)}
        more = subject.ask(*turns[:i], longer, *turns[i + 1 :], max_tokens=1).input_tokens
        hold(more > asked, f"Message {i + 1} of {len(turns)}, of the role {turn['role']}, does not reach the model.")
