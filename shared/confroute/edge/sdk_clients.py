"""Clients of the SDKs that are generated as OpenAI's, Anthropic's and Groq's are, made again for an event loop.

They are told by what they have: such a client holds an HTTP client as ``_client`` and gives another like itself by
``with_options``; each of its parts holds the client as ``_client``, and is made of it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

_OWN_HTTP = "HttpxClientWrapper"
"""What the SDKs, and frameworks, call the HTTP clients that they make themselves."""


def sdk_clients_of(model: Any, *, proxy: str | None = None, of_proxy: Any = None) -> dict[str, Any]:
    """New asynchronous clients, or the parts of them, by the attributes of *model* that have such, each with an HTTP
    client of its own. None in place of one that the caller made, or put something into.

    Where the framework made the HTTP client for a *proxy*, so are the new ones; it may be *of_proxy*, by another name
    than the SDKs'.
    """
    held = dict(_held(model))
    again: dict[str, Any] = {}
    roots: list[Any] = []
    for each in held.values():
        root = each if _is_root(each) else _dict(each).get("_client")
        if _is_root(root) and not any(root is other for other in roots):
            roots.append(root)
    for root in roots:
        made = _made_again(root, proxy, of_proxy)
        parts = {name: each for name, each in held.items() if _dict(each).get("_client") is root}
        if made is None or not _is_as_made(root, made):
            continue
        fresh = {name: _part(each, made) for name, each in parts.items()}
        if all(_is_as_made(each, fresh[name]) for name, each in parts.items()):
            again |= {name: made for name, each in held.items() if each is root} | fresh
    return again


def _held(model: Any) -> Iterator[tuple[str, Any]]:
    """What *model* has, by its attributes; what it makes when it is first asked for, too, made by a copy."""
    yield from {**_dict(model), **(getattr(model, "__pydantic_private__", None) or {})}.items()
    for kind in type(model).__mro__:
        for name, value in vars(kind).items():
            if isinstance(value, cached_property) and "async_client" in name and name not in _dict(model):
                yield name, getattr(model.model_copy(), name)


def _made_again(root: Any, proxy: str | None, of_proxy: Any) -> Any:
    http = _dict(root)["_client"]
    if _OWN_HTTP not in type(http).__name__ and not (proxy and http is of_proxy):
        return None
    return root.with_options(http_client=type(http)(**({"proxy": proxy} if proxy else {})))


def _is_root(each: Any) -> bool:
    return hasattr(each.__class__, "with_options") and hasattr(_dict(each).get("_client"), "aclose")


def _part(each: Any, root: Any) -> Any:
    try:
        return type(each)(root)
    except TypeError:  # it is none of the SDK's
        return None


def _is_as_made(each: Any, fresh: Any) -> bool:
    """Whether nothing was put into it, such as a method that traces: all that a *fresh* one lacks are its parts, which
    are made when they are first asked for."""
    if _dict(fresh).keys() - _dict(each).keys() or not _dict(fresh):
        return False
    root = fresh if _is_root(fresh) else _dict(fresh)["_client"]
    for name in _dict(each).keys() - _dict(fresh).keys():
        part: Any = _dict(each)[name]
        if not isinstance(getattr(each.__class__, name, None), cached_property):
            return False
        if "_client" in _dict(part) and not _is_as_made(part, _part(part, root)):
            return False
    return True


def _dict(each: Any) -> Mapping[str, Any]:
    """Its own attributes, not those that it stands for."""
    try:
        return object.__getattribute__(each, "__dict__")
    except AttributeError:
        return {}
