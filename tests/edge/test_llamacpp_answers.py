"""What llama.cpp's answers are put together from: thoughts, fences, JSON of a schema. SmolLM2-135M, for real."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from confroute.edge.llamacpp import LlamaCppEngine
from confroute.edge.server import ServerEngine
from confroute.errors import ModelError, UnsupportedRequestError
from confroute.json_schema import is_valid
from confroute.records import Message, Sample, SamplingOptions
from tests.edge.tool_template import TEMPLATE

pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.real_model

THINKS = """
{%- for m in messages %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' and '</think>' in m.content %}{{ m.content.split('</think>')[-1] }}
{%- else %}{{ m.content }}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking is false %}<think>

</think>

{% else %}<think>
{% endif %}{% endif %}"""
THOUGHT: list[Message] = [{"role": "user", "content": "Say exactly: <think>I ponder</think>Paris"}]
FRANCE: list[Message] = [{"role": "user", "content": "Capital of France as JSON"}]
CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}},
    "required": ["city"],
    "additionalProperties": False,
}
Make = Callable[..., LlamaCppEngine]


@pytest.fixture(scope="module")
def make(small_llamacpp: LlamaCppEngine) -> Make:
    def engine(template: str) -> LlamaCppEngine:
        settings: Any = {"context_tokens": 1024, "parallel": 4, "threads": 1}
        return LlamaCppEngine(small_llamacpp.path, chat_template=template, **settings)

    return engine


@pytest.fixture(scope="module")
def thinking(make: Make) -> LlamaCppEngine:
    return make(THINKS)


def spelled(sample: Sample) -> str:
    assert len(sample.tokens or ()) == len(sample.token_logprobs or ()) == len(sample.alternatives or ())
    return "".join(sample.tokens or ()).strip()


@pytest.mark.parametrize("stop", [(), ("zz",)], ids=["streamed", "in one piece"])
@pytest.mark.parametrize("schema", [None, CITY], ids=["words", "json"])
def test_tokens_are_of_the_answer_and_not_of_the_thought(
    thinking: LlamaCppEngine, stop: tuple[str, ...], schema: dict[str, Any] | None
) -> None:
    """They spell its text, there are none where it has none, and all are counted."""
    options = SamplingOptions(temperature=0.7, max_tokens=60, seed=3, alternatives=2, stop=stop, json_schema=schema)
    samples = thinking.generate(THOUGHT, n=4, options=options).samples
    assert [spelled(sample) for sample in samples] == [sample.text for sample in samples]
    assert {bool(sample.text) for sample in samples} == {True, False}, "thoughts that ended, and some that did not"
    for sample in samples:
        assert (sample.token_logprobs is None) == (not sample.text)
        assert sample.output_tokens > len(sample.tokens or ())


@pytest.mark.parametrize("stop", [(), ("zz",)], ids=["without stop strings", "with one"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_tokens_are_of_the_json_and_not_of_its_fence(
    small_llamacpp: LlamaCppEngine, stop: tuple[str, ...], temperature: float
) -> None:
    """Most models put it into one, which llama.cpp lets them and cuts from the text."""
    options = SamplingOptions(
        max_tokens=60, temperature=temperature, seed=1, alternatives=2, stop=stop, json_schema=CITY
    )
    for sample in small_llamacpp.generate(FRANCE, n=4, options=options).samples:
        assert spelled(sample) == sample.text
        assert sample.text.startswith("{")
        assert sample.output_tokens >= len(sample.tokens or ())


def test_escapes_keep_their_logprobs(small_llamacpp: LlamaCppEngine) -> None:
    """llama.cpp holds their beginning back in a stream, and loses its logprobs."""
    schema = {"type": "string", "pattern": r'^"\n\\$'}
    options = SamplingOptions(max_tokens=40, temperature=0.0, alternatives=1, json_schema=schema)
    (sample,) = small_llamacpp.generate(FRANCE, n=1, options=options).samples
    assert json.loads(sample.text) == '"\n\\'
    assert spelled(sample) == sample.text


def test_tokens_of_a_call_that_has_to_be_made_are_its_own(make: Make) -> None:
    """Not its fence's either; and its arguments keep to a pattern that llama.cpp would not know."""
    arguments = {**CITY, "properties": {**CITY["properties"], "p": {"type": "string", "pattern": r"^\d{2}$"}}}
    tool = {"type": "function", "function": {"name": "weather", "parameters": {**arguments, "required": ["city", "p"]}}}
    options = SamplingOptions(tools=(tool,), must_call=True, max_tokens=80, temperature=0.6, seed=2, alternatives=1)
    for sample in make(TEMPLATE).generate(FRANCE, n=3, options=options).samples:
        (call,) = sample.tool_calls
        said = json.loads(spelled(sample))
        assert (said["name"], said["arguments"]) == (call.name, json.loads(call.arguments))
        assert re.fullmatch(r"\d{2}", said["arguments"]["p"])


@pytest.mark.parametrize(
    "pattern",
    [r"^\d{4}-\d{2}-\d{2}$", r"^[\w.]{2,5}\/$", r"^\(?a\)?$", "^é{3}$", "^a\nb$", r'^"\\{2}$', "^.{3}$", r"^\D\S\W$",
     r"^[ -~]{5}$", r"^(25[0-5]|1?\d?\d)(\.(25[0-5]|1?\d?\d)){3}$", "^(?:ab){2,3}$", r"^[^\s\d]{2}x$"],
)  # fmt: skip
def test_a_pattern_is_kept_to(small_llamacpp: LlamaCppEngine, pattern: str, capfd: Any) -> None:
    """By whatever is said: the escapes that llama.cpp overlooked are written in what it knows."""
    schema = {"type": "string", "pattern": pattern}
    options = SamplingOptions(max_tokens=60, temperature=1.0, seed=1, json_schema=schema)
    for sample in small_llamacpp.generate(FRANCE, n=4, options=options).samples:
        assert is_valid(sample.text, schema), sample.text
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^(?=x)x$"},
        {"type": "string", "pattern": r"^\bfoo\b$"},
        {"type": "string", "pattern": "^(a?){200}b$"},
        {"type": "string", "minLength": 5, "maxLength": 3},
        {"type": "array", "items": {"type": "integer"}, "minItems": 5, "maxItems": 3},
        {"type": "string", "minLength": 100_000},
        {"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 6},
        {"enum": [f"value number {i}" for i in range(5000)]},
    ],
    ids=lambda schema: str(schema)[:60],
)
def test_a_schema_that_is_not_held(small_llamacpp: LlamaCppEngine, schema: dict[str, Any], capfd: Any) -> None:
    """llama.cpp overlooks some, works on others for ever, and writes to stderr what is too much for it."""
    options = SamplingOptions(max_tokens=12, temperature=0.0)
    within: dict[str, Any] = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    with pytest.raises(UnsupportedRequestError, match="cannot hold"):
        small_llamacpp.generate(FRANCE, n=1, options=replace(options, json_schema=within))
    assert capfd.readouterr().err == ""


_BOUNDED = """
import json, resource, sys
from confroute import SamplingOptions
from confroute.edge.llamacpp import LlamaCppEngine
from confroute.edge.server import ServerEngine

resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
engine = LlamaCppEngine(sys.argv[1], context_tokens=512, parallel=4, threads=1)
for schema in json.loads(sys.argv[2]):
    options = SamplingOptions(max_tokens=60, temperature=1.0, seed=1, json_schema=schema)
    (sample,) = engine.generate([{"role": "user", "content": "A number as JSON"}], n=1, options=options).samples
    print(json.dumps([sample.text, sample.finish_reason]), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_any_bounds_of_integers_are_held(small_llamacpp: LlamaCppEngine) -> None:
    """llama.cpp wrote others of those of two digits or more, and worked on those of sixteen for ever, in more and more
    memory, while nobody else was answered."""
    # Of few digits and many, with zeros among them; and those next to what it takes for no bound.
    bounds = [bound for least in (105, 1_600_000_000_000, 2**53) for bound in ({"minimum": least}, {"maximum": -least})]
    bounds += [{"minimum": 2**63 - 8, "maximum": 2**63 - 1}, {"minimum": 10**18, "maximum": 2**64}, {"maximum": -1}]
    schemas: list[dict[str, Any]] = [{"type": "integer", **bound} for bound in bounds]
    schemas.append({"type": "object", "required": ["a"], "properties": {"a": {"type": ["integer"], "minimum": 10**17}}})
    schemas.append({"type": "array", "items": schemas[0], "minItems": 2, "maxItems": 2**32 + 1})
    command = [sys.executable, "-c", _BOUNDED, str(small_llamacpp.path), json.dumps(schemas)]
    done = subprocess.run(command, timeout=120, capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-500:]
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    are_valid = [is_valid(text, schema) for schema, (text, _) in zip(schemas, answers, strict=True)]
    for is_of, schema, (text, finish_reason) in zip(are_valid, schemas, answers, strict=True):
        assert finish_reason == "length" or is_of, (text, schema)
    assert are_valid.count(True) >= len(bounds) - 1


def id_of(schema: dict[str, Any]) -> dict[str, Any]:
    within = {"type": "object", "properties": {"user_id": schema}, "required": ["user_id"]}
    return {**within, "additionalProperties": False}


def asking_for(number: str) -> list[Message]:
    return [{"role": "user", "content": f'Repeat as JSON.\nuser_id: {number}\nLike {{"user_id": {number}}}'}]


TO_63_BITS = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}


@pytest.mark.parametrize(
    ("number", "schema", "ends"),
    [
        ("76561197960265728", {"type": "integer"}, "stop"),
        ("76561197960265728", TO_63_BITS, "stop"),
        ("1700000000123456789", TO_63_BITS, "stop"),
        ("12345678901234567890", {"type": "integer"}, "length"),
        ("76561197960265728", {"type": "number"}, "length"),
        ("76561197960265728", {}, "length"),
        ("765611979", {"type": "number"}, "stop"),
    ],
)
def test_a_long_integer_is_whole_or_counts_as_cut(
    small_llamacpp: LlamaCppEngine, make: Make, number: str, schema: dict[str, Any], ends: str
) -> None:
    """llama.cpp closes a number after its sixteenth digit: the model copies an id, each sample ends in the same place,
    and somebody else is named with confidence."""
    options = SamplingOptions(max_tokens=60, temperature=0.0, json_schema=id_of(schema))
    (sample,) = small_llamacpp.generate(asking_for(number), n=1, options=options).samples
    assert sample.finish_reason == ends
    assert (str(json.loads(sample.text)["user_id"]) == number) == (ends == "stop")
    tool = {"type": "function", "function": {"name": "ban", "parameters": id_of(schema)}}
    options = SamplingOptions(max_tokens=60, temperature=0.0, tools=(tool,), must_call=True)
    question = f'Call {{"name": "ban", "arguments": {{"user_id": {number}}}}}'
    (sample,) = make(TEMPLATE).generate([{"role": "user", "content": question}], n=1, options=options).samples
    (call,) = sample.tool_calls
    assert sample.finish_reason == ("tool_calls" if ends == "stop" else ends)
    assert (str(json.loads(call.arguments)["user_id"]) == number) == (ends == "stop")


@pytest.mark.parametrize(
    ("number", "schema", "ends"),
    [
        ("76561197960265728", {"type": "integer"}, "stop"),
        ("76561197960265728", TO_63_BITS, "stop"),
        ("76561197960265728", {"type": "integer", "minimum": 0, "maximum": 2**63 - 2}, "stop"),
        ("76561197960265728", {}, "length"),
    ],
)
def test_of_llamacpp_behind_a_server_long_integers_are_whole(
    llama_server: tuple[str, str], number: str, schema: dict[str, Any], ends: str
) -> None:
    """It is sent bounds of 63 bits; where none can be, they count as cut."""
    url, key = llama_server
    engine = ServerEngine("m", url, api_key=key)
    options = SamplingOptions(max_tokens=60, temperature=0.0, json_schema=id_of(schema))
    (sample,) = engine.generate(asking_for(number), n=1, options=options).samples
    assert sample.finish_reason == ends
    assert (str(json.loads(sample.text)["user_id"]) == number) == (ends == "stop")


@pytest.mark.parametrize(
    ("number", "schema", "ends"),
    [
        ("76561197960265728", {"type": "integer", "minimum": 0, "maximum": 99999999999999999}, "tool_calls"),
        ("76561197960265728", {"type": "integer"}, "length"),
        ("12345678901234567890", {}, "length"),
    ],
)
def test_so_it_is_in_a_call_of_its_own_accord(make: Make, number: str, schema: dict[str, Any], ends: str) -> None:
    """llama.cpp makes the grammar of the tools then, which the prompt shows: bounds are sent where there is one."""
    arguments = {"type": "object", "properties": {"user_id": schema}, "required": ["user_id"]}
    function = {"name": "ban", "description": "Ban a user", "parameters": arguments}
    tool = {"type": "function", "function": function}
    options = SamplingOptions(max_tokens=300, temperature=0.0, tools=(tool,))
    call = f'<tool_call>\n{{"name": "ban", "arguments": {{"user_id": {number}}}}}\n</tool_call>'
    question: list[Message] = [{"role": "user", "content": f"Repeat this:\n{call}"}]
    (sample,) = make(TEMPLATE).generate(question, n=1, options=options).samples
    assert sample.output_tokens < options.max_tokens
    assert sample.finish_reason == ends
    told = {str(json.loads(each.arguments)["user_id"]) for each in sample.tool_calls}
    assert told == {number if ends == "tool_calls" else number[:16]}


@pytest.mark.parametrize(
    ("messages", "kind", "words"),
    [
        ([{"role": "user", "content": "half \ud83d"}], ModelError, "invalid_request_error"),
        ([*FRANCE, {"role": "assistant", "content": "The"}], UnsupportedRequestError, "that a message begins"),
    ],
    ids=["half a character", "begun"],
)
def test_a_schema_is_not_blamed_for_the_messages(
    small_llamacpp: LlamaCppEngine, messages: list[Message], kind: type[Exception], words: str
) -> None:
    """What is refused without the schema, too, is no lack of llama.cpp, and told as what it is."""
    options = SamplingOptions(max_tokens=12, json_schema=CITY)
    with pytest.raises(kind, match=words):
        small_llamacpp.generate(messages, n=1, options=options)


@pytest.mark.parametrize("items", [{"type": "integer"}, CITY, {"enum": ["a", "b", 3, None]}, {"anyOf": [CITY, CITY]}])
@pytest.mark.parametrize("most", [900, 2000])
def test_arrays_may_be_long(small_llamacpp: LlamaCppEngine, items: dict[str, Any], most: int, capfd: Any) -> None:
    """llama.cpp wrote the schema of one of up to 2,000 items to stderr, and refused it."""
    schema = {"type": "array", "items": items, "maxItems": most}
    options = SamplingOptions(max_tokens=8, temperature=0.0, json_schema=schema)
    assert small_llamacpp.generate(FRANCE, n=1, options=options).samples
    assert capfd.readouterr().err == ""
