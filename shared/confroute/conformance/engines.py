"""What every edge engine must do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from confroute.edge import EdgeEngine
from confroute.errors import ContextLengthError, UnsupportedRequestError
from confroute.json_schema import is_valid
from confroute.records import Generation, Message, Sample, SamplingOptions
from confroute.tools import objection

_STORY: Final[Message] = {"role": "user", "content": "Tell me a story about a fox."}
_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"kind": {"enum": ["town", "village"]}, "old": {"type": "boolean"}},
    "required": ["kind", "old"],
    "additionalProperties": False,
}
_TOOLS: Final = tuple(
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"The {name} of a country.",
            "parameters": {
                "type": "object",
                "properties": {"country": {"type": "string", "maxLength": 20}},
                "required": ["country"],
                "additionalProperties": False,
            },
        },
    }
    for name in ("capital", "language")
)
_TEXTS: Final = ("東京とは？ 🙂", "Что такое Москва?", "a\x00b", '"{}<|im_end|>', "e\u0301", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An engine, and what is to be known of its model to try it."""

    engine: EdgeEngine
    facts: Mapping[str, str]
    context_tokens: int | None

    def ask(self, *messages: Message, n: int = 1, **options: Any) -> Generation:
        return self.engine.generate(messages, n=n, options=SamplingOptions(**options))


Law: TypeAlias = Callable[[Subject], "str | None"]
"""Raises AssertionError where it is broken; gives the reason where it could not be tried."""

FACTS: Final[Mapping[str, str]] = {
    "What is the capital of Japan?": "Tokyo",
    "What is the capital of Egypt?": "Cairo",
    "What is the capital of England?": "London",
}


def check_engine(engine: EdgeEngine, *, facts: Mapping[str, str] = FACTS, context_tokens: int | None = None) -> None:
    """Try each of `ENGINE_LAWS`; AssertionError with the law that is broken. Some forty short requests.

    *facts* are questions whose answers the model knows, with a word that stands in them: they tell answers of
    concurrent requests apart. With the model's *context_tokens*, a prompt that is too long is tried as well. Meant for
    tests: ``check_engine(MyEngine(), context_tokens=2048)``.
    """
    subject = Subject(engine=engine, facts=facts, context_tokens=context_tokens)
    for name, law in ENGINE_LAWS.items():
        try:
            law(subject)
        except AssertionError as broken:
            raise AssertionError(f"{type(engine).__name__} breaks the law '{name}'. {broken}") from broken


def _named(subject: Subject) -> None:
    assert isinstance(subject.engine, EdgeEngine), "It lacks `model` or `generate`."
    assert isinstance(subject.engine.model, str), f"Its model is {subject.engine.model!r}."
    assert subject.engine.model, "Its model is named ''."


def _counted(subject: Subject) -> None:
    one = subject.ask(_STORY, temperature=1.0, max_tokens=2)
    for n in (1, 3, 17):
        many = subject.ask(_STORY, n=n, temperature=1.0, max_tokens=2)
        assert len(many.samples) == n, f"Asked for {n} samples it gave {len(many.samples)}."
        assert many.input_tokens == one.input_tokens, (
            f"The prompt is counted as {many.input_tokens} tokens for {n} samples, {one.input_tokens} for one."
        )
    assert one.input_tokens > 0, "The prompt is counted as 0 tokens."


def _drawn(subject: Subject) -> None:
    samples = subject.ask(_STORY, n=8, temperature=1.2, max_tokens=12).samples
    assert len({sample.text for sample in samples}) > 1, "Eight samples at temperature 1.2 are all the same."
    seeded = subject.ask(_STORY, n=8, temperature=1.2, max_tokens=12, seed=5).samples
    assert len({sample.text for sample in seeded}) > 1, "Eight samples with a seed are all the same."


def _greedy(subject: Subject) -> None:
    for question, word in subject.facts.items():
        (sample,) = subject.ask(_user(question), max_tokens=16).samples
        assert word in sample.text, f"At temperature 0 its answer to a question it knows lacks {word!r}."


def _logprobs(subject: Subject) -> None:
    question = next(iter(subject.facts))
    for options in ({}, {"temperature": 1.0, "alternatives": 5}):
        for sample in subject.ask(_user(question), n=2, max_tokens=6, **options).samples:
            if sample.token_logprobs is None:
                assert sample.tokens is None, "There are tokens, but no logprobs of them."
                continue
            assert len(sample.token_logprobs) == sample.output_tokens, (
                f"{len(sample.token_logprobs)} logprobs for {sample.output_tokens} tokens."
            )
            assert sample.tokens is None or len(sample.tokens) == sample.output_tokens, "Not a text for each token."
            assert all(logprob <= 1e-3 for logprob in sample.token_logprobs), "A logprob is above 0."
            _likeliest_first(sample)


def _likeliest_first(sample: Sample) -> None:
    for place in sample.alternatives or ():
        logprobs = [logprob for _, logprob in place]
        assert 1 <= len(place) <= 5, f"{len(place)} alternatives where 5 were asked for."
        assert logprobs == sorted(logprobs, reverse=True), "Alternatives are not in the order of their probability."


def _untempered(subject: Subject) -> str | None:
    question = _user(next(iter(subject.facts)))
    (greedy,) = subject.ask(question, max_tokens=1).samples
    if greedy.token_logprobs is None:
        return "It gives no logprobs."
    drawn = subject.ask(question, n=8, temperature=0.3, max_tokens=1).samples
    same = [sample.token_logprobs for sample in drawn if sample.text == greedy.text and sample.token_logprobs]
    assert same, "Not one of 8 samples at temperature 0.3 begins as the greedy answer."
    # A quantised model's sums depend on what is decoded together.
    assert all(abs(logprobs[0] - greedy.token_logprobs[0]) < 0.4 for logprobs in same), (
        "Logprobs change with the temperature: they are to be those of the model itself."
    )
    return None


def _cut(subject: Subject) -> None:
    (sample,) = subject.ask(_STORY, max_tokens=5).samples
    assert 0 < sample.output_tokens <= 5, f"{sample.output_tokens} tokens where 5 were allowed."
    assert sample.finish_reason == "length", f"Cut short, it says finish_reason={sample.finish_reason!r}."


def _stopped(subject: Subject) -> str | None:
    (whole,) = subject.ask(_STORY, max_tokens=24).samples
    words = whole.text.split()
    # Not all languages put spaces between words.
    stop = words[3] if len(words) > 3 else whole.text[len(whole.text) // 2 :][:2].strip()
    if not stop:
        return "It said too little in 24 tokens to be stopped in the middle."
    (cut,) = subject.ask(_STORY, max_tokens=24, stop=(stop,)).samples
    assert stop not in cut.text, "A stop string stands in the answer."
    assert cut.finish_reason == "stop", f"Stopped by a string, it says finish_reason={cut.finish_reason!r}."
    return None


def _held_to_a_schema(subject: Subject) -> str | None:
    if not getattr(subject.engine, "json_schema", False):
        return "It takes no JSON schema."
    question = _user(f"{next(iter(subject.facts))} Reply in JSON.")
    try:
        generation = subject.ask(question, n=2, temperature=1.0, max_tokens=64, json_schema=_SCHEMA)
    except UnsupportedRequestError as error:
        return str(error)  # a server that cannot, which the engine found out
    for sample in generation.samples:
        assert sample.finish_reason == "length" or is_valid(sample.text, _SCHEMA), "An answer is not of its schema."
    caught: Exception | None = None
    try:
        subject.ask(question, max_tokens=4, json_schema={"type": "zanzibarland"})
    except Exception as error:
        caught = error
    assert isinstance(caught, UnsupportedRequestError), f"A schema that is none gives {caught!r}."
    return None


def _calls_tools(subject: Subject) -> str | None:
    if not getattr(subject.engine, "tools", False):
        return "It takes no tools."
    question = _user(next(iter(subject.facts)))
    options: dict[str, Any] = {"temperature": 1.0, "max_tokens": 64, "tools": _TOOLS}
    try:
        generation = subject.ask(question, n=2, must_call=True, **options)
    except UnsupportedRequestError as error:
        return str(error)  # a model that was not made for tools
    for sample in generation.samples:
        problem = objection(sample, SamplingOptions(must_call=True, **options))
        assert sample.finish_reason == "length" or problem is None, f"An answer that has to call a tool {problem}."
    call = {"id": "1", "type": "function", "function": {"name": "capital", "arguments": '{"country": "Peru"}'}}
    turns: Sequence[Message] = (
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "Lima"},
    )
    longer, shorter = subject.ask(question, *turns, **options), subject.ask(question, **options)
    assert longer.input_tokens > shorter.input_tokens + 2, "What a tool gave does not reach the model."
    return None


def _any_text(subject: Subject) -> None:
    for text in _TEXTS:
        generation = subject.ask(_user(text), n=2, max_tokens=3, temperature=1.0)
        assert len(generation.samples) == 2, f"Asked {text!r}, it gave {len(generation.samples)} samples."


def _roles(subject: Subject) -> None:
    turns: Sequence[Message] = (
        {"role": "system", "content": "Answer briefly."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello! How can I help?"},
        {"role": "user", "content": next(iter(subject.facts))},
    )
    longer, shorter = subject.ask(*turns, max_tokens=4), subject.ask(turns[-1], max_tokens=4)
    assert longer.input_tokens > shorter.input_tokens, "Earlier turns do not reach the model."


def _apart(subject: Subject) -> None:
    questions = list(subject.facts) * 3

    def ask(question: str) -> str:
        return subject.ask(_user(question), max_tokens=16).samples[0].text

    with ThreadPoolExecutor(len(questions)) as pool:
        answers = list(pool.map(ask, questions))
    for question, answer in zip(questions, answers, strict=True):
        assert subject.facts[question] in answer, f"Asked by several threads, {question!r} got another's answer."


def _awaited(subject: Subject) -> str | None:
    agenerate: Callable[..., Any] | None = getattr(subject.engine, "agenerate", None)
    if agenerate is None:
        return "It has no agenerate."
    options = SamplingOptions(max_tokens=16)

    async def ask_all() -> list[Generation]:
        return await asyncio.gather(*(agenerate([_user(each)], n=2, options=options) for each in subject.facts))

    for _ in range(2):  # a second event loop, as in a second asyncio.run of a program
        for word, generation in zip(subject.facts.values(), asyncio.run(ask_all()), strict=True):
            assert all(word in sample.text for sample in generation.samples), "agenerate answers another question."
    return None


def _at_once(subject: Subject) -> str | None:
    ask: Callable[..., list[Generation]] | None = getattr(subject.engine, "generate_with_samples", None)
    if ask is None:
        return "It has no generate_with_samples."

    def limit(served: Sample) -> int:
        return served.output_tokens + 2

    sampling = SamplingOptions(temperature=1.2, max_tokens=12)
    for question, word in subject.facts.items():
        request: Any = {"options": SamplingOptions(max_tokens=16), "n": 3, "sampling": sampling}
        served, drawn = ask([_user(question)], **request, limit=limit)
        assert [word in sample.text for sample in served.samples] == [True], f"The served answer lacks {word!r}."
        assert len(drawn.samples) == 3, f"Asked for 3 samples beside the answer it gave {len(drawn.samples)}."
        assert drawn.input_tokens == served.input_tokens, "Its prompt is not the same for the answer and its samples."
    request = {"options": SamplingOptions(max_tokens=3), "n": 8, "sampling": sampling}
    _, drawn = ask([_STORY], **request, limit=limit)
    assert len({sample.text for sample in drawn.samples}) > 1, "Eight samples beside an answer are all the same."
    longest = max(sample.output_tokens for sample in drawn.samples)
    assert longest <= 5, f"With a limit of 5 tokens, a sample beside an answer has {longest}."
    return None


def _too_long(subject: Subject) -> str | None:
    if subject.context_tokens is None:
        return "Its context_tokens are not given."
    caught: Exception | None = None
    try:
        subject.ask(_user("zanzibarland " * subject.context_tokens), n=2, max_tokens=4)
    except Exception as error:
        caught = error
    assert isinstance(caught, ContextLengthError), f"A prompt longer than the context gives {caught!r}."
    assert caught.context_tokens == subject.context_tokens, f"It says that its context has {caught.context_tokens}."
    told = caught.prompt_tokens, caught.max_tokens
    assert sum(told) > subject.context_tokens, "It says that the prompt has {} tokens, the answer up to {}.".format(
        *told
    )
    assert "zanzibarland" not in str(caught), "The error shows the prompt."
    question, word = next(iter(subject.facts.items()))
    assert word in subject.ask(_user(question), max_tokens=16).samples[0].text, "The next request fails."
    return None


ENGINE_LAWS: Final[Mapping[str, Law]] = {
    "it has a name and generates": _named,
    "it gives as many samples as asked for, and counts the prompt once": _counted,
    "samples are drawn, not copied": _drawn,
    "temperature 0 is the likeliest answer": _greedy,
    "there is a logprob for each token, or for none": _logprobs,
    "logprobs are those before the temperature": _untempered,
    "max_tokens cuts an answer and that is told": _cut,
    "a stop string ends an answer": _stopped,
    "an answer asked for as JSON of a schema is of it": _held_to_a_schema,
    "any text can be asked": _any_text,
    "all turns of a conversation count": _roles,
    "a tool that has to be called is called by its schema": _calls_tools,
    "requests at the same time get their own answers": _apart,
    "awaited, it answers the same": _awaited,
    "samples asked for together with an answer are at most as long as that lets them be": _at_once,
    "too long a prompt is told with its numbers, and the next request works": _too_long,
}
"""By the law in words."""


def _user(text: str) -> Message:
    return {"role": "user", "content": text}
