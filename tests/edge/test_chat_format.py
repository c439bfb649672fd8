"""Prompts and answers on torch: what a chat template writes, and what is read of a model's own words."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute import ModelError, UnsupportedRequestError
from confroute.edge.chat_format import ChatFormat
from confroute.records import Message, Sample, SamplingOptions, ToolCall
from confroute.tools import as_openai
from tests.edge.tool_template import TEMPLATE

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
TOOLS = SamplingOptions(tools=(WEATHER,))
ASK: list[Message] = [{"role": "user", "content": "Is it raining?"}]


def tokenizer(template: str | None = TEMPLATE, **settings: Any) -> Any:
    """One of bytes, so that any text survives."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    raw = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={byte: i for i, byte in enumerate(alphabet)}, merges=[]))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = tokenizers.decoders.ByteLevel()
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, **settings)
    made.chat_template = template
    return made


COMMON = ChatFormat(tokenizer(), "m")
THINKING = ChatFormat(tokenizer(TEMPLATE + "{# <think> #}"), "m")


def read(form: ChatFormat, text: str, before: str = "", options: SamplingOptions = TOOLS) -> Sample:
    prompt = form._tokenizer(before, add_special_tokens=False)["input_ids"]
    return form.read(Sample(text=text), prompt, options)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5),
        st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9), st.lists, max_leaves=4),
        max_size=3,
    )
)
def test_a_call_that_the_template_writes_is_read_as_it_was(arguments: dict[str, Any]) -> None:
    """Written into the prompt as an earlier turn and cut out there, it is the same call."""
    if "</tool_call>" in json.dumps(arguments) or "<tool_call>" in json.dumps(arguments):
        return  # the form has no way to say it
    call = ToolCall(name="weather", arguments=json.dumps(arguments))
    turn: Message = {"role": "assistant", "content": "", "tool_calls": [{"id": "1", **as_openai(call)}]}
    prompt = COMMON.decode(COMMON.encode([*ASK, turn], TOOLS))
    written = prompt.rsplit("<|im_start|>assistant\n", 2)[1].removesuffix("<|im_end|>\n")
    (again,) = read(COMMON, written).tool_calls
    assert (again.name, json.loads(again.arguments)) == ("weather", arguments)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No.", ("No.", ())),
        ('Hm.\n<tool_call>\n{"name": "a", "arguments": {"x": 1}}\n</tool_call>', ("Hm.", (("a", '{"x": 1}'),))),
        (
            '<tool_call>{"name": "a", "arguments": {}}</tool_call>\n<tool_call>{"name": "b"}</tool_call>',
            ("", (("a", "{}"), ("b", "{}"))),
        ),
        ('<tool_call>[{"name": "a"}, {"name": "b"}]</tool_call>', ("", (("a", "{}"), ("b", "{}")))),
        ('<tool_call>\n{"name": "a", "argu', ("", (("", '<tool_call>\n{"name": "a", "argu'),))),
        ("<tool_call>a</tool_call>", ("", (("", "<tool_call>a</tool_call>"),))),
        ("<tool_call>3</tool_call>", ("", (("", "{}"),))),
        ('<tool_call>{"name": 3}</tool_call>', ("", (("", "{}"),))),
        ('<tool_call>{"name": "a", "parameters": {"x": 1}}</tool_call>', ("", (("a", '{"x": 1}'),))),
        ('<tool_call>{"name": "a", "arguments": {}, "id": "1"}</tool_call>', ("", (("a", "{}"),))),
        ('<tool_call>{"name": "a", "args": {"x": 1}}</tool_call>', ("", (("", '{"args": {"x": 1}}'),))),
        ('<tool_call>{"name": "a", "x": 1}</tool_call>', ("", (("", '{"x": 1}'),))),
        (
            '<tool_call>{"name": "a", "arguments": {"x": 1}, "parameters": {"x": 2}}</tool_call>',
            ("", (("", '{"arguments": {"x": 1}, "parameters": {"x": 2}}'),)),
        ),
        (
            'First.\n<tool_call>{"name": "a"}</tool_call>\nThen.\n<tool_call>{"name": "b"}</tool_call>\n',
            ("First.\nThen.", (("a", "{}"), ("b", "{}"))),
        ),
        ("It is 4.\n<tool_call>\n[]\n</tool_call>\nNo more is needed.", ("It is 4.\nNo more is needed.", ())),
    ],
)
def test_calls_are_told_apart_from_words(text: str, expected: Any) -> None:
    """One after the other or in a list; one that cannot be read has no name, so that it is not served as words. Words
    around several calls are all kept."""
    sample = read(COMMON, text)
    assert (sample.text, tuple((call.name, call.arguments) for call in sample.tool_calls)) == expected
    assert sample.finish_reason == ("tool_calls" if sample.tool_calls else "stop")


@pytest.mark.parametrize(
    ("before", "text", "expected"),
    [
        ("assistant\n", "<think>\nWell.\n</think>\n\nNo.", "No."),
        ("assistant\n<think>\n", "Well.\n</think>\n\nNo.", "No."),
        ("assistant\n", "<think>\nWell, it m", ""),
        ("assistant\n", "No.", "No."),
    ],
)
def test_thoughts_are_no_part_of_the_answer(before: str, text: str, expected: str) -> None:
    """Begun by the model or by the prompt, and ended or not: samples that think otherwise may still agree."""
    assert read(THINKING, text, before, SamplingOptions()).text == expected


@pytest.mark.parametrize(
    "text",
    [
        "The tag <think> begins a thought, and Paris is in France.",
        "Write <think> first and </think> last in thoughts.",
        "Use:\n<think>\n",
    ],
)
@pytest.mark.parametrize(
    ("before", "thought"),
    [("assistant\n", ""), ("assistant\n", "\n<think>\nok\n</think>\n\n"), ("assistant\n<think>\n", "ok\n</think>\n\n")],
)
def test_marks_that_an_answer_only_names_are_words(before: str, thought: str, text: str) -> None:
    """A thought is what an answer begins with: words from a mark on would be lost, and the rest served as sure."""
    assert read(THINKING, thought + text, before, SamplingOptions()).text == text.strip()


CUTTING = "{% for m in messages %}{{ m['content'].split('</think>')[-1] }}{% endfor %}"


@pytest.mark.parametrize(("text", "expected"), [("<think>\nLyon?\n</think>\n\nParis.", "Paris."), ("<think>\nLyo", "")])
def test_a_template_that_only_cuts_thoughts_out_is_one_of_a_model_that_thinks(text: str, expected: str) -> None:
    """DeepSeek-R1's begins none: the model does itself, and the template names only the mark of the end."""
    form = ChatFormat(tokenizer(CUTTING), "m")
    assert read(form, text, options=SamplingOptions()).text == expected


def read_tokens(form: ChatFormat, text: str, before: str = "assistant\n") -> Sample:
    """What is read of an answer of a token for each character."""
    prompt = form._tokenizer(before, add_special_tokens=False)["input_ids"]
    said = Sample(
        text=text.strip(),
        tokens=tuple(text),
        token_logprobs=tuple(-float(i) for i in range(len(text))),
        alternatives=tuple(((character, 0.0),) for character in text),
        output_tokens=len(text),
    )
    return form.read(said, prompt, TOOLS)


@pytest.mark.parametrize(
    ("before", "text", "expected"),
    [
        ("assistant\n", "<think>A, or B?</think>\n\nB", "B"),
        ("assistant\n<think>\n", "B? A? A\n</think>\nA", "A"),
        ("assistant\n", "<think>No.</think>No.\n", "No."),
        ("assistant\n", "<think>No. No", ""),
        ("assistant\n", "No: <think> opens, </think> ends.", "No: <think> opens, </think> ends."),
        ("assistant\n", " No.\n", " No.\n"),
    ],
)
def test_the_tokens_of_thoughts_are_no_part_of_the_answer(before: str, text: str, expected: str) -> None:
    """They are as sure of what is only considered; none are told where they are not those of the answer alone."""
    sample = read_tokens(THINKING, text, before)
    first = text.rindex(expected) if expected else 0
    assert sample.tokens == (tuple(expected) or None)
    assert sample.token_logprobs == (tuple(-float(first + i) for i in range(len(expected))) or None)
    assert sample.alternatives == (tuple(((character, 0.0),) for character in expected) or None)
    assert sample.output_tokens == len(text)


def test_the_tokens_of_a_call_are_told_where_nothing_was_thought_before_it() -> None:
    """Which of them are the call's, its arguments do not say."""
    call = '<tool_call>{"name": "a", "arguments": {}}</tool_call>'
    assert read_tokens(THINKING, call).tokens == tuple(call)
    thought = read_tokens(THINKING, f"<think>a or b?</think>{call}")
    assert thought.tool_calls
    assert thought.tokens is thought.token_logprobs is thought.alternatives is None


def test_marks_of_no_meaning_to_a_model_are_words() -> None:
    """To a model whose template has no calls, the text is what it is."""
    plain = ChatFormat(tokenizer("{{ messages[0].content }}"), "m")
    assert read(plain, "<tool_call>3</tool_call>", options=SamplingOptions()).text == "<tool_call>3</tool_call>"


def test_a_response_template_of_the_tokenizer_s_own_prevails() -> None:
    """Models of other forms say so."""
    own = {
        "start_anchor": "assistant\n",
        "fields": {
            "tool_calls": {
                "open_pattern": r"CALL (?P<name>\w+) ",
                "close": ";",
                "repeats": True,
                "content": "json",
                "transform": {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}},
            },
            "content": {"content": "text"},
        },
    }
    made = tokenizer()
    made.response_template = own
    sample = read(ChatFormat(made, "m"), 'CALL a {"x": 1};', "user\n?assistant\n")
    assert sample.tool_calls == (ToolCall(name="a", arguments='{"x": 1}'),)
    with pytest.raises(UnsupportedRequestError, match="begun"):
        ChatFormat(made, "m").encode(ASK, SamplingOptions(tools=(WEATHER,), must_call=True))


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages[0].content }}",
        "{{ messages[0].content }}{# <tool_call> #}",
        TEMPLATE.replace("tool_call>", "function>"),
        TEMPLATE + "{# <think> <function= #}",
    ],
    ids=["none", "shows no tools", "calls of an unknown form", "calls in XML"],
)
def test_a_template_without_tools_is_told(template: str) -> None:
    """Its model would never learn of them, or its calls could not be read."""
    form = ChatFormat(tokenizer(template), "m")
    result: Message = {"role": "tool", "content": "no"}
    for messages, options in ((ASK, TOOLS), ([*ASK, result], SamplingOptions())):
        with pytest.raises(UnsupportedRequestError, match="does not show tools"):
            form.encode(messages, options)
    assert form.encode(ASK, SamplingOptions())


def test_an_older_transformers_reads_no_answers() -> None:
    """Its tokenizers cannot; the model answers as before, and tools are the cloud's."""

    def parse_response(response: str, schema: Any = None) -> Any:
        raise AssertionError("It is not to be asked.")

    old = tokenizer(TEMPLATE + "{# <think> #}")
    old.parse_response = parse_response
    form = ChatFormat(old, "m")
    assert read(form, "<think>No.", options=SamplingOptions()).text == "<think>No."
    with pytest.raises(UnsupportedRequestError, match="cannot read its calls"):
        form.encode(ASK, TOOLS)


def test_a_call_that_has_to_be_made_is_begun() -> None:
    """After a thought that the template begins, which is then empty."""
    must = SamplingOptions(tools=(WEATHER,), must_call=True)
    assert COMMON.decode(COMMON.encode(ASK, must)).endswith("<|im_start|>assistant\n<tool_call>\n")
    thought = ChatFormat(tokenizer(TEMPLATE + "{{ '<think>\\n' }}"), "m")
    assert thought.decode(thought.encode(ASK, must)).endswith("<think>\n\n</think>\n\n<tool_call>\n")
    assert read(COMMON, '{"name": "weather", "arguments": {}}', options=must).tool_calls[0].name == "weather"
    assert read(COMMON, '{"name": "wea', options=must).tool_calls == (ToolCall(name="", arguments='{"name": "wea'),)


def test_json_is_no_thought() -> None:
    """An answer that is held to a schema from its first token on has none, and marks in it are its own; a thought that
    the template begins is empty then."""
    options = SamplingOptions(json_schema={"type": "string"})
    thought = ChatFormat(tokenizer(TEMPLATE + "{{ '<think>\n' }}"), "m")
    prompt = thought.decode(thought.encode(ASK, options))
    assert prompt.endswith("<think>\n\n</think>\n\n")
    text = '"<think>a</think> or <tool_call>"'
    for before in (prompt, "assistant\n"):
        assert read(thought, text, before, options) == Sample(text=text)


# As those of SmolVLM and of LLaVA: of a text that is not in parts they write nothing, and raise no error.
SEEING = """{% for m in messages %}{{ m['role'] }}:{% for part in m['content'] %}{% if part['type'] == 'text' %}
{{- part['text'] }}{% endif %}{% endfor %};{% endfor %}"""


@pytest.mark.parametrize("refuses", [False, True])
def test_a_template_that_shows_only_parts_is_given_them(refuses: bool) -> None:
    """The model would be asked nothing. Contents that are no text stay as they are."""
    template = "{% if messages[0]['content'] is string %}{{ raise_exception('no') }}{% endif %}" if refuses else ""
    form = ChatFormat(tokenizer(template + SEEING), "m")
    told: list[Message] = [{"role": "system", "content": "Be short."}, *ASK]
    assert form.decode(form.encode(told, SamplingOptions())) == "system:Be short.;user:Is it raining?;"
    told[1] = {"role": "user", "content": [{"type": "text", "text": "And now?"}]}
    assert form.decode(form.encode(told, SamplingOptions())) == "system:Be short.;user:And now?;"


# As that of Perception-LM, and of others that write parts only where images may be.
USER_IN_PARTS = """{% for m in messages %}{{ m['role'] }}:{% if m['role'] == 'user' %}{% for part in m['content'] %}
{{- part['text'] }}{% endfor %}{% elif m['role'] in roles %}{{ m['content'] | trim }}{% else %}
{{- m['content'][0]['text'] }}{% endif %};{% endfor %}"""
CALLING: Message = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
}


@pytest.mark.parametrize("roles", [(), ("system",), ("assistant", "tool"), ("system", "assistant", "tool")])
@pytest.mark.parametrize(
    "turns", [[("system", "Be short."), ("user", "A?"), ("assistant", "B."), ("user", "C?")], [("user", "A?")]]
)
def test_each_role_is_given_the_form_that_the_template_shows(roles: Any, turns: list[tuple[str, str]]) -> None:
    """A role that is written as text is not given a list, which the model would read as Python writes it."""
    form = ChatFormat(tokenizer(f"{{% set roles = {list(roles)} %}}{USER_IN_PARTS}"), "m")
    told: list[Message] = [{"role": role, "content": content} for role, content in turns]
    expected = "".join(f"{role}:{content};" for role, content in turns)
    assert form.decode(form.encode(told, SamplingOptions())) == expected


@pytest.mark.parametrize("roles", [["assistant"], ["assistant", "tool"]])
def test_the_form_of_a_tool_s_result_is_found_after_a_call(roles: list[str]) -> None:
    """Templates refuse one that nothing called for."""
    refusing = "{% if messages[0]['role'] == 'tool' %}{{ raise_exception('no call') }}{% endif %}"
    form = ChatFormat(tokenizer(f"{{% set roles = {roles} %}}{refusing}{USER_IN_PARTS}"), "m")
    told = [*ASK, CALLING, {"role": "tool", "tool_call_id": "1", "content": "no"}]
    assert form._rendered(told, ()) == "user:Is it raining?;assistant:;tool:no;"


def test_parts_written_as_json_are_not_shown() -> None:
    """The model would read the braces."""
    as_json = "{{ m['content'] | tojson if m['content'] is not string else '' }}"
    template = USER_IN_PARTS.replace("{{ m['content'] | trim }}", as_json)
    form = ChatFormat(tokenizer(f"{{% set roles = ['system'] %}}{template}"), "m")
    told: list[Message] = [{"role": "system", "content": "Be short."}, *ASK]
    assert form._rendered(told, ()) == "system:;user:Is it raining?;"


def test_a_template_that_shows_the_user_s_text_is_tried_once() -> None:
    """As nearly all are: other roles need no trial of their own."""
    made = tokenizer("{% for m in messages %}{{ m['content'] }};{% endfor %}")
    written, apply = list[int](), made.apply_chat_template

    def counted(messages: Any, **options: Any) -> str:
        written.append(1)
        return apply(messages, **options)

    made.apply_chat_template = counted
    form = ChatFormat(made, "m")
    told: list[Message] = [{"role": "system", "content": "Be short."}, *ASK, {"role": "assistant", "content": "No."}]
    for _ in range(2):
        assert form.decode(form.encode(told, SamplingOptions())) == "Be short.;Is it raining?;No.;"
    assert len(written) == 3


def test_a_template_that_shows_texts_is_given_texts() -> None:
    """Though it shows parts, too, in its own way."""
    form = ChatFormat(tokenizer("{% for m in messages %}{{ m['content'] }};{% endfor %}"), "m")
    assert form.decode(form.encode(ASK, SamplingOptions())) == "Is it raining?;"


def test_messages_that_the_template_refuses_are_a_model_error() -> None:
    """Told without quoting them."""
    form = ChatFormat(tokenizer("{{ raise_exception('no system message: ' + messages[0].content) }}"), "m")
    with pytest.raises(ModelError, match="refused the messages") as caught:
        form.encode(ASK, SamplingOptions())
    assert "raining" not in str(caught.value)
    with pytest.raises(ModelError, match=r"has no chat template.* give the engine its chat_template"):
        ChatFormat(SimpleNamespace(chat_template=None), "m").encode(ASK, SamplingOptions())


def beyond_the_weights() -> ChatFormat:
    """Of a tokenizer that was added tokens to, as [PAD], and a model that has no place for them."""
    made = tokenizer("{{ messages[0].content }}")
    size = len(made)
    made.add_special_tokens({"pad_token": "[PAD]"})
    made.add_tokens(["<secret>"])
    return ChatFormat(made, "m", vocabulary=size)


def test_a_token_that_the_model_has_no_place_for_is_read_as_text() -> None:
    """It would fail there, or on a GPU take the process's context along."""
    form = beyond_the_weights()
    ids = form.encode([{"role": "user", "content": "a[PAD]b[PAD]"}], SamplingOptions())
    assert [form.decode([each]) for each in ids] == list("a[PAD]b[PAD]")


def test_a_token_that_is_in_no_other_way_text_is_refused() -> None:
    """In words that do not quote the message."""
    with pytest.raises(UnsupportedRequestError, match="no place for") as caught:
        beyond_the_weights().encode([{"role": "user", "content": "a<secret>b"}], SamplingOptions())
    assert "secret" not in str(caught.value)
