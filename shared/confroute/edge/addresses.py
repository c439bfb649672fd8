"""Addresses of servers: read, named, and told without what is secret in them."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from confroute.errors import ConfigurationError

PLACE = "redirected-to"
"""The header that holds a redirect's address once it was kept from httpx."""
_END = "/chat/completions"


def read_address(base_url: str) -> tuple[SplitResult, str]:
    """The URL's parts, and the host and port to name it by. ConfigurationError for what is no address of an API."""
    try:
        address = urlsplit(base_url.strip())
        port = address.port
        (address.hostname or "").encode("idna")
    except ValueError:
        # Its text may quote a password.
        address, port = SplitResult("", "", "", "", ""), None
    if address.query or address.fragment:
        # Before the path of each request it would be none, and be logged with it.
        raise ConfigurationError(
            'base_url must end with the path, such as /v1, without what begins with "?" or "#": pass a key as api_key.'
        )
    is_one = address.geturl().isprintable() and " " not in address.netloc
    if address.scheme not in ("http", "https") or not address.hostname or not is_one:
        raise ConfigurationError("base_url must be like http://localhost:8000/v1, with http or https and a host.")
    return address, _named(address.hostname, port)


def checked_name(model: str) -> str:
    """The name that a server knows a model by. ConfigurationError for one that is empty, or has a part of an address
    behind it, such as a key."""
    if not model:
        raise ConfigurationError("model must be the name that the server knows the model by, not empty.")
    if "?" in model or "#" in model or not model.isprintable():
        raise ConfigurationError(
            'model must be the name that the server knows the model by, without what begins with "?" or "#": pass a '
            "key as api_key."
        )
    return model


async def keep_place(response: Any) -> None:
    """Have httpx read no redirect: it fails on one to what is no address, though it is not to follow it."""
    place = response.headers.pop("location", None)
    if place is not None:
        response.headers[PLACE] = place


def redirected(asked: str, location: str) -> str:
    """Where a server that was *asked* at this URL sends its clients: an API's address, without login and query."""
    try:
        place = _api(urljoin(asked, location)) if location else ""
    except ValueError:
        place = ""
    if place == _api(asked):
        return "its own address"
    return place if place.isprintable() and 0 < len(place) <= 200 else "another address"


def is_here(url: str) -> bool:
    """Whether it is an address of this machine."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(host))  # the short forms of IPv4, such as 127.1
        except OSError:
            return host == "localhost" or host.endswith(".localhost")
    mapped: ipaddress.IPv4Address | None = getattr(address, "ipv4_mapped", None)
    # A connection to the unspecified address is one to this machine.
    return (mapped or address).is_loopback or (mapped or address).is_unspecified


def _named(hostname: str, port: int | None) -> str:
    host = f"[{hostname}]" if ":" in hostname else hostname
    return host + (f":{port}" if port else "")


def _api(url: str) -> str:
    """Of an address of chat completions. Nothing without a host; ValueError where it is none."""
    address = urlsplit(url)
    place = f"{address.scheme}://{_named(address.hostname or '', address.port)}"
    return place + address.path.rstrip("/").removesuffix(_END) if address.hostname else ""
