"""Attention to what several tokens see alike, a prompt or the part of it read before, and to what each sees alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias, TypeVar

from confroute.edge.cores import on_all_cores
from confroute.edge.passes import Tensor

# So many products of numbers are computed by one core while others are only being told of them.
_FEW_PRODUCTS = 2**21
# From so many tokens on, torch takes large blocks of a head's queries, and less time than a mask over all keys does.
_MANY_TOKENS = 768

T = TypeVar("T")
_WithLogsumexp: TypeAlias = Callable[..., tuple[Tensor, Tensor]]
"""Attention that also tells the logarithm of what its exponentials add up to."""


def attend_together(
    query: Tensor, scaling: float, prompts: Sequence[Tensor], own: Sequence[Tensor], hidden: Tensor | None
) -> Tensor:
    """What the *query* of (heads, members * rows, dimensions) sees of the keys and values of each member's prompt,
    (heads, members, tokens, dimensions) each, and of each row's own, (heads, members, rows, tokens, dimensions) each:
    (members * rows, heads, dimensions). *hidden* is made by `hiding`, of (members, 1, 1, tokens)."""
    import torch

    heads, members, rows, own_tokens, dimensions = own[0].shape
    # Heads that share keys lie side by side: (heads, members, rows, groups, dimensions).
    query = query.view(heads, -1, members, rows, dimensions).permute(0, 2, 3, 1, 4)
    query = torch.mul(query, scaling, out=query.new_empty(query.shape))
    with_logsumexp = _with_logsumexp(query)
    if with_logsumexp is None or query.numel() * (prompts[0].shape[2] + own_tokens) <= _FEW_PRODUCTS:
        seen = _at_once(query, prompts, own, hidden)
    else:
        seen = _in_two_parts(with_logsumexp, query, prompts, own, hidden)
    return seen.permute(1, 2, 0, 3, 4).reshape(members * rows, -1, dimensions)


def attend_to_earlier(query: Tensor, keys: Tensor, values: Tensor, scaling: float) -> Tensor | None:
    """What each of the last tokens, with a *query* of (heads of keys, those that share them, tokens, dimensions), sees
    of itself and all before it, with *keys* and *values* of (heads, all tokens, dimensions) each. None where the same
    with a mask takes no longer."""
    import torch

    _, groups, tokens, _ = query.shape
    past, new = zip(*(each.tensor_split([each.shape[1] - tokens], 1) for each in (keys, values)), strict=True)
    new = [each[:, None].expand(-1, groups, -1, -1) for each in new]
    if not past[0].shape[1]:
        usual: Any = torch.nn.functional.scaled_dot_product_attention
        return attend(usual, query, *new, is_causal=True, scale=scaling)
    with_logsumexp = _with_logsumexp(query)
    if with_logsumexp is None or tokens < _MANY_TOKENS:
        return None
    # Of what is before them all see the same, so that those who share keys are one head of more queries.
    ahead = attend(with_logsumexp, query.flatten(1, 2)[None], *(each[None] for each in past), scale=scaling)
    after = attend(with_logsumexp, query, *new, is_causal=True, scale=scaling)
    return _joined([each[0].unflatten(1, (groups, tokens)) for each in ahead], after)


def attend(operation: Callable[..., T], query: Tensor, keys: Tensor, values: Tensor, **options: Any) -> T:
    """What attention by this *operation* gives, on as many cores as it is worth."""
    if query.numel() * keys.shape[-2] <= _FEW_PRODUCTS:
        return operation(query, keys, values, **options)
    return on_all_cores(operation, query, keys, values, **options)


def hiding(unseen: Tensor, like: Tensor) -> Tensor:
    """What is to be added to how alike a query and a key are, so that the key is not seen where *unseen*: a number that
    leaves nothing of it, and yet counts where all keys are hidden."""
    import torch

    hidden: Tensor = torch.zeros(unseen.shape, dtype=like.dtype, device=unseen.device)
    return hidden.masked_fill_(unseen, torch.finfo(like.dtype).min / 2)


def _at_once(query: Tensor, prompts: Sequence[Tensor], own: Sequence[Tensor], hidden: Tensor | None) -> Tensor:
    import torch

    # In views of three dimensions, which `@` would have to make of more.
    prompt_keys, prompt_values = (each.flatten(0, 1) for each in prompts)
    keys, values = (each.flatten(0, 2) for each in own)
    groups, dimensions = query.shape[3:]
    alone, together = query.view(-1, groups, dimensions), query.view(len(prompt_keys), -1, dimensions)
    ahead = together.bmm(prompt_keys.transpose(1, 2)).view(len(alone), groups, prompt_keys.shape[1])
    scores: Tensor = torch.cat([ahead, alone.bmm(keys.transpose(1, 2))], 2)
    if hidden is not None:
        scores.view(*query.shape[:4], -1).add_(hidden)
    ahead, after = scores.softmax(2).split_with_sizes([prompt_keys.shape[1], keys.shape[1]], 2)
    seen = ahead.view(*together.shape[:2], prompt_keys.shape[1]).bmm(prompt_values)
    return seen.view(alone.shape).baddbmm_(after, values).view(query.shape)


def _in_two_parts(
    with_logsumexp: _WithLogsumexp,
    query: Tensor,
    prompts: Sequence[Tensor],
    own: Sequence[Tensor],
    hidden: Tensor | None,
) -> Tensor:
    heads, members, rows, groups, dimensions = query.shape
    prompt_tokens, own_tokens = prompts[0].shape[2], own[0].shape[3]
    of_prompts = of_own = None
    if hidden is not None:
        of_prompts, of_own = hidden.split([prompt_tokens, own_tokens], -1)
        of_own = of_own[None].expand(heads, -1, rows, -1, -1).reshape(-1, 1, 1, own_tokens)
    alone = query.view(-1, 1, groups, dimensions)
    after = attend(with_logsumexp, alone, *(each.flatten(0, 2)[:, None] for each in own), attn_mask=of_own, scale=1)
    after = after[0].view(query.shape), after[1].view(query.shape[:-1])
    if not prompt_tokens:
        return after[0]
    together = query.view(heads, members, -1, dimensions).transpose(0, 1)
    ahead = attend(with_logsumexp, together, *(each.transpose(0, 1) for each in prompts), attn_mask=of_prompts, scale=1)
    return _joined([each.transpose(0, 1).unflatten(2, (rows, groups)) for each in ahead], after)


def _joined(part: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """Of attention to some keys and attention to others that to all of them (Hydragen, arXiv 2402.05099)."""
    import torch

    share = (part[1] - other[1]).sigmoid()[..., None]
    return torch.lerp(other[0], part[0], share.to(part[0].dtype))


def _with_logsumexp(query: Tensor) -> _WithLogsumexp | None:
    return _on_cpu() if query.device.type == "cpu" else None


@cache
def _on_cpu() -> _WithLogsumexp | None:
    """torch has no public name for it."""
    import torch

    query, keys, values = torch.linspace(-1, 1, 72).view(3, 2, 1, 3, 4).unbind()
    mask = hiding(torch.tensor([[[[False, False, True]]]]), query)
    scores = query @ keys.transpose(-1, -2) + mask
    try:
        operation: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        seen, logsumexp = operation(query, keys, values, attn_mask=mask, scale=1)
    except (AttributeError, RuntimeError):
        return None
    known = torch.allclose(seen, scores.softmax(-1) @ values) and torch.allclose(logsumexp, scores.logsumexp(-1))
    return operation if known else None
