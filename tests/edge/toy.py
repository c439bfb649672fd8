"""A model that obeys all laws of engines, and those that break one."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from confroute import ContextLengthError, ModelError, Sample, SamplingOptions, UnsupportedRequestError
from confroute.records import Generation, Message, ToolCall
from tests.scripted import AtOnce

FACTS = {"What is the capital of Japan?": "Tokyo", "What is the capital of Egypt?": "Cairo"}
WORDS = "once upon a time there was fox who lived in the wood and".split()
CONTEXT = 64


class Toy:
    """A model that tells stories of random words and knows two capitals; a token is a word. It obeys all laws."""

    model = "toy"
    json_schema = True
    tools = True

    def prompt_tokens(self, messages: Sequence[Message]) -> int:
        return sum(1 + len(str(message["content"]).split()) for message in messages)

    def rng(self, options: SamplingOptions) -> random.Random:
        return random.Random(options.seed)

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        prompt = self.prompt_tokens(messages)
        if prompt > CONTEXT:
            raise ContextLengthError(prompt_tokens=prompt, max_tokens=options.max_tokens, context_tokens=CONTEXT)
        if options.json_schema is not None and "properties" not in options.json_schema:
            raise UnsupportedRequestError("No such schema.")
        rng = self.rng(options)
        question = str(messages[-1]["content"])
        return Generation(samples=tuple(self.sample(question, options, rng) for _ in range(n)), input_tokens=prompt)

    def sample(self, question: str, options: SamplingOptions, rng: random.Random) -> Sample:
        words = WORDS * 3 if options.temperature < 0.5 else rng.choices(WORDS, k=39)
        words = ["It", "is", FACTS[question]] if question in FACTS else words
        words = words if options.json_schema is None else ['{"kind":', '"town",', '"old":', "false}"]
        cut = min([words.index(stop) for stop in options.stop if stop in words], default=None)
        words = words[:cut]
        kept = words[: options.max_tokens]
        tokens = tuple(word if not i else f" {word}" for i, word in enumerate(kept))
        call = ToolCall(name="capital", arguments='{"country": "Peru"}')
        others = tuple((f"word{i}", -0.5 - i) for i in range(1, options.alternatives))
        return Sample(
            text=" ".join(kept),
            tool_calls=(call,) if options.must_call else (),
            tokens=tokens,
            token_logprobs=(-0.5,) * len(kept),
            alternatives=tuple(((token, -0.5), *others) for token in tokens) if options.alternatives else None,
            output_tokens=len(kept),
            finish_reason="length" if len(words) > len(kept) else "stop",
        )


class Thinks(Toy):
    """A toy that thinks for so many tokens before each answer; they are counted, and all that is *shown* of them is
    that there are logprobs for fewer."""

    def __init__(self, thoughts: int, *, shown: bool = True) -> None:
        self.thoughts = thoughts
        self.shown = shown

    def sample(self, question: str, options: SamplingOptions, rng: random.Random) -> Sample:
        # A story takes more thought.
        left = options.max_tokens - self.thoughts * (1 if question in FACTS else 3)
        if left <= 0:
            return Sample(text="", output_tokens=options.max_tokens, finish_reason="length")
        said = super().sample(question, replace(options, max_tokens=left), rng)
        bare: Any = {} if self.shown else {"tokens": None, "token_logprobs": None, "alternatives": None}
        return replace(said, output_tokens=options.max_tokens - left + said.output_tokens, **bare)


class Brief(Toy):
    """A toy whose stories have three words."""

    def sample(self, question: str, options: SamplingOptions, rng: random.Random) -> Sample:
        if question in FACTS or options.json_schema is not None or options.max_tokens < 3:
            return super().sample(question, options, rng)
        return replace(super().sample(question, replace(options, max_tokens=3), rng), finish_reason="stop")


class Copies(Toy):
    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        one = super().generate(messages, n=1, options=options)
        return replace(one, samples=one.samples * n)


class CopiesButOne(Toy):
    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        done = super().generate(messages, n=n, options=options)
        return replace(done, samples=done.samples[:1] * (n - 1) + done.samples[-1:])


class Restarts(Toy):
    """Draws from the same beginning at each call."""

    def rng(self, options: SamplingOptions) -> random.Random:
        return random.Random(options.seed or 0)


class Chunks(Toy):
    """Draws eight at a time, each eight with the same seed."""

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        seeded = replace(options, seed=random.randrange(10**9) if options.seed is None else options.seed)
        parts = [super(Chunks, self).generate(messages, n=min(8, n - i), options=seeded) for i in range(0, n, 8)]
        return replace(parts[0], samples=tuple(sample for part in parts for sample in part.samples))


class DrawsAlways(Toy):
    def sample(self, question: str, options: SamplingOptions, rng: random.Random) -> Sample:
        return super().sample(question, replace(options, temperature=1.0), rng)


class LogprobsOnce(Toy):
    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        done = super().generate(messages, n=n, options=options)
        bare = [replace(each, tokens=None, token_logprobs=None, alternatives=None) for each in done.samples[1:]]
        return replace(done, samples=(done.samples[0], *bare))


class Miscounts(Toy):
    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        return super().generate(messages, n=min(n, 8), options=options)


class CountsPromptAgain(Toy):
    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        done = super().generate(messages, n=n, options=options)
        return replace(done, input_tokens=done.input_tokens * n)


class Remembers(Toy):
    """Answers what it was asked last, by whomever."""

    def __init__(self) -> None:
        self.last = ""
        self.meeting = threading.Barrier(6)

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        self.last = str(messages[-1]["content"])
        if threading.current_thread() is not threading.main_thread():
            self.meeting.wait(5)
        return super().generate([*messages[:-1], {"role": "user", "content": self.last}], n=n, options=options)


class Spoils(Toy):
    """A toy whose samples are changed."""

    def __init__(self, change: Callable[[Sample, SamplingOptions], Sample]) -> None:
        self.change = change

    def sample(self, question: str, options: SamplingOptions, rng: random.Random) -> Sample:
        return self.change(super().sample(question, options, rng), options)


class ForgetsTurns(Toy):
    def prompt_tokens(self, messages: Sequence[Message]) -> int:
        return super().prompt_tokens(messages[-1:])


class Drops(Toy):
    """Lets the messages of one role fall."""

    def __init__(self, role: str) -> None:
        self.role = role

    def prompt_tokens(self, messages: Sequence[Message]) -> int:
        return super().prompt_tokens([message for message in messages if message["role"] != self.role])


class Boundless(Toy):
    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        try:
            return super().generate(messages, n=n, options=options)
        except ContextLengthError as error:
            raise ModelError("Something is wrong.") from error


class Strict(Toy):
    """Says nothing to what is no Latin."""

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        done = super().generate(messages, n=n, options=options)
        return done if str(messages[-1]["content"]).isascii() else replace(done, samples=done.samples[:1])


class AnySchema(Toy):
    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        return super().generate(messages, n=n, options=replace(options, json_schema=options.json_schema and _ANY))


_ANY: dict[str, Any] = {"properties": {}}


class ToyAtOnce(AtOnce, Toy):
    """A toy that answers and draws at once."""


class Unlimited(ToyAtOnce):
    def generate_with_samples(self, messages: Sequence[Message], **request: Any) -> list[Generation]:
        return super().generate_with_samples(messages, **{**request, "limit": lambda _: 99})


class ServesASample(ToyAtOnce):
    def generate_with_samples(self, messages: Sequence[Message], **request: Any) -> list[Generation]:
        _, drawn = super().generate_with_samples(messages, **request)
        return [drawn, drawn]


class FailsAtLimitZero(ToyAtOnce):
    def generate_with_samples(self, messages: Sequence[Message], **request: Any) -> list[Generation]:
        served, drawn = super().generate_with_samples(messages, **request)
        replace(request["sampling"], max_tokens=request["limit"](served.samples[0]))
        return [served, drawn]


class AwaitsOtherSamples(ToyAtOnce):
    async def agenerate_with_samples(self, messages: Sequence[Message], **request: Any) -> list[Generation]:
        served, drawn = self.generate_with_samples(messages, **request)
        return [served, replace(drawn, samples=drawn.samples[:1])]


class Awaited(ToyAtOnce):
    """A toy that can be awaited."""

    async def agenerate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        return self.generate(messages, n=n, options=options)

    async def agenerate_with_samples(self, messages: Sequence[Message], **request: Any) -> list[Generation]:
        return self.generate_with_samples(messages, **request)


class AwaitsNone(Toy):
    async def agenerate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        return Generation(samples=(), input_tokens=1)


class AwaitsWithout(Awaited):
    """Awaited, it does not know these of the options."""

    def __init__(self, **instead: Any) -> None:
        self.instead = instead

    async def agenerate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        return self.generate(messages, n=n, options=replace(options, **self.instead))


class AwaitsAnother(Toy):
    async def agenerate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        return self.generate([{"role": "user", "content": "Tell me a story."}], n=n, options=options)


def _one_logprob_less(sample: Sample, _: SamplingOptions) -> Sample:
    return replace(sample, token_logprobs=(sample.token_logprobs or ())[1:])


def _tempered(sample: Sample, options: SamplingOptions) -> Sample:
    """Of a model that is in two minds at each word: ln 0.7 as it is."""
    likely, other = (p ** (1 / (options.temperature or 1)) for p in (0.7, 0.3))
    return replace(sample, token_logprobs=(math.log(likely / (likely + other)),) * sample.output_tokens)


def _all_sure(sample: Sample, _: SamplingOptions) -> Sample:
    places = sample.alternatives and tuple(tuple((token, 0.0) for token, _ in place) for place in sample.alternatives)
    return replace(sample, alternatives=places)


def _least_likely(sample: Sample, options: SamplingOptions) -> Sample:
    """Of one that drew another word than the likeliest, at temperature 0."""
    if sample.alternatives is None or options.temperature:
        return sample
    return replace(sample, token_logprobs=(-1.5,) * sample.output_tokens)


def _chatters(sample: Sample, options: SamplingOptions) -> Sample:
    if options.json_schema is None and not options.must_call:
        return sample
    return replace(sample, text="Sure! Here " * 60, tool_calls=(), finish_reason="length")


def _nothing(sample: Sample) -> Sample:
    return replace(sample, text="", tokens=(), token_logprobs=(), alternatives=None, output_tokens=0)


BROKEN: dict[str, tuple[Any, str]] = {
    "no model": (type("Nameless", (Toy,), {"model": ""})(), "it has a name"),
    "too few": (Miscounts(), "as many samples"),
    "prompt counted n times": (CountsPromptAgain(), "as many samples"),
    "copies": (Copies(), "samples are drawn"),
    "copies but one": (CopiesButOne(), "samples are drawn"),
    "the same samples at each call": (Restarts(), "samples are drawn"),
    "the same eight samples again": (Chunks(), "samples are drawn"),
    "wrong when greedy": (
        Spoils(lambda s, _: replace(s, text=s.text.replace("Tokyo", "Rome"), tokens=None, token_logprobs=None)),
        "temperature 0",
    ),
    "drawn when greedy": (DrawsAlways(), "temperature 0"),
    "another word when greedy": (Spoils(_least_likely), "temperature 0"),
    "a logprob less": (Spoils(_one_logprob_less), "a logprob for each token"),
    "log2": (Spoils(lambda s, _: replace(s, token_logprobs=(0.5,) * s.output_tokens)), "a logprob for each token"),
    "least likely first": (
        Spoils(lambda s, _: replace(s, alternatives=s.alternatives and tuple(p[::-1] for p in s.alternatives))),
        "a logprob for each token",
    ),
    "logprobs of the first only": (LogprobsOnce(), "a logprob for each token"),
    "NaN": (
        Spoils(lambda s, _: replace(s, token_logprobs=(math.nan,) * s.output_tokens)),
        "a logprob for each token, or for none'. A logprob is no finite number",
    ),
    "tokens of another text": (
        Spoils(lambda s, _: replace(s, tokens=("x",) * s.output_tokens)),
        "a logprob for each token",
    ),
    "alternatives of the first only": (
        Spoils(lambda s, _: replace(s, alternatives=s.alternatives and s.alternatives[:1])),
        "a logprob for each token",
    ),
    "five sure alternatives": (Spoils(_all_sure), "a logprob for each token"),
    "tempered logprobs": (Spoils(_tempered), "before the temperature"),
    "silent about the cut": (Spoils(lambda s, _: replace(s, finish_reason="stop")), "max_tokens cuts"),
    "cut where it likes": (
        Spoils(lambda s, o: replace(s, text=" ".join(WORDS * 3)) if o.max_tokens == 2 else s),
        "max_tokens cuts",
    ),
    "stopped at once": (Spoils(lambda s, o: _nothing(s) if o.stop else s), "a stop string"),
    "stopped too early": (Spoils(lambda s, o: replace(s, text=s.text[:4]) if o.stop else s), "a stop string"),
    "past the stop": (Spoils(lambda s, o: replace(s, text=s.text + "".join(o.stop))), "a stop string"),
    "another kind of JSON": (
        Spoils(lambda s, o: replace(s, text=s.text.replace("town", "city"))),
        "an answer asked for as JSON",
    ),
    "chatter where JSON has to be": (Spoils(_chatters), "an answer asked for as JSON"),
    "chatter where a tool has to be called": (
        Spoils(lambda s, o: _chatters(s, replace(o, json_schema=None)) if o.must_call else s),
        "a tool that has to be called",
    ),
    "a tool that there is not": (
        Spoils(lambda s, _: replace(s, tool_calls=tuple(replace(call, name="Capital") for call in s.tool_calls))),
        "a tool that has to be called",
    ),
    "no tool": (Spoils(lambda s, _: replace(s, tool_calls=())), "a tool that has to be called"),
    "arguments of another kind": (
        Spoils(lambda s, _: replace(s, tool_calls=tuple(replace(call, arguments="[]") for call in s.tool_calls))),
        "a tool that has to be called",
    ),
    "any schema": (AnySchema(), "an answer asked for as JSON"),
    "Latin only": (Strict(), "any text"),
    "last turn only": (ForgetsTurns(), "all turns"),
    "no system message": (Drops("system"), "all turns"),
    "no answers": (Drops("assistant"), "all turns"),
    "mixes threads": (Remembers(), "at the same time"),
    "awaits another": (AwaitsAnother(), "awaited"),
    "awaits nothing": (AwaitsNone(), "awaited"),
    "awaits without a temperature": (AwaitsWithout(temperature=0.0), "awaited"),
    "awaits without max_tokens": (AwaitsWithout(max_tokens=256), "awaited"),
    "no limit": (Unlimited(), "together with an answer"),
    "no limit of 0": (FailsAtLimitZero(), "together with an answer"),
    "awaits other samples": (AwaitsOtherSamples(), "together with an answer"),
    "a sample served": (ServesASample(), "together with an answer"),
    "no numbers": (Boundless(), "too long a prompt"),
}
