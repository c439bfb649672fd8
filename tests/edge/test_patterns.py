"""Regular expressions in the words of llama.cpp's grammars."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confroute.edge.patterns import BeyondGrammars, for_grammar


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


characters = st.sampled_from([*'abz059_-. "/\\\n\x01', "é", "日", "😀", "\xa0"])
escapes = st.sampled_from(
    [r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", ".", "[^a-c]", r"[^\s]", r"[^\w]", r"[\d_]", "[!-z]"]
)


@given(one=escapes | characters.map(re.escape), said=characters)
def test_what_it_allows_was_allowed(one: str, said: str) -> None:
    """And stands in a JSON string as it is, or escaped."""
    try:
        written = for_grammar(f"^{one}$")
    except BeyondGrammars:
        return
    if re.search(written, said):
        assert re.search(f"^{one}$", said)
        assert said not in ('"', "\\", "\n", "\x01")
