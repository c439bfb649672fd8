"""One forward pass of a torch model over many requests at once, the samples of each sharing its prompt.

All tokens of a pass stand side by side as one sequence, whichever request they belong to: outside of attention, a
transformer treats each token by itself. Attention is ours. It lets a token see the prompt of its request and its own
branch only, and reads the prompt's keys and values once for all branches (the idea of Hydragen, arXiv 2402.05099), so
nothing is copied for each sample.

Whether a model can be run so is tested on the model itself when it is loaded; see `confroute.edge.ragged_trial`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from confroute.edge.passes import Piece, Tensor, Unwanted
from confroute.edge.ragged_branches import RaggedBranches, Stack, arrange
from confroute.edge.ragged_prompt import UNLIMITED, RaggedPrompt, arrange_prompts
from confroute.edge.replays import Replays

ATTENTION = "confroute_ragged"


class RaggedPasses:
    """Runs all pieces that are to be run in one forward pass."""

    together = True

    def __init__(self, model: Any) -> None:
        from transformers import AttentionInterface

        interface: Any = AttentionInterface
        interface.register(ATTENTION, _attention)
        model.set_attn_implementation(ATTENTION)
        self._model = model
        self._replays = Replays(model.device) if model.device.type == "cuda" else None

    def prompt(self, ids: tuple[int, ...], known: Iterable[Any] = ()) -> RaggedPrompt:
        return RaggedPrompt(ids, known)

    def branches(self, prompt: RaggedPrompt, n: int) -> RaggedBranches:
        return RaggedBranches(prompt, n)

    def run(
        self, pieces: Sequence[Piece], wanted: Callable[[], bool] = lambda: True, /, *, hidden: bool = False
    ) -> list[Tensor]:
        """For each piece the logits of what comes next, in float32: one row for a prompt, one for each branch. With
        *hidden* the pieces' hidden states are set, too: (layers + 1, rows, size).

        Where this raises, nothing has changed. Whether it is still *wanted* is asked at each layer, or once where the
        pass is replayed.
        """
        import torch

        device = self._model.device
        tokens = {id(piece.of): piece.tokens for piece in pieces}
        branches = [piece.of for piece in pieces if isinstance(piece.of, RaggedBranches)]
        stacks = arrange(branches, fixed=self._replays is not None)
        read = [(piece.of, len(piece.tokens)) for piece in pieces if not isinstance(piece.of, RaggedBranches)]
        prompts = arrange_prompts(read, together=self._replays is not None)
        attending: list[tuple[Any, Sequence[Any]]] = [*stacks, *prompts]
        shares = [each.share(asked, [tokens[id(of)] for of in asked], device) for each, asked in attending]
        begins = itertools.accumulate((len(share.ids) for share in shares), initial=0)
        rows = [begin + row for begin, share in zip(begins, shares, strict=False) for row in share.rows]
        ids = [token for share in shares for token in share.ids]
        positions = [at for share in shares for at in share.positions]
        units = [(each, len(share.ids)) for (each, _), share in zip(attending, shares, strict=True)]
        given: Tensor = torch.tensor([ids, positions], device=device)
        chosen: Tensor = torch.tensor(rows, device=device)
        states: Tensor | None = None
        if self._replays is not None and not prompts and not hidden:
            if not wanted():
                raise Unwanted
            form = tuple(stack.form for stack, _ in stacks)
            logits = self._replays.run(form, given, lambda given: self._forward(given, units).logits[0])
        else:
            reply = self._forward(given, units, wanted, output_hidden_states=hidden, logits_to_keep=chosen)
            logits: Tensor = reply.logits[0]
            if hidden:
                layers: Sequence[Tensor] = reply.hidden_states
                states = torch.stack([layer[0, chosen] for layer in layers])
        if len(logits) != len(rows):  # those of all tokens
            logits = logits[chosen]
        return self._advance(attending, tokens, logits.float(), states)

    def _forward(
        self, given: Tensor, units: Sequence[tuple[Any, int]], wanted: Callable[[], bool] = lambda: True, **options: Any
    ) -> Any:
        """What the model replies to tokens and their positions, (2, tokens), that stand beside each other by *units*:
        who attends, and with how many."""
        for each, _ in units:
            each.begin()
        ids, positions = given[:, None]
        ragged = units, wanted
        return self._model(input_ids=ids, position_ids=positions, use_cache=False, ragged=ragged, **options)

    def _advance(
        self,
        attending: Sequence[tuple[Any, Sequence[Any]]],
        tokens: Mapping[int, Sequence[int]],
        logits: Tensor,
        states: Tensor | None,
    ) -> list[Tensor]:
        """What has succeeded is made known; the logits of each piece, in the order of their *tokens*."""
        told: dict[int, Tensor] = {}
        begin = 0
        for each, asked in attending:
            for of in asked:
                count = len(tokens[id(of)]) if isinstance(of, RaggedBranches) else 1
                end = begin + count
                told[id(of)] = logits[begin:end]
                of.advance(len(tokens[id(of)]), logits[begin:end], None if states is None else states[:, begin:end])
                begin = end
            if isinstance(each, Stack):
                each.advance()
        return [told[of] for of in tokens]


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    ragged: tuple[Sequence[tuple[Any, int]], Callable[[], bool]],
    scaling: float | None = None,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers' models call it, on tensors of (1, heads, tokens, dimensions)."""
    import torch

    unknown = [name for name in ("softcap", "s_aux", "position_bias") if more.get(name) is not None]
    if attention_mask is not None or unknown:
        raise NotImplementedError(f"Ragged attention has no {unknown or 'mask'}.")
    of_requests, wanted = ragged
    if not wanted():
        raise Unwanted
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    sizes = [size for _, size in of_requests]
    parts = zip(of_requests, query[0].split(sizes, 1), key[0].split(sizes, 1), value[0].split(sizes, 1), strict=True)
    window = sliding_window or UNLIMITED
    seen = [of.attend(module.layer_idx, q, k, v, scaling, window) for (of, _), q, k, v in parts]
    return torch.cat(seen, 1).transpose(0, 1)[None], None
