"""Keys as a header can hold them, and addresses without what is secret in them."""

from __future__ import annotations

from confroute.errors import ConfigurationError


def checked_key(name: str, given: str | None) -> str:
    """A key without the white space that a file had around it. ConfigurationError, by the *name* of the setting, for
    what no header can hold, which would be quoted in an error."""
    key = (given or "").strip()
    if not key.isascii() or not key.isprintable():
        raise ConfigurationError(f"{name} must be printable ASCII characters on one line, as sent in a header.")
    return key


def without_secrets(address: str) -> str:
    """An address without login and query, its ``#model`` kept; any other text as it is.

    >>> without_secrets("http://me:secret@localhost:8000/v1?key=secret#qwen3:0.6b")
    'http://localhost:8000/v1#qwen3:0.6b'
    """
    scheme, separator, rest = address.partition("://")
    place, hash_sign, model = rest.partition("#")
    return scheme + separator + place.rpartition("@")[2].partition("?")[0] + hash_sign + model if separator else address
