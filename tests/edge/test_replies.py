"""What a choice says: the answer without thoughts, from any JSON that a server may send."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from confroute import MeanLogprob, ModelError, Router, SamplingOptions
from confroute.edge.replies import read_reply, read_whole
from confroute.edge.server import ServerEngine
from confroute.records import Message
from tests.edge.scripted_server import serving, takes_all

pytest.importorskip("openai")

ASK: list[Message] = [{"role": "user", "content": "Capital of Peru?"}]


def told(tokens: Sequence[str]) -> dict[str, Any]:
    """Logprobs of these tokens, each its own place's."""
    return {
        "content": [
            {"token": token, "logprob": -float(i), "top_logprobs": [{"token": token, "logprob": -float(i)}]}
            for i, token in enumerate(tokens)
        ]
    }


THOUGHT = ["<think>", "\n", "Hm", "m", "</think>", "\n\n", "Li", "ma"]


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        ({"content": "".join(THOUGHT)}, THOUGHT),
        ({"content": "Hmm\n</think>\n\nLima"}, ["Hmm", "\n", "</th", "ink>", "\n\n", "Li", "ma"]),
        ({"content": "Lima", "reasoning_content": "Hmm"}, THOUGHT),
        ({"content": "\n\nLima", "reasoning": "Hmm"}, ["Hmm", "</think>", "\n\n", "Li", "ma"]),
        ({"content": "Lima", "reasoning_content": "Hmm"}, ["Li", "ma"]),
    ],
)
def test_thoughts_are_no_part_of_the_answer(message: dict[str, Any], tokens: list[str]) -> None:
    """Neither in its text nor in its logprobs, which would measure them; they are paid for all the same."""
    choice = {"message": message, "logprobs": told(tokens), "finish_reason": "stop"}
    sample = read_reply(choice, alternatives=1, output_tokens=0)
    assert sample.text == "Lima"
    assert sample.tokens is not None
    assert "".join(sample.tokens).strip() == "Lima"
    kept = len(sample.tokens)
    assert sample.token_logprobs == tuple(-float(i) for i in range(len(tokens)))[-kept:]
    assert sample.alternatives == tuple(((tokens[i], -float(i)),) for i in range(len(tokens)))[-kept:]
    assert sample.output_tokens == len(tokens)
    assert len(read_whole(choice, alternatives=1).tokens or ()) == len(tokens)


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_an_end_of_turn_costs_no_answer_its_logprobs(name: str) -> None:
    """vLLM lists it with its text."""
    choice = {"message": {"content": "Lima", name: "Hmm"}, "logprobs": told([*THOUGHT, "<|im_end|>"])}
    sample = read_reply({**choice, "finish_reason": "stop"}, alternatives=1, output_tokens=0)
    assert (sample.tokens, sample.token_logprobs) == (("\n\n", "Li", "ma"), (-5.0, -6.0, -7.0))
    assert sample.output_tokens == len(THOUGHT)


def test_a_character_of_two_tokens_costs_no_answer_its_logprobs() -> None:
    """Its parts spell it by their bytes, in the thought as in the answer."""
    logprobs = told(["\ufffd", "\ufffd", "</think>", "\ufffd", "\ufffd"])
    for token, part in zip(logprobs["content"], (b"\xf0\x9f", b"\x99\x82", b"</think>") * 2, strict=False):
        token["bytes"] = list(part)
    choice = {"message": {"content": "\U0001f642", "reasoning": "\U0001f642"}, "logprobs": logprobs}
    sample = read_reply(choice, alternatives=1, output_tokens=0)
    assert (sample.tokens, sample.token_logprobs) == (("", "\U0001f642"), (-3.0, -4.0))


@pytest.mark.parametrize(("alone", "counted"), [(True, 90), (False, 2)])
def test_hidden_thoughts_are_counted(alone: bool, counted: int) -> None:
    """Where the server's sum is this choice's own, it says how many tokens they took."""
    choice = {"message": {"content": "Lima", "reasoning": "Hmm"}, "logprobs": told(["Li", "ma"])}
    sample = read_reply(choice, alternatives=1, output_tokens=90, alone=alone)
    assert (sample.output_tokens, sample.token_logprobs) == (counted, (0.0, -1.0))


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        ({"content": "Lima", "reasoning": "Hmm"}, ["<|channel|>", "Hmm", "<|channel|>", "final", "Lima"]),
        ({"content": "Lima", "reasoning_content": "Hmm"}, ["Hm", "Lima"]),
        ({"content": "<think>Hmm, Lim"}, ["<think>", "Hmm", ", Lim"]),
        ({"content": None, "reasoning_content": "Hmm"}, ["Hmm"]),
        ({"content": "<think>Hmm</think>"}, ["<think>", "Hmm", "</think>"]),
    ],
)
def test_tokens_that_do_not_spell_the_answer_are_not_its_own(message: dict[str, Any], tokens: list[str]) -> None:
    """Their logprobs are unknown then, and a thought that was cut short is no answer."""
    sample = read_reply({"message": message, "logprobs": told(tokens)}, alternatives=1, output_tokens=0)
    assert sample.text in ("", "Lima")
    assert (sample.tokens, sample.token_logprobs, sample.alternatives) == (None, None, None)
    assert sample.output_tokens == len(tokens)


@pytest.mark.parametrize(
    ("tokens", "known"),
    [
        (["Li", "ma", "\n\n", "Question", ":"], True),
        (["Li", "ma", "\n\nQuestion: Why"], True),  # the token that it ends in goes on
        (["Li", "ma", " EN", "D", "<|im_end|>"], True),
        (["Lima", ", wait, is it?", "Lima"], False),
        (["Lima", "?", " Question", ":", " Lima"], False),
    ],
)
def test_what_stopped_the_answer_is_one_of_the_stop_strings(tokens: list[str], known: bool) -> None:
    """What else is told after it, a thought began with that is not shown."""
    choice = {"message": {"content": "Lima"}, "logprobs": told(tokens), "finish_reason": "stop"}
    sample = read_reply(choice, alternatives=1, output_tokens=0, stop=("\n\nQuestion:", "END"))
    assert bool(sample.token_logprobs) == bool(sample.tokens) == bool(sample.alternatives) == known


@pytest.mark.parametrize(
    ("content", "tokens", "kept"),
    [
        ("Lima", [*THOUGHT, "<|im_end|>"], ["\n\n", "Li", "ma"]),  # vLLM with include_reasoning=false
        ("Lima", ["<think>", "Hm", "[/THINK]", "Lima"], ["Lima"]),
        ("Lima", ["<|channel|>", "analysis", "<|message|>", "Hm", "<|end|>", "<|start|>", "assistant", "<|channel|>",
                  "final", "<|message|>", "Lima", "<|return|>"], ["Lima"]),
        ("Lima", ["Lima", "?", "</think>", "Li", "ma"], ["Li", "ma"]),
        ("It ends with </think>.", ["Hm", "</think>", "It ends with ", "</think>", "."],
         ["It ends with ", "</think>", "."]),
        ("It ends with </think>.", ["It ends with ", "</think>", "."], ["It ends with ", "</think>", "."]),
        ("Lima", ["Hm", " Cusco", "Lima"], None),
        ("Lima", ["x", "y"], None),
        ("Lima", ["", ""], None),
        ("Lima", ["token_id:5", "token_id:7"], None),
    ],
)  # fmt: skip
def test_hidden_thoughts_are_not_scored_as_the_answer(content: str, tokens: list[str], kept: list[str] | None) -> None:
    """A server may list their tokens and show none of them. Where the rest does not spell the answer, it is unknown."""
    choice = {"message": {"content": content}, "logprobs": told(tokens), "finish_reason": "stop"}
    sample = read_reply(choice, alternatives=1, output_tokens=0)
    assert (sample.text, sample.tokens) == (content, kept and tuple(kept))
    if kept is None:
        assert (sample.token_logprobs, sample.alternatives) == (None, None)
    else:
        first = next(i for i in range(len(tokens)) if tokens[i : i + len(kept)] == kept)
        assert sample.token_logprobs == tuple(-float(i) for i in range(first, first + len(kept)))
        assert len(sample.alternatives or ()) == len(kept)


@pytest.mark.parametrize(
    ("thoughts", "tokens", "answer"),
    [
        ("Lima? No, Cusco. Or Lima", ["Lima", "?", " No", ", Cusco", ".", " Or", " Lima", "Li", "ma"], ["Li", "ma"]),
        ("Lima", ["Lima", "Lima"], ["Lima"]),
        ("Lima", ["Lima", "Lima", "<|im_end|>"], ["Lima"]),
        ("Lima\n", ["Lima", "\n", "\n", "Lima"], ["\n", "\n", "Lima"]),
        ("\u65e5\u672c", ["\ufffd", "\ufffd", "\u672c", "Lima"], ["Lima"]),
        ("Hm", ["Hm", "<|END_THINKING|>", "<|START_RESPONSE|>", "Lima"], ["Lima"]),  # Cohere's
        ("Lima", ["Li", "ma"], ["Li", "ma"]),  # the answer's alone
        ("Lima, or so.", ["Lima", "<|im_end|>"], ["Lima"]),
        ("Li", ["Li", "ma"], ["Li", "ma"]),
        ("Lima? It is Cusco.", ["Lima", "?", " It is [...]", "Lima"], None),
        ("Lima?", ["Lima", "?", "Lim"], None),
    ],
)
@pytest.mark.parametrize("stop", [None, ()])
def test_thoughts_without_a_mark_after_them_are_not_scored_as_the_answer(
    thoughts: str, tokens: list[str], answer: list[str] | None, stop: Sequence[str] | None
) -> None:
    """As of Ollama, which lists the tokens of both and leaves the marks out: a thought may begin with the answer's own
    words, and be surer of them."""
    message = {"content": "Lima", "reasoning": thoughts}
    choice = {"message": message, "logprobs": told(tokens), "finish_reason": "stop"}
    sample = read_reply(choice, alternatives=1, output_tokens=0, stop=stop)
    assert (sample.text, sample.tokens) == ("Lima", answer and tuple(answer))
    last = len(tokens) - (tokens[-1] == "<|im_end|>")
    expected = answer and tuple(-float(i) for i in range(last - len(answer), last))
    assert sample.token_logprobs == expected
    assert len(sample.alternatives or ()) == len(answer or ())


@pytest.mark.parametrize(
    ("tokens", "known"),
    [
        (["Lima", "?", " No", "Lima"], False),
        (["Lima", "\n", "Q", ":"], False),
        (["Lima", "</s>", "<|user|>"], True),
        (["Lima", "\n", "<|im_end|>"], True),
    ],
)
def test_where_nothing_stopped_the_answer_nothing_is_beyond_it(tokens: list[str], known: bool) -> None:
    """But the end of the turn: other tokens are thoughts that the server hides, and which of them are the answer's is
    not known. A stop string may have more."""
    choice = {"message": {"content": "Lima"}, "logprobs": told(tokens), "finish_reason": "stop"}
    for stop in ((), None):
        sample = read_reply(choice, alternatives=1, output_tokens=0, stop=stop)
        assert (
            bool(sample.token_logprobs) == bool(sample.tokens) == bool(sample.alternatives) == (known or stop is None)
        )


@pytest.mark.parametrize(
    ("content", "tokens", "kept"),
    [
        ("Lima", ["Li", "ma", "\n\n", "Question", ":"], 2),  # vLLM and a stop string of several tokens
        ("Lima", ["Li", "ma.", " Or", " Cusco"], 2),  # that begins in a token
        ("Lima", ["Li", "ma", "\n", "<|im_end|>"], 3),  # a server that strips the text
        ("Lima is it", ["Lima", " is"], 2),  # llama-server: as many tokens off as the stop string has
        ("The capital", ["The", "capital", "</s>"], 2),  # tokens without their spaces
        ("The capital", ["\u2581The", "\u2581capital"], 2),
        ("The capital", ["The", "\u0120capital"], 2),
        ("Hi \U0001f642!", ["Hi", " \ufffd", "\ufffd", "!", "<|im_end|>"], 4),  # a character of two tokens
        ("Hi \U0001f642", ["Hi", " \ufffd", "\ufffd", "<|im_end|>"], 3),
        ("\u65e5\u672c", ["\ufffd", "\ufffd", "\u672c", "</s>"], 3),
        ("\U0001f642", ["", "", "\U0001f642"], 3),
        ("Hi \ufffd", ["Hi", " \ufffd"], 2),
        ("Lima", ["<s>", "Li", "<unused5>", "ma", "</s>"], 4),  # tokens that are not shown
        ("<b>Lima</b>", ["<", "b", ">", "Lima", "</", "b", ">"], 7),
        # A character in parts, and once more whole.
        ("\u00e9 \u00e9", ["\ufffd", "\ufffd", " \u00e9", "<|im_end|>"], 3),
        ("\u65e5\u65e5\u672c", ["\ufffd", "\ufffd", "\u65e5", "\u672c"], 4),
        ("\u65e5\u672c\u306e\u65e5", ["\ufffd", "\ufffd", "\u672c", "\u306e"], 4),  # and a stop string off
        ("\u65e5\u65e5\u65e5", ["\ufffd", "\ufffd", "\ufffd", "\ufffd", "\u65e5", "</s>"], 5),
    ],
)
def test_the_tokens_of_an_answer_are_those_that_it_shows(content: str, tokens: list[str], kept: int) -> None:
    """In whatever form an honest server tells them, and none that lies wholly beyond the text."""
    choice = {"message": {"content": content}, "logprobs": told(tokens), "finish_reason": "stop"}
    sample = read_reply(choice, alternatives=1, output_tokens=0)
    assert (sample.text, sample.tokens) == (content, tuple(tokens[:kept]))
    assert sample.token_logprobs == tuple(-float(i) for i in range(kept))
    assert len(sample.alternatives or ()) == kept


@pytest.mark.parametrize(
    "text",
    [
        "[THINK]hm[/THINK]Lima",
        "<thinking>hm</thinking>\nLima",
        "<seed:think>hm</seed:think>Lima",
        "\u25c1think\u25b7hm\u25c1/think\u25b7Lima",
        "<THINK>hm</THINK>Lima",
        "hm</think>\n\nLima",
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Lima",
        "<|channel|>final<|message|>Lima",
        "<thought>hm</thought>Lima",
        "hm\n</thought>\n\nLima",
        "<|begin_of_thought|>\nhm\n<|end_of_thought|>\n\n<|begin_of_solution|>\nLima\n<|end_of_solution|>",
        "hm\n<|end_of_thought|>\n\n<|begin_of_solution|>Lima",
        "<|begin_of_solution|>Lima<|end_of_solution|>",
        "<|channel>thought\nhm<channel|>Lima",
        "<|channel>thought\n<channel|>Lima",
    ],
)
def test_thoughts_have_several_marks(text: str) -> None:
    """Models have each their own, which servers do not always know."""
    assert read_reply({"message": {"content": text}}, alternatives=0, output_tokens=0).text == "Lima"


@pytest.mark.parametrize(
    "text",
    [
        "Write <think> first.",
        "It ends with </think>.",
        "Use `<think>` and\n</think>\nin it",
        "a\n</think> b",
        "Write <thought>hm</thought> first.",
        "Use `<thought>` and\n</thought>\nin it",
        "<thoughts>hm</thoughts>",
        "It writes <|begin_of_thought|>hm<|end_of_thought|> and then <|begin_of_solution|>Lima<|end_of_solution|>",
        "The channel: <|channel>thought\nhm<channel|>.",
        "It ends with <|end_of_solution|>",
    ],
)
def test_an_answer_about_thoughts_is_left_whole(text: str) -> None:
    """Only a leading thought is one."""
    assert read_reply({"message": {"content": text}}, alternatives=0, output_tokens=0).text == text


def said(**more: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": "Lima"}, "finish_reason": "stop", **more}


BODIES: dict[str, dict[str, Any]] = {
    "content of parts without text": {"choices": [{"message": {"content": [{"type": "text"}]}}]},
    "content a number": {"choices": [{"message": {"content": 7}}]},
    "message null": {"choices": [{"message": None}]},
    "choice null": {"choices": [None]},
    "choices a dict": {"choices": {"a": 1}},
    "choices a text": {"choices": "Lima"},
    "usage a text": {"choices": [said()], "usage": "n/a"},
    "tokens a text": {"choices": [said()], "usage": {"prompt_tokens": "7?"}},
    "tokens infinite": {"choices": [said()], "usage": {"completion_tokens": float("inf")}},
    "tool calls of nothing": {"choices": [{"message": {"content": None, "tool_calls": [None]}}]},
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("at_probe", [False, True])
def test_what_is_no_completion_is_an_error_of_the_model(
    connect: Callable[..., ServerEngine], name: str, at_probe: bool
) -> None:
    """Whatever else the JSON is: the router escalates."""

    def reply(request: dict[str, Any]) -> tuple[int, Any]:
        return (200, BODIES[name]) if at_probe or request["messages"] == ASK else takes_all(request)

    with serving(reply, draws=False) as server, pytest.raises(ModelError, match="did not reply with a chat completion"):
        connect(server).generate(ASK, n=1, options=SamplingOptions(max_tokens=8))


def token(**told: Any) -> dict[str, Any]:
    return {"content": [{"token": "Lima", **told}]}


NO_LOGPROBS: dict[str, Any] = {
    "a list": [token(logprob=-0.1)],
    "a text": "n/a",
    "a text within": {"content": "Lima"},
    "an object within": {"content": {"Lima": -0.1}},
    "numbers": {"content": [-0.1]},
    "of no token": {"content": [{"logprob": -0.1}]},
    "without one": token(),
    "null": token(logprob=None),
    "no number": token(logprob="n/a"),
    "not a number": token(logprob=float("nan")),
    "a truth": token(logprob=True),
    "more than certain": token(logprob=0.5),
    "of completions": {"tokens": ["Lima"], "token_logprobs": [-0.1]},
}


@pytest.mark.parametrize("name", NO_LOGPROBS)
def test_logprobs_in_no_form_are_absent(connect: Callable[..., ServerEngine], name: str) -> None:
    """Estimators that need none judge as ever; the others have no signal, and a wrong number is no certainty."""

    def reply(request: dict[str, Any]) -> tuple[int, Any]:
        status, body = takes_all(request)
        for choice in body["choices"]:
            choice["logprobs"] = NO_LOGPROBS[name]
        return status, body

    with serving(reply) as server:
        engine = connect(server)
        (sample,) = engine.generate(ASK, n=1, options=SamplingOptions(max_tokens=8, alternatives=2)).samples
        assert (sample.text, sample.token_logprobs, sample.tokens, sample.alternatives) == ("answer 0", *[None] * 3)
        assert not engine.capabilities().logprobs
        assert Router(engine, estimator=MeanLogprob()).decide(ASK).record.reason == "no_signal"


NO_ALTERNATIVES: dict[str, Any] = {
    "null": [{"token": "Lima", "logprob": None}],
    "no number": [{"token": "Lima", "logprob": "n/a"}],
    "not a number": [{"token": "Lima", "logprob": float("nan")}],
    "more than certain": [{"token": "Lima", "logprob": 0.5}],
    "of no token": [{"logprob": -0.1}],
    "numbers": [-0.1],
    "an object": {"Lima": -0.1},
    "a text": "Lima",
}


@pytest.mark.parametrize("name", NO_ALTERNATIVES)
def test_alternatives_in_no_form_are_absent(name: str) -> None:
    """The tokens' own logprobs stay."""
    choice = {"message": {"content": "Lima"}, "logprobs": token(logprob=-0.1, top_logprobs=NO_ALTERNATIVES[name])}
    sample = read_reply(choice, alternatives=2, output_tokens=1)
    assert (sample.token_logprobs, sample.alternatives) == ((-0.1,), None)


def test_what_is_above_zero_by_rounding_is_zero() -> None:
    """The logprob of a token that is as good as certain."""
    told = token(logprob=1e-6, top_logprobs=[{"token": "Lima", "logprob": 1e-6}])
    sample = read_reply({"message": {"content": "Lima"}, "logprobs": told}, alternatives=1, output_tokens=1)
    assert (sample.token_logprobs, sample.alternatives) == ((0.0,), ((("Lima", 0.0),),))


@pytest.mark.parametrize("told", [[999], ["a"], [-1], "Lima", {"a": 1}])
def test_bytes_that_are_none_are_not_read(told: Any) -> None:
    """The token's text is there, too."""
    choice = {"message": {"content": "Lima"}, "logprobs": token(logprob=-0.1, bytes=told)}
    assert read_reply(choice, alternatives=0, output_tokens=1).tokens == ("Lima",)


@pytest.mark.parametrize(
    "parts",
    [[{"type": "output_text", "text": "Li"}, {"type": "refusal", "refusal": "No."}, {"text": "ma"}], ["Li", "ma"]],
)
def test_parts_of_text_have_several_forms(parts: list[Any]) -> None:
    """That of the Responses API, without a type, or bare."""
    assert read_reply({"message": {"content": parts}}, alternatives=0, output_tokens=0).text == "Lima"


def test_a_content_of_parts_is_their_text() -> None:
    """In one piece; what is no text is none of it."""
    parts: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": []},
        {"type": "text", "text": "Li"},
        {"type": "text", "text": "ma"},
    ]
    assert read_reply({"message": {"content": parts}}, alternatives=0, output_tokens=0).text == "Lima"
