"""Every engine against the laws of all, and the laws against engines that break them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from confroute import (
    ContextLengthError,
    ModelError,
    Sample,
    SamplingOptions,
    UnsupportedRequestError,
    resolve_edge,
)
from confroute.edge.llamacpp import LlamaCppEngine
from confroute.edge.protocol import Capabilities
from confroute.edge.server import ServerEngine
from confroute.edge.transformers import TransformersEngine
from confroute.records import Generation, Message, ToolCall
from confroute.testing import ENGINE_LAWS, check_engine
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

    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        prompt = self.prompt_tokens(messages)
        if prompt > CONTEXT:
            raise ContextLengthError(prompt_tokens=prompt, max_tokens=options.max_tokens, context_tokens=CONTEXT)
        if options.json_schema is not None and "properties" not in options.json_schema:
            raise UnsupportedRequestError("No such schema.")
        rng = random.Random(options.seed)
        question = str(messages[-1]["content"])
        return Generation(samples=tuple(self.sample(question, options, rng) for _ in range(n)), input_tokens=prompt)

    def sample(self, question: str, options: SamplingOptions, rng: random.Random) -> Sample:
        words = WORDS * 3 if options.temperature == 0 else rng.choices(WORDS, k=39)
        words = ["It", "is", FACTS[question]] if question in FACTS else words
        words = words if options.json_schema is None else ['{"kind":', '"town",', '"old":', "false}"]
        cut = min([words.index(stop) for stop in options.stop if stop in words], default=None)
        words = words[:cut]
        kept = words[: options.max_tokens]
        call = ToolCall(name="capital", arguments='{"country": "Peru"}')
        place = tuple((f"word{i}", -0.5 - i) for i in range(options.alternatives))
        return Sample(
            text=" ".join(kept),
            tool_calls=(call,) if options.must_call else (),
            tokens=tuple(kept),
            token_logprobs=(-0.5,) * len(kept),
            alternatives=(place,) * len(kept) if options.alternatives else None,
            output_tokens=len(kept),
            finish_reason="length" if len(words) > len(kept) else "stop",
        )


class Copies(Toy):
    def generate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        one = super().generate(messages, n=1, options=options)
        return replace(one, samples=one.samples * n)


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


class AwaitsAnother(Toy):
    async def agenerate(self, messages: Sequence[Message], *, n: int, options: SamplingOptions) -> Generation:
        return self.generate([{"role": "user", "content": "Tell me a story."}], n=n, options=options)


def _one_logprob_less(sample: Sample, _: SamplingOptions) -> Sample:
    return replace(sample, token_logprobs=(sample.token_logprobs or ())[1:])


def _tempered(sample: Sample, options: SamplingOptions) -> Sample:
    return replace(sample, token_logprobs=(-0.5 * (1 + 4 * options.temperature),) * sample.output_tokens)


BROKEN: dict[str, tuple[Any, str]] = {
    "no model": (type("Nameless", (Toy,), {"model": ""})(), "it has a name"),
    "too few": (Miscounts(), "as many samples"),
    "prompt counted n times": (CountsPromptAgain(), "as many samples"),
    "copies": (Copies(), "samples are drawn"),
    "wrong when greedy": (Spoils(lambda s, _: replace(s, text=s.text.replace("Tokyo", "Rome"))), "temperature 0"),
    "a logprob less": (Spoils(_one_logprob_less), "a logprob for each token"),
    "log2": (Spoils(lambda s, _: replace(s, token_logprobs=(0.5,) * s.output_tokens)), "a logprob for each token"),
    "least likely first": (
        Spoils(lambda s, _: replace(s, alternatives=s.alternatives and tuple(p[::-1] for p in s.alternatives))),
        "a logprob for each token",
    ),
    "tempered logprobs": (Spoils(_tempered), "before the temperature"),
    "silent about the cut": (Spoils(lambda s, _: replace(s, finish_reason="stop")), "max_tokens cuts"),
    "past the stop": (Spoils(lambda s, o: replace(s, text=s.text + "".join(o.stop))), "a stop string"),
    "another kind of JSON": (
        Spoils(lambda s, o: replace(s, text=s.text.replace("town", "city"))),
        "an answer asked for as JSON",
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
    "mixes threads": (Remembers(), "at the same time"),
    "awaits another": (AwaitsAnother(), "awaited"),
    "no limit": (Unlimited(), "together with an answer"),
    "a sample served": (ServesASample(), "together with an answer"),
    "no numbers": (Boundless(), "too long a prompt"),
}


@pytest.mark.parametrize("kind", [Toy, ToyAtOnce])
def test_an_engine_that_obeys_passes(kind: type[Toy]) -> None:
    """The laws ask nothing that an engine cannot do."""
    check_engine(kind(), facts=FACTS, context_tokens=CONTEXT)


@pytest.mark.parametrize("name", BROKEN)
def test_each_way_to_break_a_law_is_found(name: str) -> None:
    """By the law that it breaks."""
    engine, law = BROKEN[name]
    with pytest.raises(AssertionError, match=f"breaks the law '.*{law}"):
        check_engine(engine, facts=FACTS, context_tokens=CONTEXT)


def test_every_law_is_broken_by_something() -> None:
    """A law that nothing breaks tries nothing."""
    assert {law for law in ENGINE_LAWS if any(part in law for _, part in BROKEN.values())} == set(ENGINE_LAWS)


@pytest.mark.real_model
def test_llamacpp_obeys(small_llamacpp: LlamaCppEngine) -> None:
    """llama.cpp in this process."""
    check_engine(small_llamacpp, context_tokens=512)


@pytest.mark.real_model
def test_transformers_obeys(torch_device: str) -> None:
    """torch, on the same weights."""
    pytest.importorskip("gguf")
    packaged: Any = resolve_edge("smollm2-135m", engine="transformers")
    settings: Any = {"context_tokens": 512, "device": torch_device}
    engine = TransformersEngine(packaged._checkpoint, gguf_file=packaged._gguf_file, **settings)
    check_engine(engine, context_tokens=512)


@pytest.mark.real_model
def test_a_server_obeys(llama_server: tuple[str, str]) -> None:
    """The same model over HTTP, which takes fewer samples at a time than it is asked for."""
    url, key = llama_server
    engine = ServerEngine("smollm2-135m", url, api_key=key)
    check_engine(engine, context_tokens=512)
    # The model was not made for tools, and calls none however the server offers them.
    assert engine.capabilities() == Capabilities(
        n=True, logprobs=True, alternatives=True, draws=True, json_schema=True, tools=False
    )
    engine.close()
