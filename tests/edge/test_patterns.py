"""Regular expressions in the words of llama.cpp's grammars."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.edge.patterns import BeyondGrammars, for_grammar
from confroute.json_schema import is_valid


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        (r"^\d{4}-\d{2}$", "^[0-9]{4}-[0-9]{2}$"),
        (r"^[\w.-]+@x$", r"^[0-9A-Z\x5Fa-z\x2E\x2D]+@x$"),
        (r"^a\sb\/$", r"^a[\x20]b/$"),
        (r"^\(?a\)?$", r"^[\x28]?a[\x29]?$"),
        ("^é+$", "^[é]+$"),
        (r"^\n\"$", r'^(?:\\n)(?:\\")$'),
        (r"^[ -~]$", r"^[\x20-\x21\x23-\x5B\x5D-\x7E]$"),
        ("^(?:a|b){2,3}$", "^(?:a|b){2,3}$"),
    ],
)
def test_it_is_written_in_what_grammars_know(pattern: str, written: str) -> None:
    """No escape of a letter is left, a quantifier is that of one part, and no character ends the JSON string."""
    assert for_grammar(pattern) == written


@pytest.mark.parametrize(
    "pattern",
    ["x", "^a", "^(?=x)x$", r"^\p{L}$", r"^\bfoo\b$", r"^(a)\1$", "^a+?b$", "^a{5,3}$", "^a{3000}$", "^(a$", "^a)$",
     "^[a$", "^a^b$", "^*$", r'^["\\]$', "^[z-a]$", r"^\ud800$", "^(a?){200}b$", "^(a?b?){50}$", "^((a?){8}){9}$",
     "^(a|){100}b$", "^((?:a*b*)?){40}$"],
)  # fmt: skip
def test_what_they_do_not_know_or_would_work_on_for_ever_is_refused(pattern: str) -> None:
    """Rather than overlooked; why is told, without the pattern."""
    with pytest.raises(BeyondGrammars, match="a pattern") as caught:
        for_grammar(pattern)
    assert pattern not in str(caught.value).split()


@pytest.mark.parametrize("pattern", ["^(ab|c){1500}$", "^a{0,2000}$", "^((a*)*)*$", "^(a?b){2000}$", "^(a|){20}b?$"])
def test_many_repetitions_of_what_is_something_are_no_work(pattern: str) -> None:
    """Nor are a few of what may be nothing."""
    assert for_grammar(pattern)


characters = st.sampled_from([*'abz059_-. "/\\\n\x01', "é", "日", "😀", "\xa0", "\x85", "\u202f", "٣", "２"])
CLASSES = [
    r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", ".", "[^a-c]", r"[^\s]", r"[^\w]", r"[^\d]", r"[^\S]", r"[^\W]", r"[^\D]",
    r"[\d_]", r"[\D_]", r"[^\W_]", "[!-z]",
]  # fmt: skip
escapes = st.sampled_from(CLASSES)


@given(one=escapes | characters.map(re.escape), said=characters)
def test_what_it_allows_was_allowed(one: str, said: str) -> None:
    """And stands in a JSON string as it is, or escaped."""
    try:
        written = for_grammar(f"^{one}$")
    except BeyondGrammars:
        return
    if re.search(written, said):
        assert re.search(f"^{one}$", said)
        assert is_valid(json.dumps(said), {"pattern": f"^{one}$"})
        assert said not in ('"', "\\", "\n", "\x01")


@pytest.mark.parametrize("one", CLASSES)
def test_a_class_allows_no_other_character(one: str) -> None:
    """Of all that are in use: other scripts have digits and white space of their own."""
    everything = "".join(chr(at) for at in range(0x20000) if not 0xD800 <= at <= 0xDFFF)
    written, told = (set(re.findall(each, everything)) for each in (for_grammar(f"^{one}$")[1:-1], one))
    more = sorted(written - told)[:5]  # a comparison of the sets would take minutes to be told
    assert not more


@pytest.mark.parametrize("one", [r"\D", r"\S", r"[^\d]", "[^0-9]"])
def test_letters_of_all_scripts_are_no_digits(one: str) -> None:
    """A name without digits may be Jürgen's."""
    assert re.findall(for_grammar(f"^{one}$")[1:-1], "ü日") == ["ü", "日"]
