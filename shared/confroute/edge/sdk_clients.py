"""Clients of the SDKs that are generated as OpenAI's, Anthropic's and Groq's are, made again for an event loop.

They are told by what they have: such a client holds an HTTP client as ``_client`` and gives another like itself by
``with_options``; each of its parts holds the client as ``_client``, and is made of it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from confroute.edge.clients import Again

_OWN_HTTP = "HttpxClientWrapper"
"""What the SDKs, and frameworks, call the HTTP clients that they make themselves."""
_OF_HTTP = ("headers", "params", "timeout", "auth", "event_hooks", "follow_redirects", "max_redirects")


def sdk_clients_of(model: Any, again: Again, *, proxy: str | None = None, of_proxy: Any = None) -> dict[str, Any]:
    """New asynchronous clients, or the parts of them, by the attributes of *model* that have such, as those are now,
    each with an HTTP client that is made *again* once. None in place of one that the caller made, or put something
    into, but for what HTTP clients have a place for, such as headers and hooks.

    Where the framework made the HTTP client for a *proxy*, so are the new ones; it may be *of_proxy*, by another name
    than the SDKs'.
    """
    held = dict(_held(model, again))
    clients: dict[str, Any] = {}
    roots: list[Any] = []
    for each in held.values():
        root = each if _is_root(each) else _dict(each).get("_client")
        if _is_root(root) and not any(root is other for other in roots):
            roots.append(root)
    for root in roots:
        made = _made_again(root, again, proxy, of_proxy)
        parts = {name: each for name, each in held.items() if _dict(each).get("_client") is root}
        if made is None or not _is_as_made(root, made):
            continue
        if all(_is_as_made(each, _part(each, made)) for each in parts.values()):
            made = _as_before(root, made, again)
            clients |= {name: made for name, each in held.items() if each is root}
            clients |= {name: _part(each, made) for name, each in parts.items()}
    return clients


def is_handed_on(own: Any, fresh: Any) -> bool:
    """Have the *fresh* HTTP client say what the model's *own* does, beside cookies that it was given itself; False
    where there is more to that one, as where its sending is traced."""
    if not (_is_as_made(own, fresh) and _is_as_made(own._transport, fresh._transport)):
        return False
    for name in _OF_HTTP:
        setattr(fresh, name, getattr(own, name))
    fresh.cookies.update(own.cookies)
    return True


def _held(model: Any, again: Again) -> Iterator[tuple[str, Any]]:
    """What *model* has, by its attributes; what it makes when it is first asked for, too, made by a copy."""
    yield from {**_dict(model), **(getattr(model, "__pydantic_private__", None) or {})}.items()
    for kind in type(model).__mro__:
        for name, value in vars(kind).items():
            if isinstance(value, cached_property) and "async_client" in name and name not in _dict(model):
                copied = again.once(value, model.model_copy, stays_open=True)
                yield name, getattr(copied, name)


def _made_again(root: Any, again: Again, proxy: str | None, of_proxy: Any) -> Any:
    http = _dict(root)["_client"]
    if _OWN_HTTP not in type(http).__name__ and not (proxy and http is of_proxy):
        return None
    fresh = again.once(http, lambda: type(http)(**({"proxy": proxy} if proxy else {})))
    return root.with_options(http_client=fresh) if is_handed_on(http, fresh) else None


def _as_before(root: Any, made: Any, again: Again) -> Any:
    """The client that was *made* before, which may have asked for a token, as long as *root* says the same."""
    parts = [name for name in _dict(root) if isinstance(getattr(root.__class__, name, None), cached_property)]
    says = {name: value for name, value in _dict(root).items() if name not in parts}
    kept: dict[str, Any] = again.once(root, dict)
    if kept.get("says") != says:
        kept.update(says=says, made=made)
    return kept["made"]


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
    if type(each) is not type(fresh) or _dict(fresh).keys() - _dict(each).keys() or not _dict(fresh):
        return False
    for name, value in dict(_dict(each)).items():
        if name in _dict(fresh):
            is_same = _is_same_code(value, _dict(fresh)[name])
        else:
            is_part = isinstance(getattr(each.__class__, name, None), cached_property)
            is_same = is_part and (not _dict(value) or _is_as_made(value, getattr(fresh, name)))
        if not is_same:
            return False
    return True


def _is_same_code(value: Any, fresh: Any) -> bool:
    """Of methods that an object holds itself, as those for raw responses."""
    code = getattr(fresh, "__code__", None)
    return code is None or (type(value) is type(fresh) and value.__code__ is code)


def _dict(each: Any) -> Mapping[str, Any]:
    """Its own attributes, not those that it stands for."""
    try:
        return object.__getattribute__(each, "__dict__")
    except AttributeError:
        return {}
