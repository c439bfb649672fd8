"""What is secret in a setting is neither quoted nor shown."""

from __future__ import annotations

import pytest

from confroute import ConfigurationError
from confroute.credentials import checked_key, without_secrets


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("http://me:secret@host:80/v1#m", "http://host:80/v1#m"),
        ("http://me:se/cr@et@host/v1?key=secret#m@2?", "http://host/v1#m@2?"),
        ("http://[::1/secret@v1", "http://v1"),
        ("http://host/v1", "http://host/v1"),
        ("owner/name@main?", "owner/name@main?"),
        ("smollm2-135m", "smollm2-135m"),
    ],
)
def test_an_address_is_shown_without_login_and_query(given: str, shown: str) -> None:
    """However it is written; what is no address stays."""
    assert without_secrets(given) == shown


@pytest.mark.parametrize("key", ["sk-é", "sk\nsecret", "sk\x00"])
def test_a_key_that_no_header_can_hold_is_refused_unquoted(key: str) -> None:
    """By the name of its setting."""
    with pytest.raises(ConfigurationError, match="NAME must be printable") as caught:
        checked_key("NAME", key)
    assert key not in str(caught.value)
    assert checked_key("NAME", " sk-1\r\n") == "sk-1"
