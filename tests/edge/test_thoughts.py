"""Thoughts on torch within other marks than <think>: each family's own, which its tokenizer does not tell."""

from __future__ import annotations

from typing import Any

import pytest

from confroute.edge.answers import Answer
from confroute.edge.chat_format import ChatFormat
from confroute.records import Message, Sample, SamplingOptions
from confroute.tools import Tool

pytest.importorskip("tokenizers")
pytest.importorskip("transformers")

from tests.edge.test_chat_format import tokenizer
from tests.edge.tool_template import TEMPLATE

ASK: list[Message] = [{"role": "user", "content": "What is the capital?"}]
WEATHER: Tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
HARMONY = (
    "{% for m in messages %}<|start|>{{ m['role'] }}"
    "{{ '<|channel|>final' if m['role'] == 'assistant' }}<|message|>{{ m['content'] }}<|end|>{% endfor %}"
    "<|start|>assistant{# <|channel|>analysis<|message|> #}"
)
MISTRAL = "{% for m in messages %}[INST]{{ m['content'] }}[/INST]{% endfor %}{# [THINK] [/THINK] #}"
GEMMA = (
    "{% for m in messages %}<|turn>{{ m['content'].split('<channel|>')[-1] }}<turn|>\n{% endfor %}"
    "{{ '<|turn>model\\n' }}"
)
FORMS = {
    "gpt-oss": (HARMONY, ("<|start|>", "<|channel|>", "<|message|>", "<|end|>")),
    "Magistral": (MISTRAL, ("[INST]", "[/INST]", "[THINK]", "[/THINK]")),
    "Gemma 4": (GEMMA, ("<turn|>", "<|turn>", "<|channel>", "<channel|>")),
    "EXAONE Deep": ("{{ messages[0]['content'] }}[|assistant|]{{ '<thought>\\n' }}", ("<thought>", "</thought>")),
    "Seed, with calls": (TEMPLATE + "{# <seed:think> #}", ("<seed:think>", "</seed:think>", "<|im_start|>")),
}
JSON = SamplingOptions(json_schema={"type": "string"})


def form(name: str) -> ChatFormat:
    """The marks are special tokens, which plain decoding leaves out."""
    template, marks = FORMS[name]
    made = tokenizer(template)
    made.add_special_tokens({"additional_special_tokens": [*marks]})
    return ChatFormat(made, name)


def answered(name: str, text: str, options: SamplingOptions | None = None) -> Sample:
    """What is read of a model that writes *text*, each token less likely than the one before."""
    options = options or SamplingOptions()
    chat = form(name)
    answer = Answer()
    answer.tokens = chat._tokenizer(text, add_special_tokens=False)["input_ids"]
    answer.logprobs = [-float(i) for i in range(len(answer.tokens))]
    return chat.read(answer.sample(chat.continued, ()), chat.encode(ASK, options), options)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("gpt-oss", "<|channel|>analysis<|message|>A?<|end|><|start|>assistant<|channel|>final<|message|>B.", "B."),
        ("gpt-oss", "<|channel|>final<|message|>B.", "B."),
        ("gpt-oss", "<|channel|>analysis<|message|>A? B.", ""),
        ("Magistral", "[THINK]A? B.[/THINK]B.", "B."),
        ("Magistral", "[THINK]A? B.", ""),
        ("Magistral", "B.", "B."),
        ("Gemma 4", "<|channel>thought\nA?\n<channel|>B.", "B."),
        ("Gemma 4", "<|channel>thought\nA?", ""),
        ("EXAONE Deep", "A? B.\n</thought>\n\nB.", "B."),
        ("EXAONE Deep", "A?</thought>B.", "B."),
        ("EXAONE Deep", "A? B.", ""),
    ],
)
def test_a_thought_within_a_family_s_own_marks_is_no_part_of_the_answer(name: str, text: str, expected: str) -> None:
    """Nor are its tokens; one that never ended is no answer. EXAONE's template begins it."""
    sample = answered(name, text)
    assert sample.text == expected
    assert sample.tokens == (tuple(expected) or None)
    count = sample.output_tokens
    logprobs = tuple(-float(count - len(expected) + i) for i in range(len(expected)))
    assert sample.token_logprobs == (logprobs or None)


@pytest.mark.parametrize(
    ("name", "thought", "mark", "end"),
    [
        ("gpt-oss", "<|channel|>final<|message|>", "<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
        ("Magistral", "", "[THINK]", "[/THINK]"),
        ("Magistral", "[THINK]A?[/THINK]", "[THINK]", "[/THINK]"),
        ("Gemma 4", "", "<|channel>thought", "<channel|>"),
        ("EXAONE Deep", "A?\n</thought>\n\n", "<thought>", "</thought>"),
        ("Seed, with calls", "", "<seed:think>", "</seed:think>"),
        ("Seed, with calls", "", "<think>", "</think>"),
    ],
)
@pytest.mark.parametrize("named", ["{} begins a thought.", "{} begins and {} ends it.", "{}\n{}\nare marks."])
def test_such_marks_in_the_middle_of_an_answer_are_words(
    name: str, thought: str, mark: str, end: str, named: str
) -> None:
    """It only names them."""
    text = f"So: {named.format(mark, end)}"
    assert answered(name, thought + text).text == text


def test_a_call_after_such_a_thought_is_read() -> None:
    """Which tokens are the call's is not told then; what the thought considers to call is none."""
    options = SamplingOptions(tools=(WEATHER,))
    call = '<tool_call>{"name": "weather", "arguments": {}}</tool_call>'
    sample = answered("Seed, with calls", f"<seed:think>{call}?</seed:think>{call}", options)
    assert [each.name for each in sample.tool_calls] == ["weather"]
    assert sample.tokens is sample.token_logprobs is None
    assert answered("Seed, with calls", call, options).tokens == tuple(call)
    assert answered("Seed, with calls", f"<seed:think>{call}", options).is_empty


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("gpt-oss", "<|start|>assistant<|channel|>final<|message|>"),
        ("EXAONE Deep", "[|assistant|]<thought>\n\n</thought>\n\n"),
        ("Magistral", "[/INST]"),
        ("Gemma 4", "<|turn>model\n"),
    ],
)
def test_a_schema_s_answer_has_no_such_thought(name: str, end: str) -> None:
    """It is held to the schema from its first token on; what the template begins, or the model would, is passed."""
    chat = form(name)
    assert chat.decode(chat.encode(ASK, JSON)).endswith(end)
    assert answered(name, '"[THINK]"', JSON).text == '"[THINK]"'


def test_a_forced_call_has_no_such_thought() -> None:
    """It begins where the thought would end."""
    options = SamplingOptions(tools=(WEATHER,), must_call=True)
    made: Any = tokenizer(TEMPLATE + "{{ '<|begin_of_thought|>\\n' }}")
    chat = ChatFormat(made, "m")
    assert chat.decode(chat.encode(ASK, options)).endswith("thought|>\n\n<|end_of_thought|>\n\n<tool_call>\n")
