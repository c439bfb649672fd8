"""What a choice says: the answer, and its own tokens, without thoughts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from confroute.edge.replies import read_reply, read_whole


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
        ({"content": "Lima", "reasoning_content": "Hmm", "reasoning": "Hmm\n"}, ["Hm", "m", "Li", "ma"]),
    ],
)
def test_thoughts_are_no_part_of_the_answer(message: dict[str, Any], tokens: list[str]) -> None:
    """Neither in its text nor in its logprobs, which would measure them; they are paid for all the same."""
    choice = {"message": message, "logprobs": told(tokens), "finish_reason": "stop"}
    sample = read_reply(choice, alternatives=1, output_tokens=0)
    assert sample.text == "Lima"
    assert sample.tokens is not None
    assert "".join(sample.tokens) == "Lima"  # the space before it is as good as certain
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
    assert (sample.tokens, sample.token_logprobs) == (("Li", "ma"), (-6.0, -7.0))
    assert sample.output_tokens == len(THOUGHT)


def test_a_character_of_two_tokens_costs_no_answer_its_logprobs() -> None:
    """Its parts spell it by their bytes, in the thought as in the answer."""
    logprobs = told(["\ufffd", "\ufffd", "</think>", "\ufffd", "\ufffd"])
    for token, part in zip(logprobs["content"], (b"\xf0\x9f", b"\x99\x82", b"</think>") * 2, strict=False):
        token["bytes"] = list(part)
    choice = {"message": {"content": "\U0001f642", "reasoning": "\U0001f642"}, "logprobs": logprobs}
    sample = read_reply(choice, alternatives=1, output_tokens=0)
    assert (sample.tokens, sample.token_logprobs) == (("", "\U0001f642"), (-3.0, -4.0))


def test_a_space_with_the_first_part_of_a_character_is_of_the_answer() -> None:
    """What it begins may be anything: it is no white space after the thought, as the token before it is."""
    parts = [b"Hm", b"</think>", b"\n\n", b" \xc3", b"\xa9", b"t", b"\xc3\xa9"]
    logprobs = told([part.decode(errors="replace") for part in parts])
    for token, part in zip(logprobs["content"], parts, strict=True):
        token["bytes"] = list(part)
    choice = {"message": {"content": "\u00e9t\u00e9", "reasoning": "Hm"}, "logprobs": logprobs}
    for stop in (None, (), ("\n",)):
        sample = read_reply(choice, alternatives=1, output_tokens=0, stop=stop)
        assert (sample.tokens, sample.token_logprobs) == (("", " \u00e9", "t", "\u00e9"), (-3.0, -4.0, -5.0, -6.0))


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
    ("tokens", "stop", "known"),
    [
        (["Lima"], (), False),
        (["Lima", " is the capital of"], (), False),
        (["Lima", " is the capital of", " Per"], (), False),
        (["Lima", " is the capital of", " Pe", "ru"], (), True),
        (["Lima", " is the capital of", " Peru."], (), True),
        (["Lima"], ("\n",), False),
        (["Lima"], ("\n", "Question:"), False),
        (["Lima", " is the capital of"], ("\n",), True),
        (["Lima", " is the"], ("\n", "Question:"), True),
        (["Lima"], None, True),
    ],
)
def test_the_beginning_of_an_answer_is_not_the_whole(
    tokens: list[str], stop: Sequence[str] | None, known: bool
) -> None:
    """Its logprobs would pass for those of all of it; but llama-server takes as many tokens off the end as its stop
    string has, where nothing else is lacking."""
    choice = {"message": {"content": "Lima is the capital of Peru"}, "logprobs": told(tokens), "finish_reason": "stop"}
    sample = read_reply(choice, alternatives=1, output_tokens=0, stop=stop)
    assert bool(sample.token_logprobs) == bool(sample.tokens) == bool(sample.alternatives) == known


@pytest.mark.parametrize(
    ("tokens", "known"),
    [
        (["Li", "ma", "\n\n", "Question", ":"], True),
        (["Li", "ma", "\n\nQuestion: Why"], True),  # the token that it ends in goes on
        (["Li", "ma", " EN", "D", "<|im_end|>"], True),
        (["Li", "ma", "\n\n", "Question", ":", " What", " is"], True),  # drawn several at a time
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
        ("Lima", [*THOUGHT, "<|im_end|>"], ["Li", "ma"]),  # vLLM with include_reasoning=false
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
        ("Lima\n", ["Lima", "\n", "\n", "Lima"], ["Lima"]),
        ("Hm", ["Hm", "\u010a\u010a", "\u0120", "Lima"], ["Lima"]),
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


@pytest.mark.parametrize("answer", [["Lima"], ["<b>", "Lima", "</b>"]])
def test_thousands_of_marks_after_a_thought_are_read_at_once(answer: list[str]) -> None:
    """As of a server that pads: all engines' requests wait for who reads. Those that the answer has are its own."""
    message = {"content": "".join(answer), "reasoning": "Hm"}
    choice = {"message": message, "logprobs": told(["Hm", *["<pad>"] * 2000, *answer]), "finish_reason": "stop"}
    begun = time.process_time()
    sample = read_reply(choice, alternatives=0, output_tokens=0, stop=())
    assert time.process_time() - begun < 1
    assert sample.tokens == tuple(answer)


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
