"""Equivalence of JSON answers and tool calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.equivalence import Equivalence, ExactEquivalence, StructuredEquivalence

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.0, 1.0, -0.5]), st.text("ab 1", max_size=2)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
structures = st.lists(values, max_size=3) | st.dictionaries(st.sampled_from("abc"), values, max_size=3)


def same(a: str, b: str, *, ordered: bool = True) -> bool:
    return StructuredEquivalence(ordered=ordered).same([(a, b)], question="")[0]


def similarity(a: str, b: str, *, ordered: bool = True) -> float:
    return StructuredEquivalence(ordered=ordered).similarity([(a, b)], question="")[0]


def plain(value: Any) -> Any:
    """*value* with the types that JSON tells apart and Python does not, keys sorted."""
    if isinstance(value, dict):
        return {"object": [[key, plain(value[key])] for key in sorted(value)]}
    if isinstance(value, list):
        return [plain(element) for element in value]
    if isinstance(value, bool) or value is None:
        return repr(value)
    return value.strip() + "'" if isinstance(value, str) else float(value)


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(element) for element in value] if isinstance(value, list) else value


@given(structures, structures)
def test_json_is_the_same_exactly_when_its_values_are(a: Any, b: Any) -> None:
    """Against the values compared plainly, whatever the white space and the order of keys."""
    assert same(json.dumps(a), json.dumps(b)) == (plain(a) == plain(b))
    assert same(json.dumps(a), json.dumps(reversed_keys(a), indent=3))


@given(structures, structures, st.booleans())
def test_similarity_is_1_exactly_where_same(a: Any, b: Any, ordered: bool) -> None:
    """The share of equal leaves is whole for the same values and for no others."""
    share = similarity(json.dumps(a), json.dumps(b), ordered=ordered)
    assert 0 <= share <= 1
    assert (share == 1) == same(json.dumps(a), json.dumps(b), ordered=ordered)


@given(st.lists(values, max_size=4), st.randoms(use_true_random=False))
def test_unordered_arrays_are_multisets(elements: list[Any], random: Any) -> None:
    """A shuffled array is the same at every depth, one with an element more is not."""
    shuffled = random.sample(elements, len(elements))
    assert same(json.dumps({"a": [elements]}), json.dumps({"a": [shuffled]}), ordered=False)
    assert not same(json.dumps(elements), json.dumps([*shuffled, *elements[:1], 7]), ordered=False)


SAME = [
    ('{"a": 1}', '{"a":1.0}'),
    ('{"a": 100}', '{"a": 1e2}'),
    ('{"a": 0}', '{"a": -0.0}'),
    ('{"a": "x "}', '{"a": "x"}'),
    ('{"a": "\\u00e9"}', '{"a": "e\\u0301"}'),
    ('{"a": 1}', '```json\n{"a": 1}\n```'),
    ('{"a": 1}', 'Here it is:\n\n```JSON\n{\n  "a": 1\n}\n```\nAnything else?'),
    ("[]", "```\n[ ]\n```"),
    ('{"a": 1, "a": 2}', '{"a": 2}'),
    ("five", "5"),
    ('"Paris"', "Paris"),
    ("no structure {", "No structure: {"),
    ('{"name": "f", "arguments": {"x": 1}}', '{"name": "f", "arguments": "{\\"x\\": 1.0}"}'),
    ('{"name": "f", "arguments": ""}', '{"name": "f", "arguments": {}}'),
    ('{"name": "f", "arguments": {}}', '{"name": "f", "arguments": "{}"}'),
    (
        '{"name": "f", "arguments": {"x": 1, "y": [2]}}',
        '[{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\\"y\\": [2], \\"x\\": 1}"}}]',
    ),
    (
        '{"content": "", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}]}',
        '{"name": "f", "arguments": null}',
    ),
]

DIFFERENT = [
    # A person, no call of a tool.
    ('{"name": "Bob", "arguments": "x", "age": 3}', '{"name": "Bob", "arguments": "x", "age": 4}'),
    ('{"a": 1}', '{"a": true}'),
    ('{"a": 0}', '{"a": false}'),
    ('{"a": 1}', '{"a": "1"}'),
    ('{"a": null}', "{}"),
    ('{"a": 0.1}', '{"a": 0.10000000000000001}'),
    ('{"a": 9007199254740993}', '{"a": 9007199254740992}'),
    ('{"a": "x"}', '{"a": "X"}'),
    ('{"a": "x y"}', '{"a": "x  y"}'),
    ('{"a": {}}', '{"a": []}'),
    ("[]", "{}"),
    ("[]", ""),
    ("[1, 2]", "[2, 1]"),
    ("[1, 1]", "[1]"),
    ('["a"]', '{"0": "a"}'),
    ('{"a": 1}', "a 1"),
    ('{"a": 1}', '{"a": 1'),
    ("5", "6"),
    ('{"name": "f", "arguments": {"x": 1}}', '{"name": "g", "arguments": {"x": 1}}'),
    ('{"name": "f", "arguments": {"x": 1}}', '{"name": "f", "arguments": {"x": "1"}}'),
    ('{"name": "f", "arguments": "{x"}', '{"name": "f", "arguments": "{y"}'),
    (
        '[{"name": "f", "arguments": {}}, {"name": "f", "arguments": {}}]',
        '[{"name": "f", "arguments": {}}]',
    ),
    # Two fences: neither is the answer.
    ('{"a": 1}', '```\n{"a": 1}\n```\nor\n```\n{"a": 2}\n```'),
    # An "id" is dropped from tool calls only.
    ('{"id": 1, "arguments": 2}', '{"id": 2, "arguments": 2}'),
]  # fmt: skip


THOUGHT = "Thought: The current language of the user is: English. I need to use a tool to help me answer it.\n"
READ = 'Action: read_file\nAction Input: {"path": "report.txt", "n": 1}'

SAME_STEPS = [
    (THOUGHT + READ, "Thought: I must look.\n" + READ),
    (THOUGHT + READ, READ + "\nObservation: it says 7\nThought: I know.\nFinal Answer: 7"),
    (THOUGHT + READ, '{"name": "read_file", "arguments": {"n": 1.0, "path": "report.txt"}}'),
    (
        THOUGHT + "Action: search\nAction Input: Paris weather",
        'I look.\nAction: search\nAction Input: "Paris weather"\n',
    ),
    ("Thought: I can answer without using any more tools.\nAnswer: Lima", "Lima"),
    (" I now know the final answer\nFinal Answer: Lima", "Thought: So it is Cusco? No.\nFinal Answer: It is Lima."),
]
DIFFERENT_STEPS = [
    (THOUGHT + READ, THOUGHT + READ.replace("read_file", "delete_file")),
    (THOUGHT + READ, THOUGHT + READ.replace("report", "other")),
    (THOUGHT + READ, "Thought: I know.\nAnswer: report.txt"),
    (THOUGHT + "Action: search\nAction Input: Paris weather", THOUGHT + "Action: search\nAction Input: Berlin weather"),
    (THOUGHT + "Answer: Lima", THOUGHT + "Answer: Cusco"),
    (THOUGHT + "Final Answer: Lima\n" + READ, READ),
    ("My Answer: Lima", "Answer: Cusco"),
]


@pytest.mark.parametrize(("a", "b"), [*SAME, *SAME_STEPS])
def test_same_value(a: str, b: str) -> None:
    """However it is written, and in both directions."""
    assert same(a, b)
    assert same(b, a)
    assert similarity(a, b) == 1


@pytest.mark.parametrize(("a", "b"), [*DIFFERENT, *DIFFERENT_STEPS])
def test_different_value(a: str, b: str) -> None:
    """Near in writing, another in value; in both directions."""
    assert not same(a, b)
    assert not same(b, a)
    assert similarity(a, b) < 1


def test_order_of_calls_counts_unless_told_otherwise() -> None:
    """Two calls in the other order are the same only for unordered arrays, each as often as the other."""
    f, g = (json.dumps({"name": name, "arguments": '{"x": [1, 2]}'}) for name in "fg")
    assert not same(f"[{f}, {g}]", f"[{g}, {f}]")
    assert same(f"[{f}, {g}]", f"[{g}, {f}]", ordered=False)
    assert not same(f"[{f}, {g}, {g}]", f"[{g}, {f}, {f}]", ordered=False)


@pytest.mark.parametrize(
    ("a", "b", "share"),
    [
        ('{"a": 1, "b": 2}', '{"a": 1, "b": 3}', 1 / 2),
        ('{"a": 1}', '{"a": 1, "b": 2, "c": 3, "d": 4}', 1 / 4),
        ('{"a": {"b": [1, 2, 3]}}', '{"a": {"b": [1, 0, 3]}}', 2 / 3),
        ("[1, 2]", "[3, 4]", 0),
        ('{"a": 1}', "prose", 0),
        ('{"name": "f", "arguments": {"x": 1, "y": 2}}', '{"name": "f", "arguments": {"x": 1, "y": 3}}', 2 / 3),
    ],
)
def test_similarity_is_the_share_of_equal_leaves(a: str, b: str, share: float) -> None:
    """Leaves in common over those of the answer that has more."""
    assert similarity(a, b) == similarity(b, a) == pytest.approx(share)


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 3_000 + "]" * 3_000, '{"a": 1e99999999999999999999}', "[NaN]"])
def test_what_cannot_be_read_is_text(text: str) -> None:
    """No nesting and no number makes it fail; such an answer is text, equal to itself and not to JSON."""
    assert same(text, text)
    assert not same(text, '{"a": 1}')


def test_otherwise_gets_all_other_pairs_at_once_and_the_question() -> None:
    """One batch, in order, without the pairs that are structured."""
    asked: list[tuple[list[tuple[str, str]], str]] = []

    class Otherwise(Equivalence):
        name = "otherwise"

        def same(self, pairs: Sequence[tuple[str, str]], *, question: str) -> list[bool]:
            asked.append((list(pairs), question))
            return [a == "x" for a, _ in pairs]

    equivalence = StructuredEquivalence(otherwise=Otherwise())
    pairs = [("x", "y"), ("{}", "{}"), ("{}", "x"), ("z", "1")]
    assert equivalence.same(pairs, question="Which?") == [True, True, False, False]
    assert asked == [([("x", "y"), ("z", "1")], "Which?")]
    assert equivalence.same([("{}", "[]")], question="Which?") == [False]
    assert len(asked) == 1
    assert equivalence.identity == "structured@2(otherwise@1)"
    assert StructuredEquivalence(ordered=False, otherwise=ExactEquivalence()).identity == (
        "structured@2(ordered=False,exact@2)"
    )
