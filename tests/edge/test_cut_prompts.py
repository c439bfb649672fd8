"""A prompt that its server cut never has an answer that passes for one to the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from confroute import Router, SamplingOptions
from confroute.conformance.engines import attempt
from confroute.conformance.subject import Subject
from confroute.edge.cut_prompts import input_tokens_in, refuse_cut
from confroute.edge.refusals import CutError
from confroute.edge.server import ServerEngine
from confroute.records import Message
from confroute.testing import ENGINE_LAWS
from tests.edge.scripted_ollama import ollama
from tests.edge.scripted_server import Reply, Request, completion, serving

pytest.importorskip("openai")

OPTIONS = SamplingOptions(max_tokens=8)
FACTS = {"What is named?": "none"}
TOO_LONG = next(law for law in ENGINE_LAWS if law.startswith("too long"))

Connect = Callable[..., ServerEngine]


def asked(text: str, role: str = "user") -> list[Message]:
    return [{"role": role, "content": text}]


def cuts(context: int, **usage: Any) -> Callable[[Request], Reply]:
    """As Ollama: of a prompt that does not fit, the end is read."""

    def reply(request: Request) -> Reply:
        words = len(" ".join(str(message["content"]) for message in request["messages"]).split())
        status, body = completion(["none named"] * request.get("n", 1))
        body["usage"] = {"prompt_tokens": words if words <= context else context // 2, "completion_tokens": 2, **usage}
        return status, body

    return reply


def refuses(request: Request) -> Reply:
    """As a server that says so where a prompt is too long."""
    if len(str(request["messages"])) > 5000:
        return 400, {"error": {"message": "This prompt is too long", "code": "context_length_exceeded"}}
    return cuts(4096)(request)


def test_a_cut_prompt_goes_to_the_cloud(connect: Connect) -> None:
    """The samples would agree, on what the end of the prompt says."""
    with serving(cuts(4096)) as server:
        router = Router(connect(server))
        record = router.decide(asked("NOTICE90 " + "lorem " * 7000)).record
        assert (record.route, record.reason, record.error) == ("cloud", "edge_error", "CutError")
        assert router.decide(asked("NOTICE90 " + "lorem " * 3000)).record.route == "edge"


def test_the_error_says_what_to_do_and_not_what_was_asked(connect: Connect) -> None:
    """With the numbers that show that the prompt was cut."""
    with serving(cuts(4096)) as server, pytest.raises(CutError) as caught:
        connect(server).generate(asked("geheim " * 7000), n=2, options=OPTIONS)
    told = str(caught.value)
    assert "about 7000 words" in told
    assert "2048 tokens" in told
    assert "OLLAMA_CONTEXT_LENGTH" in told
    assert "geheim" not in told


@pytest.mark.parametrize(
    ("messages", "tokens"),
    [
        (asked("lorem " * 7000), 0),  # not told, as by some for a prompt that they have in a cache
        (asked("lorem " * 7000), 9),  # not in the cache of a server that tells only those, as mlx_lm's once did
        (asked("lorem " * 7000), 5700),  # tokens of several words, as few tokenizers have
        (asked("lorem " * 900), 20),
        (asked("def f(x_1, y_2):\n    return {'a': [1, 2], 'b': ()}\n" * 300), 300 * 12),
        (asked("हिन्दी " * 2000), 2000),  # marks are parts of words
        (asked("東京都は日本の首都です。" * 300), 300 * 6),
        (asked("a" * 50_000), 1000),
        ([*asked("<think>" + "hm " * 5000 + "</think>Yes.", "assistant"), *asked("Why?")], 300),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:," + "x " * 5000}}]}], 300),
        ([{"role": "assistant", "content": None}, {"role": "user", "content": ["Hi"]}], 20),
    ],
)
def test_a_prompt_that_was_read_is_not_refused(messages: list[Message], tokens: int) -> None:
    """As few tokens as it may have in any tokenizer, and no word that is none of the prompt's."""
    refuse_cut(messages, tokens, model="m")


@pytest.mark.parametrize(
    "messages",
    [
        asked("lorem " * 7000),
        [*asked("lorem " * 4000, "assistant"), *asked("lorem " * 3000)],
        [{"role": "user", "content": [{"type": "text", "text": "lorem " * 7000}]}],
        asked("self.values.append(first_of(other,last));" * 1200),
        asked("東京都は日本の首都です。" * 1500),
        asked("हिन्दी " * 7000),
    ],
)
def test_words_are_counted_in_all_that_is_said(messages: list[Message]) -> None:
    """In each turn and part, in code, and where words have no spaces between them."""
    with pytest.raises(CutError):
        refuse_cut(messages, 4096, model="m")


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({}, 0),
        ({"prompt_tokens": None}, 0),
        ({"prompt_tokens": 7000}, 7000),
        ({"prompt_tokens": 7000, "prompt_tokens_details": None}, 7000),
        ({"prompt_tokens": 7000, "prompt_tokens_details": {"cached_tokens": 6900}}, 7000),
        ({"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 6900}}, 7000),
    ],
)
def test_tokens_from_a_cache_are_the_prompts_too(usage: dict[str, Any], tokens: int) -> None:
    """OpenAI counts them among the prompt's; where they are more than those, they are counted apart."""
    assert input_tokens_in(usage) == tokens


def test_a_prompt_in_a_cache_is_whole(connect: Connect) -> None:
    """Its second reader is told of few new tokens."""
    with serving(cuts(4096, prompt_tokens=9, prompt_tokens_details={"cached_tokens": 2991})) as server:
        generation = connect(server).generate(asked("lorem " * 3000), n=2, options=OPTIONS)
        assert generation.input_tokens == 3000


def test_a_check_tells_of_a_server_that_cuts(connect: Connect) -> None:
    """Also where it is not told the context."""
    law = ENGINE_LAWS[TOO_LONG]
    for context in (None, 4096):
        with serving(cuts(4096)) as server, pytest.raises(AssertionError, match="have cut the prompt"):
            attempt(law, Subject(engine=connect(server), facts=FACTS, context_tokens=context))
    for reply in (cuts(1 << 20), refuses):
        with serving(reply) as server:
            told = attempt(law, Subject(engine=connect(server), facts=FACTS, context_tokens=None))
        assert "Not tried" in str(told)


@pytest.mark.parametrize("framework", ["langchain", "llamaindex"])
def test_a_prompt_that_a_framework_s_model_had_cut_is_not_answered(framework: str) -> None:
    """Ollama tells how much it read to its clients, too."""
    with ollama() as server:
        edge: Any
        if framework == "langchain":
            from confroute_langchain.edge import ChatModelEdge

            client = pytest.importorskip("langchain_ollama")
            edge = ChatModelEdge(client.ChatOllama(model="small", base_url=server.url))
        else:
            from confroute_llamaindex.edge import LLMEdge

            client = pytest.importorskip("llama_index.llms.ollama")
            edge = LLMEdge(client.Ollama(model="small", base_url=server.url))
        assert edge.generate(asked("What is named?"), n=1, options=OPTIONS).input_tokens == 7
        server.prompt_tokens = 1024
        with pytest.raises(CutError, match=r"2000 words.* tells of 1024 tokens"):
            edge.generate(asked("lorem " * 2000), n=1, options=OPTIONS)
